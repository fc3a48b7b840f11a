"""The pixels of a coarse prior as cells of a finer window, and heights that agree with their means.

Pure functions on arrays. A prior's pixel tells the mean height of its area; interpolated, it rounds
ridges and valleys off. Putting back what the means of the interpolated heights lack is known as
iterative back-projection (Irani and Peleg 1991, doi 10.1016/1049-9652(91)90045-L).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from demiurge.scene.grid import Lattice

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: Neighbours that a cell's mean of interpolated values depends on.
_REACH = 4


@dataclass(frozen=True)
class Cells:
    """The cells under a window.

    Attributes
    ----------
    rows, columns
        float32 (size, size): where each pixel's centre lies, in cells; 0 is the middle of the
        first one.
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

    def spread(self, values: Array) -> Array:
        """Return cell values interpolated at the pixels, float32 (size, size)."""
        at = (self.rows, self.columns)
        found = ndimage.map_coordinates(values, at, order=3, mode="nearest", output=np.float32)
        return np.asarray(found, np.float32)

    def values(self, plane: Array) -> Array:
        """Return what a plane that was interpolated from the cells has in their middles."""
        at = np.clip(self.centres, 0, np.array(plane.shape)[:, None] - 1)
        found = ndimage.map_coordinates(plane, at, order=3, mode="nearest", output=np.float32)
        return np.asarray(found, np.float32).reshape(self.shape)


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


@lru_cache(maxsize=1)
def _mean_weights() -> npt.NDArray[np.float64]:
    """Return how the mean over a cell of a cubic spline depends on the cell and its neighbours."""
    one = np.zeros(8 * _REACH + 1)
    one[4 * _REACH] = 1
    within = (np.arange(200) + 0.5) / 200 - 0.5
    found = np.array([
        ndimage.map_coordinates(one, [4 * _REACH + k + within], order=3, mode="mirror").mean()
        for k in range(-_REACH, _REACH + 1)
    ])  # fmt: skip
    return np.asarray(found / found.sum())


def means_of_spread(values: Array) -> Array:
    """Return the means over cells of what :meth:`Cells.spread` makes of them."""
    weights = _mean_weights()
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
    lost = told - means_of_spread(told)
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
