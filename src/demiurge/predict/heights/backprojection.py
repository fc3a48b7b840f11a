"""Backprojection: heights whose means over the pixels of a coarse prior are the prior's.

A pixel of the prior holds the mean height of its area; interpolation rounds ridges and valleys
off. Iterative backprojection (Irani and Peleg 1991, doi 10.1016/1049-9652(91)90045-L) adds the
difference between the prior and the means of the interpolated heights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array, Indices, Mask, Values
from demiurge.raster.interpolation import (
    along,
    cubic,
    cubic_spline,
    neighbours,
    sampled,
    sampled_in_strips,
)
from demiurge.scene.footprint import Lattice

#: Cells on each side that affect the mean of interpolated values over a cell.
_REACH = 4
#: Rotations below this many cells over a window are treated as zero.
_UPRIGHT = 0.02


@dataclass(frozen=True)
class PriorCells:
    """The pixels ("cells") of a coarse prior under a window.

    Attributes
    ----------
    rows, columns
        float32 (size, size), or (size, 1) and (1, size) without rotation: position of each pixel's
        centre in cells; 0 is the centre of the first cell.
    index
        int (size · size,): the cell that contains each pixel.
    shape
        Rows and columns of cells.
    size
        Side of a cell in pixels, on average.
    centres
        float32 (2, cells): row and column of each cell's centre in pixels.
    """

    rows: Array
    columns: Array
    index: Indices
    shape: tuple[int, int]
    size: float
    centres: Array

    def means(self, plane: Array) -> Array:
        """Return the mean of a plane over each cell, float32 ``shape``.

        Cells without pixels, outside the window's corners, get the mean of the nearest pixel's
        cell.
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

    def interpolate(self, values: Array, *, spline: bool = True) -> Array:
        """Return cell values interpolated at the pixels, float32 (size, size).

        By cubic splines, or by GDAL's ``cubic`` with which priors are read.
        """
        kernel, knots = cubic, values
        if spline:
            kernel = cubic_spline
            knots = ndimage.spline_filter(values, order=3, output=np.float32, mode="nearest")
        if self.rows.shape[1] == 1:
            down = along(self.rows[:, 0], self.shape[0], kernel)
            across = along(self.columns[0], self.shape[1], kernel)
            return np.asarray(down @ knots @ across.T, np.float32)
        return sampled_in_strips(knots, self.rows, self.columns, kernel)

    def centre_values(self, plane: Array) -> Array:
        """Return a plane of pixels at the centres of the cells, float32 ``shape``."""
        return sampled(plane, self.centres[0], self.centres[1], cubic).reshape(self.shape)


def cells_under(size: int, lattice: Lattice) -> PriorCells:
    """Return the cells under a square window.

    Parameters
    ----------
    size
        Side of the window in pixels.
    lattice
        Position of the window's pixels in the prior's grid; see
        :func:`demiurge.scene.footprint.lattice`.
    """
    (r0, rr, rc), (c0, cr, cc) = lattice
    middle = np.arange(size) + 0.5
    across = size * max(abs(rc), abs(cr))
    if across < _UPRIGHT:
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
    return PriorCells(
        rows=(rows - 0.5).astype(np.float32),
        columns=(columns - 0.5).astype(np.float32),
        index=(row * shape[1] + column).ravel(),
        shape=shape,
        size=float(np.sqrt(abs(np.linalg.det(turn)))),
        centres=centres.astype(np.float32),
    )


@lru_cache(maxsize=2)
def _mean_weights(*, spline: bool) -> Values:
    """Return the weights of a cell and its neighbours in the mean of interpolated values."""
    middle = 4 * _REACH
    impulse = np.zeros((1, 2 * middle + 1), np.float32)
    impulse[0, middle] = 1
    within = np.arange(-_REACH, _REACH + 1)[:, None] + (np.arange(200) + 0.5) / 200 - 0.5
    at = (middle + within).astype(np.float32)
    if spline:
        knots = ndimage.spline_filter1d(impulse, order=3, axis=1, output=np.float32)
        index, weights = neighbours(at, impulse.size, cubic_spline)
    else:
        knots = impulse
        index, weights = neighbours(at, impulse.size, cubic)
    means = (weights * knots[0, index]).sum(axis=0).mean(axis=1, dtype=np.float64)
    return np.asarray(means / means.sum())


def means_of_interpolated(values: Array, *, spline: bool = True) -> Array:
    """Return the means over cells of their interpolated values, without interpolating.

    Parameters
    ----------
    values
        float32 (rows, columns) of cells.
    spline
        As in :meth:`PriorCells.interpolate`.
    """
    weights = _mean_weights(spline=spline)
    means = values
    for axis in (0, 1):
        means = ndimage.correlate1d(means, weights, axis=axis, mode="nearest", output=np.float32)
    return np.asarray(means, np.float32)


def lost_means(values: Array) -> Array:
    """Return what interpolation takes from the means of cells, float32 (rows, columns)."""
    return values - means_of_interpolated(values, spline=False)


def back_project(
    change: Array,
    prior: Array,
    cells: PriorCells,
    *,
    known: Mask | None = None,
    detail: float = 1.0,
    trust: Array | float = 1.0,
    restored: float = 1.0,
) -> Array:
    """Return heights whose means over the prior's pixels are the prior's.

    Parameters
    ----------
    change
        float32 (size, size) in metres: what a network adds to the interpolated prior.
    prior
        float32 (size, size) in metres: the prior interpolated to the window, voids filled.
    known
        bool (size, size): where the prior has data; None: everywhere. The means of cells that
        contain a void are not known, so nothing is restored there; elsewhere as well as there, the
        change comes in only as far as ``trust`` lets it.
    detail
        Share of the change's detail that is kept. Detail is the part that cell means lack.
    trust
        Weight of the prior's means against those of the changed heights, 0 to 1; one number, or
        float32 ``cells.shape``. With 0 and ``detail`` 1 the changed heights are returned.
    restored
        Share of the means lost by interpolation that is restored, 0 to 1.

    Returns
    -------
    float32 (size, size) in metres.
    """
    cell_values = cells.centre_values(prior)
    lost = lost_means(cell_values)
    coarse = cells.means(change)
    weight = np.asarray(1 - trust - detail, np.float32)
    lost = lost * np.asarray(trust * np.float32(restored), np.float32)
    if known is not None and not known.all():
        lost[cells.means((~known).astype(np.float32)) > 0] = 0
    # The correction is interpolated, too: correct its own loss with one more step.
    correction = 2 * lost - means_of_interpolated(lost)
    coarse = 2 * coarse - means_of_interpolated(coarse)
    added = cells.interpolate(correction + weight * coarse)
    return np.asarray(prior + np.float32(detail) * change + added, np.float32)
