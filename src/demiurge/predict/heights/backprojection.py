"""The pixels of a coarse prior as cells of a finer window, and heights that agree with their means.

Pure functions on arrays. A prior's pixel tells the mean height of its area; interpolated, it rounds
ridges and valleys off. Putting back what the means of the interpolated heights lack is known as
iterative back-projection (Irani and Peleg 1991, doi 10.1016/1049-9652(91)90045-L).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from demiurge.arrays import Array, Mask
from demiurge.scene.footprint import Lattice

#: Neighbours on each side that a cell's mean of interpolated values depends on.
_REACH = 4
#: Rows interpolated at a time, so that what they take stays in the processor's cache.
_STRIPE = 16
#: Cells that an upright lattice may be askew over a window.
_UPRIGHT = 0.02


@dataclass(frozen=True)
class Cells:
    """The cells under a window.

    Attributes
    ----------
    rows, columns
        float32 (size, size), or (size, 1) and (1, size) where the cells lie upright: where each
        pixel's centre lies, in cells; 0 is the middle of the first one.
    index
        int64 (size · size,): the cell that holds each pixel.
    shape
        Rows and columns of cells.
    size
        Pixels to the side of a cell, on average.
    centres
        float32 (2, cells): row and column of the middle of each cell, in pixels.
    """

    rows: Array
    columns: Array
    index: npt.NDArray[np.int64]
    shape: tuple[int, int]
    size: float
    centres: Array

    def means(self, plane: Array) -> Array:
        """Return the mean of a plane over each cell as float32 ``shape``.

        Cells beyond the window's corners have that of the nearest pixel's cell.
        """
        count = self.shape[0] * self.shape[1]
        total = np.bincount(self.index, plane.ravel(), count)
        pixels = np.bincount(self.index, minlength=count)
        empty = np.flatnonzero(pixels == 0)
        if empty.size:
            side = self.rows.shape[0]
            row, column = np.clip(np.rint(self.centres[:, empty]).astype(np.int64), 0, side - 1)
            nearest = self.index[row * side + column]
            total[empty], pixels[empty] = total[nearest], pixels[nearest]
        return (total / pixels).astype(np.float32).reshape(self.shape)

    def spread(self, values: Array, *, spline: bool = True) -> Array:
        """Return cell values interpolated at the pixels, float32 (size, size).

        By cubic splines, or as GDAL's ``cubic`` does it, which is how priors come to be read.
        """
        weigh, knots = _cubic, values
        if spline:
            weigh = _spline
            knots = ndimage.spline_filter(values, order=3, output=np.float32, mode="nearest")
        if self.rows.shape[1] == 1:
            down = _matrix(self.rows[:, 0], self.shape[0], weigh)
            along = _matrix(self.columns[0], self.shape[1], weigh)
            return np.asarray(down @ knots @ along.T, np.float32)
        found = np.empty(self.rows.shape, np.float32)
        for top in range(0, len(found), _STRIPE):
            part = slice(top, top + _STRIPE)
            found[part] = _sampled(knots, self.rows[part], self.columns[part], weigh)
        return found

    def values(self, plane: Array) -> Array:
        """Return what a plane that was interpolated from the cells has in their middles."""
        return _sampled(plane, self.centres[0], self.centres[1], _cubic).reshape(self.shape)


def cells_under(size: int, lattice: Lattice) -> Cells:
    """Return the cells under a square window.

    Parameters
    ----------
    size
        Side of the window in pixels.
    lattice
        Where the window's pixels lie in the prior's grid; see :func:`demiurge.scene.grid.lattice`.
    """
    (r0, rr, rc), (c0, cr, cc) = lattice
    middle = np.arange(size) + 0.5
    across = size * max(abs(rc), abs(cr))
    if across < _UPRIGHT:  # cells a hair askew are as good as upright
        r0, c0, rc, cr = r0 + rc * size / 2, c0 + cr * size / 2, 0.0, 0.0
        rows, columns = (r0 + rr * middle)[:, None], (c0 + cc * middle)[None]
    else:
        rows = (r0 + rr * middle)[:, None] + rc * middle
        columns = (c0 + cr * middle)[:, None] + cc * middle
    first = np.floor([rows.min(), columns.min()])
    rows -= first[0]
    columns -= first[1]
    row, column = rows.astype(np.int64), columns.astype(np.int64)
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    turn = np.linalg.inv(np.array([[rr, rc], [cr, cc]]))
    middles = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"))
    start = np.array([r0, c0]) - first
    centres = turn @ (middles.reshape(2, -1) - start[:, None]) - 0.5
    return Cells(
        rows=(rows - 0.5).astype(np.float32),
        columns=(columns - 0.5).astype(np.float32),
        index=(row * shape[1] + column).ravel(),
        shape=shape,
        size=float(np.sqrt(abs(np.linalg.det(turn)))),
        centres=centres.astype(np.float32),
    )


def _cubic(part: Array) -> Array:
    """Return the weights of the four neighbours of points between the second and third.

    Keys' cubic convolution (1981, doi 10.1109/TASSP.1981.1163711), as GDAL's ``cubic``.

    Parameters
    ----------
    part
        float32 (…): the way from the second to the third, 0 to 1.

    Returns
    -------
    float32 (4, …).
    """
    squared = part * part
    cubed = squared * part
    return np.stack([
        squared - (cubed + part) / 2,
        1 + (3 * cubed - 5 * squared) / 2,
        2 * squared + (part - 3 * cubed) / 2,
        (cubed - squared) / 2,
    ])  # fmt: skip


def _spline(part: Array) -> Array:
    """Return the weights of the four knots of a cubic spline; as :func:`_cubic`."""
    squared = part * part
    cubed = squared * part
    last = cubed / 6
    third = (1 + 3 * (part + squared - cubed)) / 6
    second = 2 / np.float32(3) - squared + cubed / 2
    return np.stack([1 - second - third - last, second, third, last])


def _neighbours(
    at: Array, length: int, weigh: Callable[[Array], Array]
) -> tuple[npt.NDArray[np.int32], Array]:
    """Return the four neighbours of points, the ends repeated, and their weights; both (4, …)."""
    before = np.floor(at)
    steps = np.arange(-1, 3, dtype=np.int32).reshape(4, *(1,) * at.ndim)
    places = before.astype(np.int32) + steps
    return np.clip(places, 0, length - 1, out=places), weigh(at - before)


def _matrix(at: Array, length: int, weigh: Callable[[Array], Array]) -> Array:
    """Return float32 (points, length): what turns knots along an axis into heights."""
    found = np.zeros((at.size, length), np.float32)
    for place, weight in zip(*_neighbours(at, length, weigh), strict=True):
        np.add.at(found, (np.arange(at.size), place), weight)
    return found


def _sampled(plane: Array, rows: Array, columns: Array, weigh: Callable[[Array], Array]) -> Array:
    """Return a plane at points, from their sixteen neighbours."""
    down, weights = _neighbours(rows, plane.shape[0], weigh)
    along, shares = _neighbours(columns, plane.shape[1], weigh)
    found = np.zeros(rows.shape, np.float32)
    flat = np.ascontiguousarray(plane).ravel()
    for place, weight in zip(down * plane.shape[1], weights, strict=True):
        line = np.zeros_like(found)
        for column, share in zip(along, shares, strict=True):
            line += share * flat.take(place + column)
        found += weight * line
    return found


@lru_cache(maxsize=2)
def _mean_weights(*, spline: bool) -> npt.NDArray[np.float64]:
    """Return how the mean over a cell of interpolated values depends on it and its neighbours."""
    middle = 4 * _REACH
    one = np.zeros((1, 2 * middle + 1), np.float32)
    one[0, middle] = 1
    within = np.arange(-_REACH, _REACH + 1)[:, None] + (np.arange(200) + 0.5) / 200 - 0.5
    at = (middle + within).astype(np.float32)
    if spline:
        knots = ndimage.spline_filter1d(one, order=3, axis=1, output=np.float32)
        places, weights = _neighbours(at, one.size, _spline)
    else:
        knots = one
        places, weights = _neighbours(at, one.size, _cubic)
    found = (weights * knots[0, places]).sum(axis=0).mean(axis=1, dtype=np.float64)
    return np.asarray(found / found.sum())


def means_of_spread(values: Array, *, spline: bool = True) -> Array:
    """Return the means over cells of what :meth:`Cells.spread` makes of their values.

    Parameters
    ----------
    values
        float32 (rows, columns) of cells.
    spline
        False for what GDAL's cubic interpolation makes of them.
    """
    weights = _mean_weights(spline=spline)
    found = values
    for axis in (0, 1):
        found = ndimage.correlate1d(found, weights, axis=axis, mode="nearest", output=np.float32)
    return np.asarray(found, np.float32)


def back_projected(
    change: Array,
    prior: Array,
    cells: Cells,
    *,
    known: Mask | None = None,
    detail: float = 1.0,
    trust: Array | float = 1.0,
) -> Array:
    """Return heights whose means over a prior's pixels are the prior's.

    Parameters
    ----------
    change
        float32 (size, size) in metres: what a network adds to the interpolated prior.
    prior
        float32 (size, size) in metres: the prior interpolated to the window, voids filled.
    known
        bool (size, size): where the prior was no void; all of it if None. Cells with a void tell
        nothing.
    detail
        Share of the change's finer part, of which a cell's mean knows nothing, that is kept.
    trust
        How far the prior's means are believed against the changed heights', 0 to 1; one number,
        or float32 ``cells.shape``. 0 with all of the detail leaves the changed heights as they are.

    Returns
    -------
    float32 (size, size) in metres.
    """
    told = cells.values(prior)
    lost = told - means_of_spread(told, spline=False)
    coarse = cells.means(change)
    weight: Array | float = 1 - trust - detail
    lost = lost * np.asarray(trust, np.float32)
    if known is not None and not known.all():
        void = cells.means((~known).astype(np.float32)) > 0
        lost[void] = 0
        weight = np.where(void, np.float32(1 - detail), np.float32(weight))
    # One step more than adding the means' own lack: what is added is interpolated, too.
    lack = 2 * lost - means_of_spread(lost)
    coarse = 2 * coarse - means_of_spread(coarse)
    added = cells.spread(lack + weight * coarse)
    return np.asarray(prior + np.float32(detail) * change + added, np.float32)
