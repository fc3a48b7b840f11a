"""Options of ``prepare`` and ``check``, and the option ``--nodata`` of all commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import DataError, UsageError
from demiurge.paths import PathLike
from demiurge.scene.camera import Direction

#: Stored values that mean no data in addition to those that files declare, by layer. An empty
#: list keeps all values; layers that are not named are searched for such values.
NoData = Mapping[str, Sequence[float]]


def read_nodata(texts: Iterable[str]) -> dict[str, list[float]]:
    """Read texts of the form ``LAYER=VALUE``; ``LAYER=none`` gives an empty list."""
    nodata: dict[str, list[float]] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        values = nodata.setdefault(name, [])
        if value.lower() == "none":
            continue
        try:
            values.append(float(value))
        except ValueError:
            raise UsageError(
                f"--nodata {text}: names no layer and value", "write dsm=-999, or dsm=none"
            ) from None
    return nodata


NoDataOption = Annotated[
    NoData | None,
    Flag(metavar="LAYER=VALUE", parse=read_nodata),
    Field(
        description="Stored values that mean no data although the file does not declare them, by "
        "layer, such as dsm=-999; dsm=none keeps all values. Layers not named are searched for "
        "such values."
    ),
]


def read_direction(option: str, text: str) -> Direction:
    """Read a text of the form ``AZIMUTH,ELEVATION`` in degrees."""
    try:
        azimuth, elevation = (float(part) for part in text.split(","))
        return Direction(azimuth, elevation)
    except (ValueError, DataError):
        raise UsageError(
            f"{option} {text}: is not an azimuth and an elevation",
            "write AZ,EL in degrees, such as 151.3,48; elevations are above 0 and at most 90",
        ) from None


def _direction(option: str) -> Flag:
    return Flag(metavar="AZ,EL", parse=partial(read_direction, option))


class PrepareOptions(OptionModel):
    """Options of ``prepare``."""

    inputs: Annotated[list[str], Flag(argument=True)] = Field(
        min_length=1,
        description="LAYER=FILE[:BAND], or files whose bands are described or coloured.",
    )
    out: Annotated[PathLike, Flag(name="--output", short="-o", metavar="FOLDER")] = Field(
        description="Scene folder to write."
    )
    gsd: float | None = Field(
        None, description="Pixel size in metres; that of the leading layer if not given."
    )
    crs: str | None = Field(
        None,
        description="Projected CRS in metres, such as EPSG:32633; that of the leading layer if "
        "not given.",
    )
    extent: str = Field(
        "intersection",
        description="intersection or union of the inputs, a raster, or left,bottom,right,top in "
        "the CRS of the scene.",
    )
    equalise: bool = Field(True, description="Equalise the contrast of panchromatic images.")
    nodata: NoDataOption = None
    view_left: Annotated[Direction | None, _direction("--view-left")] = Field(
        None,
        description="Direction from the ground to the sensor of the left image, or of the only "
        "one: azimuth clockwise from grid north and elevation above the horizon, in degrees; that "
        "of the camera or of the metadata file if not given.",
    )
    view_right: Annotated[Direction | None, _direction("--view-right")] = Field(
        None, description="Direction to the sensor of the right image, as for --view-left."
    )
    sun: Annotated[Direction | None, _direction("--sun")] = Field(
        None,
        description="Direction to the sun, as for --view-left; that of the metadata files if not "
        "given.",
    )
    jobs: int | None = Field(None, ge=1, description="Threads that read; all cores if not given.")
    overwrite: Overwrite = False
    quiet: Quiet = True


class CheckOptions(OptionModel):
    """Options of ``check``."""

    scene: Annotated[PathLike, Flag(argument=True)] = Field(
        description="Scene folder or scene.yaml."
    )
    nodata: NoDataOption = None
