"""Options of ``prepare`` and ``check``, and the option ``--nodata`` of all commands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import DataError, UsageError
from demiurge.layers import layer
from demiurge.paths import PathLike
from demiurge.scene.camera import Direction, PixelShift
from demiurge.scene.geoid import read_assignments, read_grids

#: Stored values that mean no data in addition to those that files declare, by layer. An empty
#: list keeps all values; layers that are not named are searched for such values.
NoData = Mapping[str, Sequence[float]]

#: What directions are, and the largest azimuth in degrees, of either sign.
_ANGLES = (
    "in degrees, such as 151.3,48: azimuths are clockwise from north, 0 to 360; elevations are "
    "above 0 and at most 90"
)
_CIRCLE = 360


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


#: Tools whose output folders are recognised.
FolderKind = Literal["asp", "cars", "s2p", "micmac", "setsm", "metashape", "odm", "gee", "layers"]

FolderKindOption = Annotated[
    FolderKind | None,
    Flag(name="--as"),
    Field(
        description="Tool that wrote the folder: Ames Stereo Pipeline, CARS, s2p, MicMac, SETSM, "
        "Metashape, OpenDroneMap or Google Earth Engine; layers for files named as layers. "
        "Recognised from the files if not given."
    ),
]
SourceCrsOption = Annotated[
    str | None,
    Flag(metavar="CRS"),
    Field(description="CRS of files of the folder that declare none, such as those of MicMac."),
]


def read_direction(option: str, text: str) -> Direction:
    """Read a text of the form ``AZIMUTH,ELEVATION`` in degrees."""
    try:
        return _as_direction(text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {text}: is not an azimuth and an elevation", f"write AZ,EL {_ANGLES}"
        ) from None


def _as_direction(value: object) -> Direction:
    """Return a direction, also of two numbers: azimuth and elevation in degrees.

    Raises
    ------
    ValueError
        If the value is no direction.
    """
    if isinstance(value, Direction):
        return value
    try:
        azimuth, elevation = (float(part) for part in value)  # type: ignore[attr-defined]
        direction = Direction(azimuth, elevation)
    except (TypeError, DataError):
        raise ValueError("is no direction") from None
    if abs(azimuth) > _CIRCLE:
        raise ValueError("its azimuth is beyond a circle")
    return direction


def direction_flag(option: str) -> Flag:
    """Return how a direction appears on the command line."""
    return Flag(
        metavar="AZ,EL", parse=partial(read_direction, option), cure=f"give two numbers {_ANGLES}"
    )


#: A direction; in Python also two numbers.
DirectionValue = Annotated[Direction, BeforeValidator(_as_direction)]


def read_shift(text: str) -> PixelShift:
    """Read a text of the form ``DX,DY`` in pixels."""
    try:
        cols, rows = (float(part) for part in text.split(","))
    except ValueError:
        cols = rows = math.nan
    if not (math.isfinite(cols) and math.isfinite(rows)):
        raise UsageError(
            f"--shift-left {text}: is not a shift", "write DX,DY in pixels, such as 3,-2.5"
        )
    return PixelShift(cols, rows)


def read_rpc_files(texts: Iterable[str]) -> dict[str, str]:
    """Read texts of the form ``LAYER=FILE``."""
    files = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not (name.strip() and file.strip()):
            raise UsageError(
                f"--rpc {text}: names no layer and file", "write ortho_left=left_RPC.TXT"
            )
        files[layer(name.strip()).name] = file.strip()
    return files


class RawOptions(OptionModel):
    """Options for raw images, which are orthorectified on the DSM."""

    adjust: bool = Field(
        False,
        description="Shift the camera of the left raw image so that the two orthoimages coincide; "
        "the offset is measured in several windows.",
    )
    shift_left: Annotated[
        PixelShift | None, Flag(metavar="DX,DY", parse=read_shift, tier="expert")
    ] = Field(
        None,
        description="Pointing correction of the left raw image, in its pixels: added to the column "
        "(to the right) and to the row (down) at which its camera sees a ground point. It lays "
        "the left image on the right one.",
    )
    left_adjust: Annotated[PathLike | None, Flag(metavar="FILE", tier="expert", path="file")] = (
        Field(
            None,
            description="Camera adjustment of the left raw image from ASP's bundle_adjust -t rpc; "
            "if not given, the file PREFIX-IMAGE.adjust next to the image, if there is one.",
        )
    )
    right_adjust: Annotated[PathLike | None, Flag(metavar="FILE", tier="expert", path="file")] = (
        Field(None, description="Camera adjustment of the right raw image, as for --left-adjust.")
    )
    occlusions: Annotated[bool, Flag(tier="expert")] = Field(
        True, description="Pixels that the DSM hides from the sensor of a raw image are no data."
    )


class PrepareOptions(RawOptions):
    """Options of ``prepare``."""

    inputs: Annotated[list[str], Flag(argument=True, path="layers")] = Field(
        min_length=1,
        description="LAYER=FILE[:BAND], files whose bands are described or coloured, or the output "
        "folder of another tool.",
    )
    out: Annotated[
        PathLike,
        Flag(name="--output", short="-o", metavar="FOLDER", path="folder", suffixes=("/",)),
    ] = Field(description="Scene folder to write.")
    kind: FolderKindOption = None
    source_crs: SourceCrsOption = None
    gsd: float | None = Field(
        None, description="Pixel size in metres; that of the leading layer if not given."
    )
    crs: Annotated[str | None, Flag(metavar="CRS")] = Field(
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
    view_left: Annotated[Direction | None, direction_flag("--view-left")] = Field(
        None,
        description="Direction from the ground to the sensor of the left image, or of the only "
        "one: azimuth clockwise from grid north and elevation above the horizon, in degrees; that "
        "of the camera or of the metadata file if not given.",
    )
    view_right: Annotated[Direction | None, direction_flag("--view-right")] = Field(
        None, description="Direction to the sensor of the right image, as for --view-left."
    )
    sun: Annotated[Direction | None, direction_flag("--sun")] = Field(
        None,
        description="Direction to the sun, as for --view-left; that of the metadata files if not "
        "given.",
    )
    rpc: Annotated[
        Mapping[str, PathLike] | None, Flag(metavar="LAYER=FILE", parse=read_rpc_files)
    ] = Field(
        None,
        description="RPCs of a raw image, if its tags have none: _RPC.TXT, .RPB, Maxar XML or "
        "DIMAP XML, by layer, such as ortho_left=left_RPC.TXT.",
    )
    align: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None,
        description="Reference heights, such as lidar: move DSM, images and the other layers of "
        "the pair onto it by one translation (xdem).",
    )
    stable: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None,
        description="Raster that is above 0 on stable ground, for --align; from slopes, NDVI and "
        "the differences if not given.",
    )
    to_vertical: Annotated[str | None, Flag(metavar="REFERENCE")] = Field(
        None,
        description="Transform all heights to one vertical reference: ellipsoidal, egm96, egm2008, "
        "navd88, ign69, rh2000, or the EPSG code of a vertical CRS, such as EPSG:7837.",
    )
    vertical: Annotated[
        Mapping[str, str] | None,
        Flag(
            metavar="LAYER=REFERENCE",
            parse=partial(read_assignments, "--vertical", "--vertical dsm=egm2008"),
        ),
    ] = Field(
        None,
        description="Vertical references of layers whose files declare none, such as "
        "dem_prior=egm2008; values as for --to-vertical.",
    )
    geoid_grid: Annotated[
        Mapping[str, PathLike] | None, Flag(metavar="[REFERENCE=]FILE", parse=read_grids)
    ] = Field(
        None,
        description="Local file of geoid heights (GTX or GeoTIFF in degrees), above the ellipsoid "
        "of the scene's CRS; for two references egm96=FILE and egm2008=FILE.",
    )
    proj_network: bool | None = Field(
        None,
        description="Let PROJ download geoid grids from cdn.proj.org; as PROJ_NETWORK if not "
        "given.",
    )
    jobs: int | None = Field(None, ge=1, description="Threads that read; all cores if not given.")
    overwrite: Overwrite = False
    quiet: Quiet = True


class CheckOptions(OptionModel):
    """Options of ``check``."""

    scene: Annotated[PathLike, Flag(argument=True, path="folder")] = Field(
        description="Scene folder or scene.yaml, or the output folder of another tool."
    )
    kind: FolderKindOption = None
    source_crs: SourceCrsOption = None
    nodata: NoDataOption = None
