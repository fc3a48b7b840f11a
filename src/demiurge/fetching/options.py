"""Options of ``fetch``."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import UsageError
from demiurge.paths import PathLike


class Box(NamedTuple):
    """A bounding box in degrees (WGS 84)."""

    west: float
    south: float
    east: float
    north: float


def read_box(text: str) -> Box:
    """Read a text of the form ``W,S,E,N``."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--bbox {text}: is not four numbers", "write W,S,E,N in degrees: 7.6,45.9,7.8,46.1"
        ) from None
    return Box(west, south, east, north)


class FetchOptions(OptionModel):
    """Options of ``fetch``."""

    out: Annotated[
        PathLike,
        Flag(name="--output", short="-o", metavar="FOLDER", path="folder", suffixes=("/",)),
    ] = Field(description="Scene folder to write; with --pairs, a folder of scenes.")
    bbox: Annotated[Box | None, Flag(metavar="W,S,E,N", parse=read_box)] = Field(
        None,
        description="Area in degrees (WGS 84): west, south, east, north. Across the antimeridian, "
        "west is greater than east.",
    )
    geometry: Annotated[PathLike | None, Flag(path="file")] = Field(
        None, description="GeoJSON file in degrees; the scene covers its bounds."
    )
    like: Annotated[PathLike | None, Flag(path="raster")] = Field(
        None, description="Raster whose grid the scene gets, such as a DSM."
    )
    what: str = Field(
        "sentinel2,dem_prior",
        description="Products: one of sentinel2, landsat and hls, and dem_prior (Copernicus DEM "
        "GLO-30), separated by commas. sentinel2,hls takes only the NDVI from HLS. truth_dsm in "
        "place of dem_prior writes GLO-30 as the reference.",
    )
    when: Annotated[str | None, Flag(metavar="FROM/TO")] = Field(
        None,
        description="Days or months of acquisition, such as 2024-06/2024-09; the last 12 months "
        "if not given.",
    )
    bands: str = Field(
        "red,green,blue,nir", description="Image layers, separated by commas; NDVI is added."
    )
    single: bool = Field(
        False,
        description="Take the one pass with the clearest view, which has one sun, instead of the "
        "median of several.",
    )
    cloud: float = Field(
        60.0, ge=0, le=100, description="Largest cloud cover of an item, in percent."
    )
    passes: int = Field(8, ge=1, le=100, description="Largest number of passes in the median.")
    snow: bool = Field(False, description="Keep snow and ice, which are masked otherwise.")
    stac: Annotated[str | None, Flag(metavar="NAME|URL")] = Field(
        None,
        description="STAC API: earth-search, planetary-computer, lpdaac or a URL; for each product "
        "one that needs no credentials if not given.",
    )
    gsd: float | None = Field(
        None,
        gt=0,
        description="Pixel size in metres; 10 for Sentinel-2, else 30, or that of --like.",
    )
    crs: Annotated[str | None, Flag(metavar="CRS")] = Field(
        None, description="Projected CRS in metres; the UTM zone, or that of --like, if not given."
    )
    pairs: int | None = Field(
        None,
        ge=2,
        description="Draw this many places in the area and write a scene of each, for training; "
        "a fifth of them, apart from the others, is marked for validation.",
    )
    place: Annotated[int, Flag(tier="expert")] = Field(
        512, ge=64, description="Side of the places of --pairs, in pixels."
    )
    seed: Annotated[int, Flag(tier="expert")] = Field(
        0, ge=0, description="Seed of the places of --pairs."
    )
    cache: Annotated[PathLike | None, Flag(metavar="FOLDER", tier="expert", path="folder")] = Field(
        None,
        description="Folder of downloads, from which an interrupted command resumes; "
        "$DEMIURGE_CACHE or the user's cache folder if not given.",
    )
    cache_limit: Annotated[float, Flag(tier="expert")] = Field(
        10.0, gt=0, description="Size of that folder in GB, above which old downloads are removed."
    )
    jobs: Annotated[int, Flag(tier="expert")] = Field(
        8, ge=1, le=64, description="Downloads at a time."
    )
    overwrite: Overwrite = False
    quiet: Quiet = True
