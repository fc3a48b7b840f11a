"""Options of ``export``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.paths import PathLike
from demiurge.scene.options import NoDataOption

CLOUDS = ("las", "laz", "ply")
MESHES = ("glb", "obj")
SUFFIXES = tuple(f".{kind}" for kind in (*CLOUDS, *MESHES))


class ExportOptions(OptionModel):
    """Options of ``export``."""

    surface: Annotated[PathLike, Flag(argument=True, path="raster")] = Field(
        description="Raster of heights; FILE:BAND for another band."
    )
    output: Annotated[PathLike, Flag(short="-o", path="file", suffixes=SUFFIXES)] = Field(
        description="File to write; its suffix selects the format."
    )
    band: int | None = Field(
        None, description="Band of the heights; the one described as heights if not given."
    )
    image: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None, description="Image that colours the points or the mesh."
    )
    tolerance: Annotated[float | None, Flag(name="--thin")] = Field(
        None,
        description="Maximum vertical error in metres when simplifying; if not given, points keep "
        "every pixel and meshes are within a quarter of the pixel size.",
    )
    nodata: NoDataOption = None
    overwrite: Overwrite = False
    quiet: Quiet = True
