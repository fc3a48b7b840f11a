"""Warp arrays from one grid to another, ignoring no data, and a cache of warped tiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from threading import Event, Lock

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Values
from demiurge.raster.interpolation import along, cubic
from demiurge.scene.crs import is_degrees, transform, wrapped
from demiurge.scene.footprint import Lattice, centre, lattice
from demiurge.scene.grid import Window, at, window_grid, wkt

#: Largest error of GDAL's approximate transformer in pixels. Its default of 0.125 causes errors of
#: metres on steep slopes; this causes errors below a centimetre and takes no longer.
WARP_TOLERANCE = 0.001

#: Largest error in source pixels of an affine map, and least weight of known pixels.
_AFFINE, _LEAST_WEIGHT = 0.1, 1e-3
#: Side in pixels of the tiles that warped windows are assembled from.
TILE = 256
#: Rows of tiles that a row of windows touches; maximum number of tiles kept for them (64 MB).
_TILE_ROWS, _MOST_TILES = 5, 256


class Tiles:
    """Cache of the tiles used last, shared by all threads of a process.

    A tile that one thread computes is not computed by another: that one waits.
    """

    def __init__(self, most: int = 64) -> None:
        self._most, self._kept, self._lock = most, OrderedDict[Hashable, Array](), Lock()
        self._computing: dict[Hashable, Event] = {}

    def get(self, key: Hashable, make: Callable[[], Array], most: int = 0) -> Array:
        """Return a tile from the cache, or compute and cache it.

        Parameters
        ----------
        most
            From now on keep at least so many tiles.
        """
        while True:
            with self._lock:
                self._most = max(self._most, most)
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                other = self._computing.get(key)
                if other is None:
                    self._computing[key] = Event()
                    break
            other.wait()
        try:
            tile = make()
            with self._lock:
                self._kept[key] = tile
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            return tile
        finally:
            with self._lock:
                self._computing.pop(key).set()


def tiles_across(grid: GeoBox) -> int:
    """Return the number of tiles to keep where windows of a grid are read row by row.

    The next row of windows overlaps the last one, so that tiles are needed again after a row.
    """
    return min(_TILE_ROWS * -(-int(grid.shape[1]) // TILE), _MOST_TILES)


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
    if resampling == "cubic" and scale >= 1:
        upright = warp_cubic(data, source, target)
        if upright is not None:
            return upright
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


def warp_cubic(data: Array, source: GeoBox, target: GeoBox) -> Array | None:
    """Interpolate a complete array at the smaller pixels of a parallel grid.

    Equal to GDAL's ``cubic`` up to rounding, in a tenth of the time.

    Returns
    -------
    float32 on the target grid. None if the grids have different CRSs or are not parallel, if any
    pixel of the array is NaN, or if the target needs pixels around it.
    """
    if str(source.crs) != str(target.crs) or not np.isfinite(data).all():
        return None
    matrix = ~source.affine @ target.affine
    if abs(matrix.b) + abs(matrix.d) > 0:
        return None
    lines = []
    for start, step, few, many in (
        (matrix.f, matrix.e, target.shape[0], data.shape[0]),
        (matrix.c, matrix.a, target.shape[1], data.shape[1]),
    ):
        places = start + step * (np.arange(few) + 0.5) - 0.5
        if places.min() < 1 or places.max() >= many - 2:
            return None
        lines.append(along(places, many, cubic))
    # Less one height, so that large ones keep their precision.
    origin = data[0, 0]
    return np.asarray(lines[0] @ (data - origin) @ lines[1].T + origin, np.float32)


def warp_affine(data: Array, source: GeoBox, target: GeoBox, resampling: str) -> Array | None:
    """Warp a small array by an affine map of pixels, several times faster than :func:`warp`.

    Parameters
    ----------
    data, resampling
        As for :func:`warp`.

    Returns
    -------
    float32 on the target grid, NaN for no data. None if the map between the grids differs from an
    affine one by more than a tenth of a source pixel, or for other methods than nearest and
    bilinear.
    """
    from scipy import ndimage

    order = {"nearest": 0, "bilinear": 1}.get(resampling)
    matrix = lattice(source, target)
    if order is None or not _is_affine(source, target, matrix):
        return None
    (row, rows_down, rows_across), (col, cols_down, cols_across) = matrix
    turn = np.array([[rows_down, rows_across], [cols_down, cols_across]])
    # Centres of pixels lie half a pixel from their corners, in both grids.
    offset = np.array([row, col]) + turn @ (0.5, 0.5) - 0.5
    shape = (int(target.shape[0]), int(target.shape[1]))

    sample = partial(
        ndimage.affine_transform, matrix=turn, offset=offset, output_shape=shape, order=order,
        mode="constant", output=np.float32,
    )  # fmt: skip
    known = np.isfinite(data)
    if known.all() and _contains(data.shape, turn, offset, shape):
        return np.asarray(sample(data))
    weights = sample(known.astype(np.float32))
    with np.errstate(divide="ignore", invalid="ignore"):
        result = sample(np.where(known, data, 0).astype(np.float32)) / weights
    result[weights < _LEAST_WEIGHT] = np.nan
    return np.asarray(result, np.float32)


def _contains(size: tuple[int, ...], turn: Values, offset: Values, shape: tuple[int, int]) -> bool:
    """Return whether all pixels of a result lie between the centres of an array's pixels."""
    rows, columns = shape
    ends = np.array([(0, 0), (rows - 1, 0), (0, columns - 1), (rows - 1, columns - 1)], float)
    places = ends @ turn.T + offset
    return bool((places >= 0).all() and (places <= np.array(size) - 1).all())


def _is_affine(source: GeoBox, target: GeoBox, matrix: Lattice) -> bool:
    """Return whether an affine map of pixels is precise where it was not fitted."""
    rows, columns = (int(n) for n in target.shape)
    places = [(columns, rows), (columns / 2, rows / 2), (columns / 2, 0), (0, rows / 2)]
    across, up = zip(*(at(target.affine, *place) for place in places), strict=True)
    x, y = transform(across, up, target.crs, source.crs)
    for (column, row), place in zip(places, zip(x, y, strict=True), strict=True):
        exact = at(~source.affine, *place)
        ((r, rr, rc), (c, cr, cc)) = matrix
        off = max(
            abs(c + cr * row + cc * column - exact[0]), abs(r + rr * row + rc * column - exact[1])
        )
        if not off <= _AFFINE:
            return False
    return True


def _crs(grid: GeoBox) -> str:
    """Return a grid's CRS for GDAL; for grids beyond ±180°, centred at the grid.

    Otherwise GDAL looks up a point at 181° E at 179° W, where the grid has no pixels.
    """
    left, right = sorted((grid.affine.c, grid.affine.c + grid.affine.a * grid.shape[1]))
    if is_degrees(grid.crs) and (left < -180 - 1e-9 or right > 180 + 1e-9):
        return wrapped(grid.crs, centre(grid)[0])
    return wkt(grid)
