"""Options of ``evaluate`` and ``compare``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import UsageError
from demiurge.paths import PathLike
from demiurge.scene.options import NoDataOption

AllowOffset = Annotated[
    bool,
    Field(description="Accept surfaces whose unit or vertical reference seems to be wrong."),
]
JsonFile = Annotated[
    Path | None,
    Flag(name="--json", path="file", suffixes=(".json",)),
    Field(description="JSON file for the figures."),
]
RasterOption = Annotated[PathLike | None, Flag(path="band")]


class EvaluateOptions(OptionModel):
    """Options of ``evaluate``."""

    surface: Annotated[PathLike | None, Flag(argument=True, path="band")] = Field(
        None, description="Heights to evaluate; FILE:BAND for another band."
    )
    reference: RasterOption = Field(None, description="Reference heights, such as lidar.")
    baseline: RasterOption = Field(
        None, description="Input of the surface; its errors are the denominator of ratios."
    )
    landcover: RasterOption = Field(
        None, description="Raster of class numbers; report errors by class."
    )
    ground: RasterOption = Field(
        None, description="Bare earth of the reference; report errors by height above ground."
    )
    mask: RasterOption = Field(None, description="Raster that is 0 where pixels are excluded.")
    nodata: NoDataOption = None
    sites: Annotated[Path | None, Flag(path="file")] = Field(
        None,
        description="CSV or GeoPackage of many pairs, with columns surface, reference and, "
        "optionally, site and further rasters.",
    )
    sun: float | None = Field(
        None, ge=0, le=360, description="Sun azimuth in degrees; report errors by illumination."
    )
    coregister: bool = Field(
        False, description="Co-register surface and baseline with the reference first (xdem)."
    )
    affine: bool = Field(False, description="Report errors after the best affine fit, too.")
    spatial: bool = Field(
        False, description="Report a variogram and the standard error of the mean (xdem)."
    )
    allow_offset: AllowOffset = False
    report: Annotated[Path | None, Flag(path="file", suffixes=(".html", ".htm"))] = Field(
        None, description="HTML report with figures."
    )
    profile: Annotated[list[str], Flag(metavar="X1,Y1,X2,Y2")] = Field(
        [], description="Profile line of the report, in the CRS of the surface."
    )
    json_file: JsonFile = None
    overwrite: Overwrite = False
    quiet: Quiet = True


class CompareOptions(OptionModel):
    """Options of ``compare``."""

    surfaces: Annotated[list[PathLike], Flag(argument=True, path="raster")] = Field(
        min_length=1, description="Two or more rasters of heights; FILE:BAND for another band."
    )
    reference: Annotated[PathLike, Flag(path="band")] = Field(
        description="Reference heights, such as lidar."
    )
    allow_offset: AllowOffset = False
    json_file: JsonFile = None
    overwrite: Overwrite = False
    quiet: Quiet = True


def read_limits(texts: Iterable[str]) -> dict[str, float]:
    """Read texts of the form ``FIGURE=METRES``."""
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        try:
            limits[name] = float(value)
        except ValueError:
            raise UsageError(
                f"--require {text}: names no figure and limit", "write LE90=1.5"
            ) from None
    return limits


class CertifyOptions(OptionModel):
    """Options of ``certify``."""

    surface: Annotated[PathLike, Flag(argument=True, path="band")] = Field(
        description="Heights in metres; FILE:BAND for another band."
    )
    points: Annotated[PathLike, Flag(path="points")] = Field(
        description="Check points that the surface never used: CSV, GeoPackage, LAS, LAZ, or a "
        "raster of reference heights."
    )
    require: Annotated[
        Mapping[str, float] | None, Flag(metavar="FIGURE=METRES", parse=read_limits)
    ] = Field(
        None,
        description="Limits for LE68, LE90, LE95, NMAD, RMSE or bias, such as LE90=1.5; the exit "
        "code is 3 unless all are met.",
    )
    other: RasterOption = Field(
        None, description="Another surface to compare at the same check points."
    )
    output: Annotated[
        PathLike | None,
        Flag(name="--map", metavar="FILE", path="raster", suffixes=(".tif", ".tiff")),
    ] = Field(
        None,
        description="GeoTIFF of the linear error of each pixel, from the uncertainty recalibrated "
        "on the check points.",
    )
    points_crs: Annotated[str | None, Flag(metavar="CRS")] = Field(
        None, description="CRS of the check points, if the file has none."
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1, description="Probability that an interval holds the true figure."
    )
    allow_offset: AllowOffset = False
    json_file: JsonFile = None
    overwrite: Overwrite = False
    quiet: Quiet = True
