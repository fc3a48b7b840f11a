"""Rasters from stored points, tile by tile: statistics by pixel, then surface and ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.pointclouds.cells import (
    Cells,
    PointTable2D,
    mean_cells,
    pixel_of,
    spikes,
    surface_cells,
    vertices,
)
from demiurge.pointclouds.ground import cloth_ground, triangulated
from demiurge.pointclouds.store import PointStore
from demiurge.progress import Advance
from demiurge.raster.outliers import WIDE, isolated_peaks
from demiurge.scene.geotiff import create_stack, map_stack, release
from demiurge.scene.grid import Window, grown
from demiurge.threads import map_ordered

#: Colours of points.
COLOURS = ("red", "green", "blue")
#: Slope up to which a neighbouring pixel may be higher or lower: 80 degrees.
_STEEP = math.tan(math.radians(80))
#: Largest number of points of a spike.
_FEW = 3
#: Margin in metres around a tile for the ground filter.
_CLOTH = 50.0
#: Planes of a scratch file, before the layers: what the second pass needs of the first.
_SCRATCH = ("surface", "support", "below", "z", "row", "col")


@dataclass(frozen=True)
class Rules:
    """How rasters are made; lengths are metres.

    Attributes
    ----------
    percentile
        The surface is the 98th percentile instead of the highest point.
    cloth
        Ground points are chosen by a filter, not by their class.
    ground
        Whether there is a layer of the ground.
    max_gap, spikes, max_height
        See :class:`~demiurge.pointclouds.options.LidarOptions`.
    """

    percentile: bool
    cloth: bool
    ground: bool
    max_gap: float
    spikes: float
    max_height: float | None


def write_layers(
    store: PointStore, grid: GeoBox, path: Path, rules: Rules, jobs: int, advance: Advance
) -> tuple[list[str], int]:
    """Write the layers of stored points to a GeoTIFF; the points are deleted.

    Parameters
    ----------
    path
        The GeoTIFF; scratch files are written next to it.
    advance
        Called with megapixels, twice for each.

    Returns
    -------
    The names of the layers in band order, and the number of pixels with spikes.
    """
    colours = [name for name in COLOURS if name in store.dtype.names]
    names = ["truth_dsm", *(["truth_dtm"] if rules.ground else [])]
    names += ["intensity", *colours, "point_density", "valid"]
    create_stack(path, grid, names)
    layers = map_stack(path, writable=True)
    assert layers is not None
    gsd = float(grid.affine.a)
    scratch = np.lib.format.open_memmap(
        path.with_suffix(".npy"), "w+", np.float32, (len(_SCRATCH), *store.shape)
    )
    least = _least(rules, gsd)

    def first(item: tuple[int, Window]) -> Window:
        tile, window = item
        scratch[(slice(None), *window.slices)] = np.nan
        layers[(names.index("point_density"), *window.slices)] = 0
        for strip, points in store.strips(tile, window):
            _cells(points, strip, rules, least, gsd, scratch, layers, names)
        store.remove(tile)
        release(scratch)
        release(layers)
        return window

    for window in map_ordered(first, store.windows(), jobs, ahead=jobs):
        advance(window.height * window.width / 1e6)
    share = _measured_share(scratch, store)
    total = 0

    def second(item: tuple[int, Window]) -> tuple[Window, int]:
        removed = _finish(item[1], rules, least, gsd, share, scratch, layers, names)
        release(scratch)
        release(layers)
        return item[1], removed

    for window, removed in map_ordered(
        second, store.windows(), 1 if rules.cloth else jobs, ahead=jobs
    ):
        total += removed
        advance(window.height * window.width / 1e6)
    layers.flush()
    return names, total


def _least(rules: Rules, gsd: float) -> float:
    """Return the height by which a spike stands out; neighbours may be that steep without one."""
    return rules.spikes + _STEEP * gsd


def _cells(
    points: Any,
    window: Window,
    rules: Rules,
    least: float,
    gsd: float,
    scratch: Any,
    layers: Any,
    names: list[str],
) -> None:
    """Write the statistics of the points of a window."""
    shape = (window.height, window.width)
    table = PointTable2D(*(np.ascontiguousarray(points[name]) for name in ("row", "col", "z")))
    cells: Cells = surface_cells(table, shape, percentile=rules.percentile, least=least)
    for plane, values in enumerate((cells.surface, cells.support, cells.below)):
        scratch[(plane, *window.slices)] = values
    if rules.ground:
        if not rules.cloth:
            chosen = points["ground"]
            table_ground = PointTable2D(table.row[chosen], table.col[chosen], table.z[chosen])
        else:
            table_ground = table
        scratch[(slice(3, 6), *window.slices)] = vertices(table_ground, shape, lowest=rules.cloth)
    pixel = pixel_of(table, shape)
    for name in ("intensity", *COLOURS):
        if name in names:
            values = mean_cells(pixel, points[name], shape)
            layers[(names.index(name), *window.slices)] = values
    layers[(names.index("point_density"), *window.slices)] = cells.count / np.float32(gsd**2)


def _measured_share(scratch: Any, store: PointStore) -> float:
    """Return the share of pixels with points, in tiles with points."""
    measured = total = 0
    for tile, window in store.windows():
        if store.counts.get(tile):
            part = np.isfinite(scratch[(0, *window.slices)])
            measured, total = measured + int(part.sum()), total + part.size
        release(scratch)
    return max(measured / max(total, 1), 1e-4)


def _side(share: float) -> int:
    """Return the side in pixels of a neighbourhood that has several measured pixels."""
    return min(WIDE, 2 * math.ceil(1.5 / math.sqrt(share)) - 1) if share < 1 else 3


def _finish(
    window: Window,
    rules: Rules,
    least: float,
    gsd: float,
    share: float,
    scratch: Any,
    layers: Any,
    names: list[str],
) -> int:
    """Write surface, ground and mask of a window; return the number of pixels with spikes."""
    shape = (int(scratch.shape[1]), int(scratch.shape[2]))
    side = max(3, _side(share))
    reach = rules.max_gap if not rules.cloth else max(rules.max_gap, _CLOTH)
    wide = grown(window, max(2 * side, math.ceil(reach / gsd)), shape)
    planes = np.array(scratch[(slice(None), *wide.slices)])
    inner = (
        slice(window.row - wide.row, window.row - wide.row + window.height),
        slice(window.col - wide.col, window.col - wide.col + window.width),
    )
    surface, support, below = (planes[i] for i in range(3))
    removed = np.zeros(surface.shape, bool)
    if rules.spikes > 0:
        surface, removed = _without_spikes(surface, support, below, side, least)
    surface, below = surface[inner], below[inner]
    if rules.ground:
        ground = _ground(planes[3:], rules, least, side, gsd, inner)
        if rules.max_height is not None:
            surface = _capped(surface, below, ground, rules.max_height)
        layers[(names.index("truth_dtm"), *window.slices)] = ground
    layers[(names.index("truth_dsm"), *window.slices)] = surface
    layers[(names.index("valid"), *window.slices)] = np.isfinite(surface)
    return int(removed[inner].sum())


def _without_spikes(
    surface: Array, support: Array, below: Array, side: int, least: float
) -> tuple[Array, Mask]:
    """Return the surface with isolated points dropped, and the mask of those pixels."""
    limit = np.float32(least)
    peaks = spikes(support, isolated_peaks(surface, side, limit), _FEW)
    cleaned = np.where(peaks, below, surface)
    pits = spikes(support, isolated_peaks(-cleaned, side, limit), _FEW)
    cleaned = np.where(pits, np.float32(np.nan), cleaned)
    return np.asarray(cleaned, np.float32), peaks | pits


def _ground(
    planes: Array, rules: Rules, least: float, side: int, gsd: float, inner: tuple[slice, slice]
) -> Array:
    """Return the ground of the inner pixels by triangulation, without isolated vertices."""
    limit, z = np.float32(least), planes[0]
    if rules.spikes > 0:
        isolated = isolated_peaks(-z, side, limit) | isolated_peaks(z, side, limit)
        planes = np.where(isolated, np.float32(np.nan), planes)
    if rules.cloth:
        planes = np.where(cloth_ground(planes, gsd), planes, np.float32(np.nan))
    return triangulated(planes, rules.max_gap / gsd, inner)


def _capped(surface: Array, below: Array, ground: Array, most: float) -> Array:
    """Replace heights that are too far above the ground by the next lower point, or no data."""
    high = surface - ground > most
    second = np.where(below - ground > most, np.float32(np.nan), below)
    return np.asarray(np.where(high, second, surface), np.float32)
