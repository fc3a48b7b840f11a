"""Options of ``simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.paths import PathLike


class SimulateOptions(OptionModel):
    """Options of ``simulate``."""

    output: Annotated[
        PathLike, Flag(short="-o", metavar="FOLDER", path="folder", suffixes=("/",))
    ] = Field(
        description="Scene folder to write; with several sites, the folder of the scene folders."
    )
    family: Literal["stereo", "optical"] | None = Field(
        None,
        description="stereo (the default): a matched image pair, for refine. optical: one "
        "multispectral image, for generate.",
    )
    style: Annotated[str, Flag(metavar="NAME")] = Field(
        "hills",
        description="Landscape: plain, hills, forest, alpine, or mixed for all in turn; for stereo "
        "also town, canyon, snow; for optical also arid.",
    )
    size: int | None = Field(None, description="Width and height of a scene in pixels.")
    gsd: float | None = Field(
        None, description="Pixel size in metres: 0.25 to 2 for stereo, 10 to 30 for optical."
    )
    terrain: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None, description="Elevation model in metres to use as terrain."
    )
    surface: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None, description="Real surface (lidar DSM) to render the stereo pair from."
    )
    albedo: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None, description="Image that colours the surface."
    )
    terrain_only: bool = Field(
        False, description="Write the bare-earth terrain only: one layer, dtm."
    )
    vary: bool = Field(
        False, description="Draw random light, views, sensor and matcher for each scene."
    )
    config: Annotated[Path | None, Flag(path="file")] = Field(
        None, description="YAML file of settings, or the simulation.yaml of a scene."
    )
    sites: int = Field(1, ge=1, description="Number of scenes.")
    seed: int = Field(0, ge=0, description="Seed of all random numbers.")
    jobs: int = Field(1, ge=1, description="Number of parallel processes.")
    overwrite: Overwrite = False
    quiet: Quiet = True
