"""Warp an array from one grid to another, no data left out."""

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

#: How far, in pixels, GDAL's approximate transformer may be off. Its own 0.125 costs metres
#: of height on steep ground; this costs under a centimetre and no time.
WARP_TOLERANCE = 0.001

#: Pixels a side of the tiles that warped windows are put together from.
TILE = 256


class Tiles:
    """The tiles of warped layers that were made last, for all threads of a process."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._kept, self._lock = most, OrderedDict[Hashable, Array](), Lock()

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """Return a tile, made anew if it is not among the last."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = make()
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found


def from_tiles(window: Window, shape: tuple[int, int], tile: Callable[[Window], Array]) -> Array:
    """Put a window together from tiles of a grid, so that pixels do not depend on the window.

    Parameters
    ----------
    shape
        Rows and columns of the grid.
    tile
        Returns float32 of a tile's shape.
    """
    found = np.empty((window.height, window.width), np.float32)
    bottom, right = window.row + window.height, window.col + window.width
    for row in range(window.row // TILE * TILE, bottom, TILE):
        for col in range(window.col // TILE * TILE, right, TILE):
            size = Window(row, col, min(TILE, shape[0] - row), min(TILE, shape[1] - col))
            top, left = max(row, window.row), max(col, window.col)
            height = min(row + size.height, bottom) - top
            width = min(col + size.width, right) - left
            here = Window(top - window.row, left - window.col, height, width)
            there = Window(top - row, left - col, height, width)
            found[here.slices] = tile(size)[there.slices]
    return found


def halves(grid: GeoBox) -> tuple[GeoBox, GeoBox]:
    """Cut a grid in two along its longer axis."""
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
        float32 on the source grid, NaN for no data, which takes no part.
    resampling
        GDAL's name of it.
    scale
        Target pixels for one source pixel. Left alone, GDAL takes it from each piece that it
        warps, so that results would depend on how the raster is cut.
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
    """Return a grid's CRS for GDAL; beyond 180° longitudes are counted about the grid's middle.

    Else GDAL looks for a point at 181° E at 179° W, where the grid has no pixels.
    """
    left, right = sorted((grid.affine.c, grid.affine.c + grid.affine.a * grid.shape[1]))
    if is_degrees(grid.crs) and (left < -180 - 1e-9 or right > 180 + 1e-9):
        return wrapped(grid.crs, centre(grid)[0])
    return wkt(grid)
