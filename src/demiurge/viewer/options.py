"""Options of ``view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite
from demiurge.paths import PathLike


class ViewOptions(OptionModel):
    """Options of ``view``."""

    paths: Annotated[list[PathLike], Flag(argument=True, path="raster")] = Field(
        min_length=1,
        description="Surfaces, images, scenes, folders of scenes, and evaluate's JSON or HTML; "
        "FILE:BAND for one band.",
    )
    snapshot: Annotated[Path | None, Flag(path="file", suffixes=(".png",))] = Field(
        None, description="Write a picture (PNG) and do not serve."
    )
    bounds: Annotated[str | None, Flag(metavar="L,B,R,T")] = Field(
        None, description="Part to show, in the CRS of the first raster."
    )
    perspective: Annotated[bool, Flag(name="--3d")] = Field(
        False, description="Draw the snapshot as an oblique view."
    )
    exaggeration: float = Field(
        1.5, gt=0, le=20, description="Vertical exaggeration of the oblique view."
    )
    make_cog: bool = Field(
        False,
        description="Write a Cloud Optimized GeoTIFF (NAME.cog.tif) next to each large raster that "
        "is not tiled, and show that.",
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; others than this machine need the token."
    )
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    browser: bool = Field(True, description="Open the page in the browser.")
    overwrite: Overwrite = False
