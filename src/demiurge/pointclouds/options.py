"""Options of ``lidar``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import UsageError
from demiurge.paths import PathLike
from demiurge.pointclouds.cloud import HeightUnit
from demiurge.pointclouds.services import ServiceName
from demiurge.scene.grid import Bounds

#: How the surface is taken from the points of a pixel.
SurfaceRule = Literal["max", "p98"]
#: Where ground points come from.
GroundRule = Literal["auto", "classes", "filter"]


def _box(option: str, what: str, text: str) -> Bounds:
    try:
        left, bottom, right, top = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: is not four numbers", f"write {what}") from None
    if not (left < right and bottom < top):
        raise UsageError(f"{option} {text}: is empty", f"write {what}")
    return left, bottom, right, top


def read_bounds(text: str) -> Bounds:
    """Read ``left,bottom,right,top``."""
    return _box("--bounds", "left,bottom,right,top in the CRS of the scene", text)


def read_where(text: str) -> Bounds:
    """Read ``W,S,E,N`` in degrees."""
    return _box("--where", "W,S,E,N in degrees, such as 5.1,45.2,5.12,45.21", text)


class LidarSettings(OptionModel):
    """Options of ``lidar`` except its inputs and its output."""

    gsd: float | None = Field(
        None, gt=0, description="Pixel size in metres; that of --like if not given."
    )
    like: Annotated[PathLike | None, Flag(path="scene")] = Field(
        None, description="Scene or raster whose grid is used, so that pixels coincide."
    )
    crs: Annotated[str | None, Flag(metavar="CRS")] = Field(
        None,
        description="Projected CRS of the scene in metres; that of the points, or their UTM zone, "
        "if not given.",
    )
    bounds: Annotated[Bounds | None, Flag(metavar="L,B,R,T", parse=read_bounds)] = Field(
        None, description="Left, bottom, right and top of the scene in its CRS."
    )
    where: Annotated[Bounds | None, Flag(metavar="W,S,E,N", parse=read_where)] = Field(
        None, description="Bounds of the scene in degrees of longitude and latitude."
    )
    service: Annotated[ServiceName | None, Flag(name="--from")] = Field(
        None,
        description="Public service whose tiles are read for the bounds: USGS 3DEP, IGN LiDAR HD "
        "or AHN.",
    )
    index: Annotated[PathLike | None, Flag(metavar="URL|FILE", path="file")] = Field(
        None, description="LidarTile index to use in place of that of the service."
    )
    source_crs: Annotated[str | None, Flag(metavar="CRS")] = Field(
        None,
        description="CRS of points that declare none; a compound CRS, such as EPSG:2249+6360, also "
        "sets the unit of heights.",
    )
    height_unit: HeightUnit | None = Field(
        None,
        description="Unit of the stored heights, if the points declare none or a wrong one: "
        "metres, international feet or US survey feet.",
    )
    surface: SurfaceRule = Field(
        "max", description="Surface height of a pixel: its highest point or the 98th percentile."
    )
    ground: GroundRule = Field(
        "auto",
        description="Ground points: those of the classes 2 and 9, those of a cloth simulation "
        "filter (needs the extra lidar), or auto: the filter if no point has these classes.",
    )
    max_gap: float = Field(
        30.0,
        gt=0,
        description="Longest side in metres of the triangles of ground points that truth_dtm is "
        "interpolated in; wider gaps have no data.",
    )
    spikes: Annotated[float, Flag(tier="expert")] = Field(
        10.0,
        ge=0,
        description="Height in metres by which an isolated group of at most 3 points must differ "
        "from all surroundings to be dropped; 0 keeps all points.",
    )
    max_height: Annotated[float | None, Flag(tier="expert")] = Field(
        None,
        gt=0,
        description="Largest height above truth_dtm in metres; the surface above it, such as "
        "clouds, is dropped.",
    )
    resolution: Annotated[float | None, Flag(tier="expert")] = Field(
        None,
        gt=0,
        description="Point spacing in metres down to which levels of COPC and EPT are read; all "
        "levels if not given.",
    )
    jobs: int | None = Field(None, ge=1, description="Threads; all cores if not given.")
    overwrite: Overwrite = False
    quiet: Quiet = True


class LidarOptions(LidarSettings):
    """Options of ``lidar``."""

    inputs: Annotated[list[PathLike], Flag(argument=True, path="file")] = Field(
        [],
        description="LAS, LAZ or COPC files, folders of them, URLs of COPC, LAZ or EPT (ept.json), "
        "or tile indices (GeoJSON, GeoPackage).",
    )
    output: Annotated[
        PathLike, Flag(short="-o", metavar="FOLDER", path="folder", suffixes=("/",))
    ] = Field(description="Scene folder to write.")
