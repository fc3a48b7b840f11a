"""Places cut out of real rasters, for simulations over them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import Layer, layer
from demiurge.paths import split_band
from demiurge.raster.voids import fill_voids
from demiurge.scene.bands import recognise_bands
from demiurge.scene.footprint import bounds_in, metric_crs
from demiurge.scene.grid import (
    Bounds,
    full_window,
    intersection,
    north_up,
    pixel_size,
    snapped_grid,
)
from demiurge.scene.source import Source
from demiurge.simulation.canvas import Canvas
from demiurge.simulation.cover import World, matter

#: A surface may have this share of voids within the scene; filled for the views, void in the
#: truth.
_VOIDS = 0.5
_TRIES = 60


@dataclass(frozen=True)
class Place:
    """A square cut out of rasters.

    Attributes
    ----------
    grid
        Of the scene, without the margin.
    planes
        float32 rasters by name with the margin around them; NaN for no data.
    known
        Pixel size in metres of the leading raster.
    """

    grid: GeoBox
    planes: dict[str, Array]
    known: float


def land_sources(path: str) -> dict[str, list[Source]]:
    """Open an elevation model that is to be the land."""
    return {"terrain": [Source.open(*_split(path))]}


def surface_sources(
    surface: str, terrain: str | None, albedo: str | None
) -> dict[str, list[Source]]:
    """Open a surface and what else is known of its place."""
    found = {"surface": [Source.open(*_split(surface))]}
    if terrain is not None:
        found["terrain"] = [Source.open(*_split(terrain))]
    if albedo is not None:
        found["albedo"] = _image_sources(albedo)
    return found


def _split(path: str) -> tuple[str, Layer, int | None]:
    file, band = split_band(path)
    return file, layer("truth_dsm"), band


def _image_sources(path: str) -> list[Source]:
    """Open the visible bands of an image; the band that is named, or the first, if not told."""
    try:
        bands = recognise_bands(path) if split_band(path)[0] == path else {}
    except UsageError:  # nothing in the file says what its bands are
        bands = {}
    visible = [bands[name] for name in ("red", "green", "blue") if name in bands] or [path]
    found = []
    for name in visible:
        file, band = split_band(name)
        found.append(Source.open(file, layer("ortho_left"), band))
    return found


def cut(
    sources: dict[str, list[Source]],
    size: int,
    gsd: float,
    margin: int,
    rng: np.random.Generator,
) -> Place:
    """Cut a random place out of rasters, with a margin around the scene.

    The first source leads: its CRS is the scene's (or the UTM zone of one in degrees), and its
    voids decide whether a place will do. Around a surface, what of the margin lies beyond the
    rasters is mirrored; land must cover it.

    Raises
    ------
    DataError
        If the rasters share less than the scene needs, or are void in every place tried.
    """
    lead = next(iter(sources.values()))[0]
    surface = "surface" in sources
    crs = metric_crs(lead.grid)
    boxes = [bounds_in(s.grid, crs) for group in sources.values() for s in group]
    whole = intersection(boxes)
    side = (size if surface else size + 2 * margin) * gsd
    have = (0.0, 0.0) if whole is None else (whole[2] - whole[0], whole[3] - whole[1])
    if whole is None or min(have) < side * (1 - 1e-9):
        shared = f"{lead.path}: covers" if len(boxes) == 1 else f"{lead.path}: the rasters share"
        what = "scene needs" if surface else "scene with its margin needs"
        raise DataError(
            f"{shared} {have[0]:.0f} × {have[1]:.0f} m, the {what} {side:.0f} m a side",
            "choose a smaller --size or --gsd, or a larger raster",
        )
    most = _VOIDS if surface else 0.0
    corner = _corner(lead.grid, crs, gsd)
    for _ in range(_TRIES):
        left, bottom = (
            corner[i] + _placed(whole[i] - corner[i], whole[i + 2] - corner[i] - side, gsd,
                                rng.random())
            for i in (0, 1)
        )  # fmt: skip
        box = (left, bottom, left + side, bottom + side)
        if surface:
            inner = snapped_grid(box, crs, gsd, origin=corner)
            rims = _rims(inner, whole, margin)
        else:
            grid = snapped_grid(box, crs, gsd, origin=corner)
            inner, rims = _cropped(grid, margin), (margin,) * 4
        heights = _read(lead, inner, margin, rims)
        inside = heights[margin:-margin, margin:-margin] if surface else heights
        if np.isnan(inside).mean() > most:
            continue
        planes = {
            name: _mean([_read(source, inner, margin, rims) for source in group])
            for name, group in list(sources.items())[1:]
        }
        return Place(inner, {next(iter(sources)): heights, **planes}, _metres(lead.grid, crs))
    raise DataError(
        f"{lead.path}: no place with few enough voids was found in {_TRIES} tries",
        "fill its voids or crop it",
    )


def _corner(grid: GeoBox, crs: object, gsd: float) -> tuple[float, float]:
    """Return a corner that pixels keep to: the raster's own where it has such pixels, else 0, 0."""
    upright = north_up(grid) if grid.crs == crs else None
    if upright is None or not math.isclose(upright.affine.a, gsd, rel_tol=1e-6):
        return 0.0, 0.0
    return float(upright.affine.c), float(upright.affine.f)


def _placed(low: float, high: float, gsd: float, share: float) -> float:
    """Return a multiple of the pixel size between two bounds, or as near as there is one."""
    first, last = math.ceil(low / gsd - 1e-6), math.floor(high / gsd + 1e-6)
    return (first + int(share * (max(last - first, 0) + 1))) * gsd


def _rims(inner: GeoBox, whole: Bounds, margin: int) -> tuple[int, int, int, int]:
    """Return how many pixels of the margin the rasters hold: left, bottom, right, top."""
    gsd = inner.affine.a
    box = inner.extent.boundingbox
    away = (
        box.left - whole[0], box.bottom - whole[1], whole[2] - box.right, whole[3] - box.top,
    )  # fmt: skip
    left, bottom, right, top = (int(np.clip(math.floor(d / gsd + 1e-6), 0, margin)) for d in away)
    return left, bottom, right, top


def _cropped(grid: GeoBox, margin: int) -> GeoBox:
    inner = grid[margin:-margin, margin:-margin]
    assert isinstance(inner, GeoBox)
    return inner


def _read(source: Source, inner: GeoBox, margin: int, rims: tuple[int, ...]) -> Array:
    """Read the scene with its margin; what lies beyond the rims is mirrored."""
    left, bottom, right, top = rims
    grid = inner.translate_pix(-left, -top)
    rows, columns = inner.shape
    grid = grid.expand((rows + top + bottom, columns + left + right))
    found = source.read(grid, full_window(grid))
    pads = ((margin - top, margin - bottom), (margin - left, margin - right))
    return np.pad(found, pads, mode="symmetric")


def _mean(planes: list[Array]) -> Array:
    return np.asarray(sum(planes) / np.float32(len(planes)), np.float32)


def _metres(grid: GeoBox, crs: object) -> float:
    """Return the pixel size in metres of a grid that may be in degrees."""
    if crs == grid.crs:
        return pixel_size(grid)
    box = bounds_in(grid, crs)
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]) / (grid.shape[0] * grid.shape[1])))


def surface_pixel(source: Source) -> float:
    """Return the pixel size of a surface in metres."""
    crs = metric_crs(source.grid)
    return _metres(source.grid, crs)


def world_of(place: Place, rng: np.random.Generator) -> tuple[World, dict[str, Array]]:
    """Make a world of a real surface: its shapes, and its image as the matter.

    Parameters
    ----------
    place
        With ``surface``, and ``terrain`` and ``albedo`` where they are known.

    Returns
    -------
    The world, its voids filled; and the truth with its voids, with the margin.
    """
    surface = place.planes["surface"]
    terrain = place.planes.get("terrain")
    dsm = fill_voids(surface)
    dtm = dsm if terrain is None else np.minimum(fill_voids(terrain), dsm)
    image = place.planes.get("albedo")
    if image is not None and np.isfinite(image).any():
        albedo = _albedo(image)
    else:
        albedo, _ = matter(Canvas.bare(dsm, float(place.grid.affine.a)), rng)
    truth = {"truth_dsm": surface}
    if terrain is not None:
        truth["truth_dtm"] = np.where(np.isnan(surface), np.nan, np.minimum(terrain, surface))
    unknown = np.zeros(dsm.shape, np.uint8)
    return World(dtm, dsm, unknown, albedo, None), truth


def _albedo(image: Array) -> Array:
    """Bring digital numbers to reflectances that land has; holes get the mean."""
    step = max(1, int(np.sqrt(image.size / 250_000)))
    low, high = np.nanpercentile(image[::step, ::step], (1, 99))
    scaled = (image - low) * np.float32(0.5 / max(high - low, 1e-9)) + np.float32(0.06)
    scaled = np.where(np.isnan(scaled), np.float32(np.nanmean(scaled)), scaled)
    return np.asarray(np.clip(scaled, 0.02, 0.9), np.float32)
