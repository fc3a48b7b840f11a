"""Warp arrays from one grid to another, ignoring no data, and a cache of warped tiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.scene.crs import is_degrees, wrapped
from demiurge.scene.footprint import centre
from demiurge.scene.grid import Window, window_grid, wkt

#: Largest error of GDAL's approximate transformer in pixels. Its default of 0.125 causes errors of
#: metres on steep slopes; this causes errors below a centimetre and takes no longer.
WARP_TOLERANCE = 0.001

#: Side in pixels of the tiles that warped windows are assembled from.
TILE = 256


class Tiles:
    """Cache of the tiles used last, shared by all threads of a process."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._kept, self._lock = most, OrderedDict[Hashable, Array](), Lock()

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """Return a tile from the cache, or compute and cache it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        tile = make()
        with self._lock:
            self._kept[key] = tile
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return tile


def from_tiles(window: Window, shape: tuple[int, int], tile: Callable[[Window], Array]) -> Array:
    """Assemble a window from fixed tiles of a grid, so that pixels do not depend on the window.

    Parameters
    ----------
    shape
        Rows and columns of the grid.
    tile
        Returns a tile as float32.
    """
    data = np.empty((window.height, window.width), np.float32)
    bottom, right = window.row + window.height, window.col + window.width
    for row in range(window.row // TILE * TILE, bottom, TILE):
        for col in range(window.col // TILE * TILE, right, TILE):
            size = Window(row, col, min(TILE, shape[0] - row), min(TILE, shape[1] - col))
            top, left = max(row, window.row), max(col, window.col)
            height = min(row + size.height, bottom) - top
            width = min(col + size.width, right) - left
            here = Window(top - window.row, left - window.col, height, width)
            there = Window(top - row, left - col, height, width)
            data[here.slices] = tile(size)[there.slices]
    return data


def halves(grid: GeoBox) -> tuple[GeoBox, GeoBox]:
    """Split a grid in two along its longer axis."""
    rows, columns = int(grid.shape[0]), int(grid.shape[1])
    if columns > rows:
        first, second = (
            Window(0, 0, rows, columns // 2),
            Window(0, columns // 2, rows, columns - columns // 2),
        )
    else:
        first, second = (
            Window(0, 0, rows // 2, columns),
            Window(rows // 2, 0, rows - rows // 2, columns),
        )
    return window_grid(grid, first), window_grid(grid, second)


def warp(data: Array, source: GeoBox, target: GeoBox, resampling: str, scale: float) -> Array:
    """Warp an array from one grid to another.

    Parameters
    ----------
    data
        float32 on the source grid; NaN for no data, which is ignored.
    resampling
        Name of GDAL's resampling method.
    scale
        Target pixels per source pixel. By default, GDAL derives it from each array that it warps,
        and results would depend on the tiling.

    Returns
    -------
    float32 on the target grid, NaN for no data.
    """
    from rasterio.enums import Resampling
    from rasterio.io import MemoryFile
    from rasterio.vrt import WarpedVRT

    profile = {
        "driver": "GTiff",
        "height": source.shape[0],
        "width": source.shape[1],
        "count": 1,
        "dtype": "float32",
        "crs": wkt(source),
        "transform": source.affine,
    }
    options = {
        "src_crs": _crs(source),
        "crs": wkt(target),
        "transform": target.affine,
        "height": target.shape[0],
        "width": target.shape[1],
        "resampling": Resampling[resampling],
        "dtype": "float32",
        "num_threads": 1,
        "tolerance": WARP_TOLERANCE,
        "src_nodata": np.nan,
        "nodata": np.nan,
        "XSCALE": scale,
        "YSCALE": scale,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as writer:
            writer.write(data, 1)
        with memory.open() as copy, WarpedVRT(copy, **options) as view:
            return np.asarray(view.read(1), np.float32)


def _crs(grid: GeoBox) -> str:
    """Return a grid's CRS for GDAL; for grids beyond ±180°, centred at the grid.

    Otherwise GDAL looks up a point at 181° E at 179° W, where the grid has no pixels.
    """
    left, right = sorted((grid.affine.c, grid.affine.c + grid.affine.a * grid.shape[1]))
    if is_degrees(grid.crs) and (left < -180 - 1e-9 or right > 180 + 1e-9):
        return wrapped(grid.crs, centre(grid)[0])
    return wkt(grid)
