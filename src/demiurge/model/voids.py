"""Smooth filling of voids, so that a network never meets a hole as a height."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def fill_voids(heights: Array) -> Array:
    """Fill NaN by pull-push interpolation: means of ever larger blocks, smoothed on the way back.

    Small holes take the values at their rim, large ones the trend around them; measured pixels
    are not touched. After Gortler et al. (1996), "The Lumigraph", section 4.3.

    Parameters
    ----------
    heights
        float32 (height, width), NaN for voids.

    Returns
    -------
    A finite float32 copy; all 0 if nothing was measured.
    """
    measured = np.isfinite(heights)
    if measured.all():
        return heights.copy()
    if not measured.any():
        return np.zeros_like(heights)
    # Taken about their mean, float32 loses nothing of heights of thousands of metres.
    mean = np.float32(heights[measured].mean(dtype=np.float64))
    values = np.where(measured, heights - mean, np.float32(0))
    filled = _pull_push(values, measured.astype(np.float32)) + mean
    return np.where(measured, heights, filled).astype(np.float32)


def enclosed(measured: Mask, reach: int) -> Mask:
    """Return where heights can be told from measured ones around: a morphological closing.

    The closing is by a square of ``2 · reach + 1`` pixels. Holes and bays up to ``2 · reach``
    pixels across are enclosed, the land beyond a straight outer edge, however it lies, is not. A
    pixel's answer depends on no pixel further than ``2 · reach`` along rows and columns; beyond
    the array's edge nothing counts as measured.

    Parameters
    ----------
    measured
        bool (height, width).
    reach
        Pixels, above 0.
    """
    if measured.all() or not measured.any():
        return measured.copy()
    near = _spread(np.pad(measured, reach), reach)
    closed = ~_spread(~np.pad(near, reach), reach)
    inner = slice(2 * reach, -2 * reach)
    return np.asarray(closed[inner, inner] | measured)


def _spread(mask: Mask, reach: int) -> Mask:
    """Dilate by a square: along rows, then along columns, by counting with running sums."""
    for axis in (0, 1):
        length = mask.shape[axis]
        sums = np.zeros([n + (i == axis) for i, n in enumerate(mask.shape)], np.int32)
        np.cumsum(mask, axis=axis, out=sums[1:] if axis == 0 else sums[:, 1:])
        place = np.arange(length)
        last = np.minimum(place + reach + 1, length)
        first = np.maximum(place - reach, 0)
        mask = sums.take(last, axis) > sums.take(first, axis)
    return mask


def _pull_push(values: Array, weights: Array) -> Array:
    """Return values where the weight is 1, and a smooth guess from coarser levels elsewhere."""
    if min(values.shape) == 1 or weights.all():
        total = max(float(weights.sum()), 1.0)
        mean = np.float32((values * weights).sum() / total)
        return np.where(weights > 0, values, mean).astype(np.float32)
    rows, columns = values.shape
    pad = ((0, rows % 2), (0, columns % 2))
    w = _quads(np.pad(weights, pad))
    v = _quads(np.pad(values * weights, pad))
    coarse = np.divide(v, w, out=np.zeros_like(v), where=w > 0)
    fine = _twice(_pull_push(coarse, (w > 0).astype(np.float32)))[:rows, :columns]
    return np.where(weights > 0, values, fine).astype(np.float32)


def _quads(plane: Array) -> Array:
    """Sum blocks of 2 × 2."""
    total: Array = plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]
    return total


def _twice(plane: Array) -> Array:
    """Double the size with bilinear weights (3/4 and 1/4)."""
    for axis in (0, 1):
        near = np.repeat(plane, 2, axis=axis)
        edge = np.concatenate([plane.take([0], axis), plane, plane.take([-1], axis)], axis=axis)
        size = plane.shape[axis]
        before, after = edge.take(range(size), axis), edge.take(range(2, size + 2), axis)
        other = np.stack([before, after], axis=axis + 1).reshape(near.shape)
        plane = np.asarray(0.75 * near + 0.25 * other, np.float32)
    return plane
