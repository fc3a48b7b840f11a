"""The verb ``fetch``: a scene of an area, or scenes of places drawn in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge.errors import ConfigError, DataError, ResourceError, UsageError
from demiurge.fetching.area import area_of, scene_grid
from demiurge.fetching.catalogues import PRODUCTS
from demiurge.fetching.options import Box, FetchOptions
from demiurge.fetching.place import Request, fetch_scene, request_of
from demiurge.layers import PRIOR
from demiurge.outputs import atomic_file, check_output
from demiurge.paths import PathLike
from demiurge.progress import progress
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import Window, window_grid
from demiurge.scene.open import open_scene
from demiurge.scene.scene import Scene

#: File in a folder of places, which lists them and the options that they were drawn with.
PLACES_NAME = "places.geojson"
#: Gap between places and share of them for validation.
_GAP, _VALIDATING = 0.25, 0.2


def fetch(
    out: PathLike,
    *,
    bbox: Box | tuple[float, float, float, float] | None = None,
    geometry: PathLike | None = None,
    like: PathLike | None = None,
    what: str = "sentinel2,dem_prior",
    when: str | None = None,
    bands: str = "red,green,blue,nir",
    single: bool = False,
    cloud: float = 60.0,
    passes: int = 8,
    snow: bool = False,
    stac: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    pairs: int | None = None,
    place: int = 512,
    seed: int = 0,
    cache: PathLike | None = None,
    cache_limit: float = 10.0,
    jobs: int = 8,
    overwrite: bool = False,
    quiet: bool = True,
) -> Scene | list[Scene]:
    """Write a scene with images and a coarse elevation model of an area, from STAC APIs.

    Images are surface reflectance (1 = all light is reflected), NaN where no pass has a clear
    view. Heights are metres above the geoid EGM2008. Downloads are kept in a cache, so that the
    same call resumes after an interruption.

    Parameters
    ----------
    out
        Scene folder to write; with ``pairs``, a folder of scenes.
    bbox
        West, south, east, north in degrees; west is greater than east across the antimeridian.
    geometry, like
        Instead of ``bbox``: a GeoJSON file, or a raster whose grid the scene gets.
    what
        Products, separated by commas: sentinel2, landsat or hls; dem_prior or truth_dsm. With
        sentinel2 or landsat, hls gives only the NDVI.
    when
        Days or months of acquisition, such as ``2024-06/2024-09``; the last 12 months if None.
    bands
        Image layers, separated by commas.
    single
        Take the one pass with the clearest view instead of the median.
    cloud, passes
        Largest cloud cover of an item in percent, and largest number of passes in the median.
    snow
        Keep snow and ice.
    stac
        Name or URL of the STAC API.
    gsd, crs
        Pixel size in metres and projected CRS of the scene.
    pairs, place, seed
        Draw this many places, with this side in pixels and this seed, and write a scene of each.
    cache, cache_limit
        Folder of downloads and its largest size in GB.
    jobs
        Downloads at a time.
    overwrite, quiet
        Replace existing scenes; show no progress.

    Returns
    -------
    The scene, or the scenes of all places that have data.

    Raises
    ------
    UsageError
        For contradictory options.
    ResourceError
        If a service does not answer, or needs credentials.
    DataError
        If there is no usable data of the area.
    """
    given = {n: v for n, v in locals().items() if n in FetchOptions.model_fields}
    options = FetchOptions(**given)
    area, request = area_of(options), request_of(options)
    if options.pairs is None:
        return fetch_scene(request, area, Path(out))
    return _fetch_places(request, area, Path(out))


def draw_places(
    region: GeoBox, side: int, count: int, seed: int
) -> list[tuple[GeoBox, Literal["training", "validating"]]]:
    """Draw square places that lie apart, a fifth of them for validation, next to each other.

    Parameters
    ----------
    region
        The grid that they lie in.
    side
        Their side in pixels. The gap between places is at least a quarter of it.

    Raises
    ------
    UsageError
        If the region is too small.
    """
    rng = np.random.default_rng(seed)
    pitch = round(side * (1 + _GAP))
    rows, columns = (max(0, (int(n) - side) // pitch + 1) for n in region.shape)
    if rows * columns < count:
        raise UsageError(
            f"the area holds {rows * columns} places of {side} pixels, not {count}",
            "give a larger area, fewer --pairs or a smaller --place",
        )
    # The lattice is moved at random within what the region leaves.
    spare = [
        int(n) - side - pitch * (k - 1) for n, k in zip(region.shape, (rows, columns), strict=True)
    ]
    top, left = (int(rng.integers(0, s + 1)) for s in spare)
    cells = rng.choice(rows * columns, count, replace=False)
    centres = np.stack(np.divmod(cells, columns), axis=1)
    distance = np.hypot(*(centres - centres[0]).T)
    held_out = set(
        np.argsort(distance, kind="stable")[: max(1, round(_VALIDATING * count))].tolist()
    )
    places: list[tuple[GeoBox, Literal["training", "validating"]]] = []
    for index, (row, column) in enumerate(centres.tolist()):
        window = Window(top + row * pitch, left + column * pitch, side, side)
        use: Literal["training", "validating"] = "validating" if index in held_out else "training"
        places.append((window_grid(region, window), use))
    return places


def _fetch_places(request: Request, area: GeoBox, out: Path) -> list[Scene]:
    """Write a scene of each place; those of the same options that exist are kept."""
    options = request.options
    lead = request.images or PRODUCTS[PRIOR]
    region = scene_grid(area, options, lead.gsd)
    places = draw_places(region, options.place, options.pairs or 0, options.seed)
    _begin(out, places, request)
    scenes: list[Scene] = []
    faults: list[str] = []
    with progress("places", len(places), quiet=options.quiet, unit="places") as advance:
        for number, (grid, use) in enumerate(places, start=1):
            folder = out / f"place-{number:03d}"
            scene = None if options.overwrite else _existing(folder)
            try:
                scene = scene or fetch_scene(request, grid, folder, name=folder.name, use=use)
                scenes.append(scene)
            except DataError as error:
                faults.append(f"{folder.name}: {error}")
            advance(1, folder.name)
    if not scenes:
        raise DataError(f"{out}: no place has data ({faults[0]})", "give another --when or area")
    if faults:
        (out / "left_out.txt").write_text("\n".join(faults) + "\n", encoding="utf-8")
    return scenes


def _existing(folder: Path) -> Scene | None:
    try:
        return open_scene(folder)
    except (ResourceError, ConfigError):
        return None


def _begin(
    out: Path, places: list[tuple[GeoBox, Literal["training", "validating"]]], request: Request
) -> None:
    """Write the list of places, or check that an existing one has the same options."""
    options = request.options
    kept = {"out", "cache", "cache_limit", "jobs", "overwrite", "quiet"}
    text = json.dumps(
        {
            "type": "FeatureCollection",
            "options": {**options.model_dump(mode="json", exclude=kept), "when": request.when},
            "features": [_feature(n, grid, use) for n, (grid, use) in enumerate(places, start=1)],
        },
        indent=1,
    )
    path = out / PLACES_NAME
    if out.exists() and not options.overwrite:
        if path.is_file() and path.read_text(encoding="utf-8") == text + "\n":
            return
        raise UsageError(
            f"{out}: exists already, and not with the same options",
            "choose another name or add --overwrite",
        )
    if out.exists() and not path.is_file():
        raise UsageError(f"{out}: is not an output of this command", "choose another name")
    check_output(out, overwrite=options.overwrite)
    out.mkdir(exist_ok=True)
    with atomic_file(path, overwrite=True) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _feature(number: int, grid: GeoBox, use: str) -> dict[str, Any]:
    left, bottom, right, top = bounds_in(grid, CRS("EPSG:4326"))
    ring = [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]]
    return {
        "type": "Feature",
        "properties": {"scene": f"place-{number:03d}", "use": use},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
