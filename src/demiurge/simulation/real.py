"""Squares cut out of real rasters, to simulate scenes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import layer
from demiurge.paths import split_band
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

#: Largest share of voids of a surface within the scene; voids are filled for the views and kept in
#: the reference heights.
_MOST_VOIDS = 0.5
#: Random positions to try.
_TRIES = 60


@dataclass(frozen=True)
class Cutout:
    """A square cut out of real rasters.

    Attributes
    ----------
    grid
        Grid of the scene, without the margin.
    rasters
        float32 rasters by name, with the margin; NaN for no data.
    source_gsd
        Pixel size of the first raster's file in metres.
    """

    grid: GeoBox
    rasters: dict[str, Array]
    source_gsd: float


def land_sources(path: str) -> dict[str, list[Source]]:
    """Open an elevation model as ``terrain``."""
    return {"terrain": [_height_source(path)]}


def surface_sources(
    surface: str, terrain: str | None, albedo: str | None
) -> dict[str, list[Source]]:
    """Open a surface, and its bare earth and image if given."""
    sources = {"surface": [_height_source(surface)]}
    if terrain is not None:
        sources["terrain"] = [_height_source(terrain)]
    if albedo is not None:
        sources["albedo"] = _image_sources(albedo)
    return sources


def surface_gsd(path: str) -> float:
    """Return the pixel size of a surface in metres."""
    source = _height_source(path)
    return _gsd_in_metres(source.grid, metric_crs(source.grid))


def _height_source(path: str) -> Source:
    file, band = split_band(path)
    return Source.open(file, layer("truth_dsm"), band)


def _image_sources(path: str) -> list[Source]:
    """Open the visible bands of an image; if none is recognised, the named or first band."""
    try:
        bands = recognise_bands(path) if split_band(path)[0] == path else {}
    except UsageError:  # the file does not name its bands
        bands = {}
    visible = [bands[name] for name in ("red", "green", "blue") if name in bands] or [path]
    sources = []
    for name in visible:
        file, band = split_band(name)
        sources.append(Source.open(file, layer("ortho_left"), band))
    return sources


def cut_out(
    sources: dict[str, list[Source]], size: int, gsd: float, margin: int, rng: np.random.Generator
) -> Cutout:
    """Cut a random square out of rasters, with a margin around the scene.

    The first source decides the CRS (if it is in degrees, its UTM zone) and whether a position
    has few enough voids. Around a surface, the margin beyond the rasters is mirrored; terrain
    must cover the margin.

    Parameters
    ----------
    sources
        Rasters by name; several of one name are averaged.
    size, margin, gsd
        In pixels; pixel size in metres.

    Raises
    ------
    DataError
        If the rasters share less than the scene needs, or every position has too many voids.
    """
    first_name, (lead, *_) = next(iter(sources.items()))
    mirrored = "surface" in sources
    crs = metric_crs(lead.grid)
    side = (size if mirrored else size + 2 * margin) * gsd
    shared = _shared_bounds(sources, crs, side, mirrored=mirrored)
    most_voids = _MOST_VOIDS if mirrored else 0.0
    origin = _grid_origin(lead.grid, crs, gsd)
    for _ in range(_TRIES):
        bounds = _random_bounds(shared, side, gsd, origin, rng)
        grid = snapped_grid(bounds, crs, gsd, origin=origin)
        if mirrored:
            inner, margins = grid, _available_margins(grid, shared, margin)
        else:
            inner, margins = _without_margin(grid, margin), (margin,) * 4
        heights = _read(lead, inner, margin, margins)
        checked = heights[margin:-margin, margin:-margin] if mirrored else heights
        if np.isnan(checked).mean() > most_voids:
            continue
        others = {
            name: _mean([_read(source, inner, margin, margins) for source in group])
            for name, group in list(sources.items())[1:]
        }
        return Cutout(inner, {first_name: heights, **others}, _gsd_in_metres(lead.grid, crs))
    raise DataError(
        f"{lead.path}: {_TRIES} random positions all have too many voids",
        "fill its voids or crop it",
    )


def _shared_bounds(
    sources: dict[str, list[Source]], crs: object, side: float, *, mirrored: bool
) -> Bounds:
    """Return the bounds that all sources cover; raise DataError if less than ``side`` metres."""
    lead = next(iter(sources.values()))[0]
    boxes = [bounds_in(s.grid, crs) for group in sources.values() for s in group]
    shared = intersection(boxes)
    extent = (0.0, 0.0) if shared is None else (shared[2] - shared[0], shared[3] - shared[1])
    if shared is None or min(extent) < side * (1 - 1e-9):
        covers = f"{lead.path}: covers" if len(boxes) == 1 else f"{lead.path}: the rasters share"
        needs = "scene needs" if mirrored else "scene with its margin needs"
        raise DataError(
            f"{covers} {extent[0]:.0f} × {extent[1]:.0f} m, the {needs} {side:.0f} m a side",
            "choose a smaller --size or --gsd, or a larger raster",
        )
    return shared


def _grid_origin(grid: GeoBox, crs: object, gsd: float) -> tuple[float, float]:
    """Return the raster's corner if it has the scene's CRS and pixel size, else 0, 0."""
    upright = north_up(grid) if grid.crs == crs else None
    if upright is None or not math.isclose(upright.affine.a, gsd, rel_tol=1e-6):
        return 0.0, 0.0
    return float(upright.affine.c), float(upright.affine.f)


def _random_bounds(
    shared: Bounds, side: float, gsd: float, origin: tuple[float, float], rng: np.random.Generator
) -> Bounds:
    """Return a random square within the shared bounds, on multiples of the pixel size."""
    left, bottom = (
        origin[i]
        + _on_grid(shared[i] - origin[i], shared[i + 2] - origin[i] - side, gsd, rng.random())
        for i in (0, 1)
    )
    return (left, bottom, left + side, bottom + side)


def _on_grid(low: float, high: float, gsd: float, share: float) -> float:
    """Return a multiple of the pixel size at a share of the range, or the nearest one to it."""
    first, last = math.ceil(low / gsd - 1e-6), math.floor(high / gsd + 1e-6)
    return (first + int(share * (max(last - first, 0) + 1))) * gsd


def _available_margins(inner: GeoBox, shared: Bounds, margin: int) -> tuple[int, int, int, int]:
    """Return the pixels of the margin that the rasters cover: left, bottom, right, top."""
    gsd = inner.affine.a
    box = inner.extent.boundingbox
    distances = (
        box.left - shared[0], box.bottom - shared[1], shared[2] - box.right, shared[3] - box.top,
    )  # fmt: skip
    left, bottom, right, top = (
        int(np.clip(math.floor(d / gsd + 1e-6), 0, margin)) for d in distances
    )
    return left, bottom, right, top


def _without_margin(grid: GeoBox, margin: int) -> GeoBox:
    inner = grid[margin:-margin, margin:-margin]
    assert isinstance(inner, GeoBox)
    return inner


def _read(source: Source, inner: GeoBox, margin: int, margins: tuple[int, ...]) -> Array:
    """Read the scene with its margin; the margin beyond ``margins`` is mirrored."""
    left, bottom, right, top = margins
    grid = inner.translate_pix(-left, -top)
    rows, columns = inner.shape
    grid = grid.expand((rows + top + bottom, columns + left + right))
    values = source.read(grid, full_window(grid))
    pads = ((margin - top, margin - bottom), (margin - left, margin - right))
    return np.pad(values, pads, mode="symmetric")


def _mean(rasters: list[Array]) -> Array:
    return np.asarray(sum(rasters) / np.float32(len(rasters)), np.float32)


def _gsd_in_metres(grid: GeoBox, crs: object) -> float:
    """Return the pixel size in metres of a grid that may be in degrees."""
    if crs == grid.crs:
        return pixel_size(grid)
    box = bounds_in(grid, crs)
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]) / (grid.shape[0] * grid.shape[1])))
