"""Smooth filling of voids, so that a network never meets a hole as a height."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask


def fill_voids(heights: Array, measured: Mask | None = None) -> Array:
    """Fill NaN by pull-push interpolation: means of ever larger blocks, smoothed on the way back.

    Small holes take the values at their rim, large ones the trend around them; measured pixels
    are not touched. After Gortler et al. (1996), "The Lumigraph", section 4.3.

    Parameters
    ----------
    heights
        float32 (height, width), NaN for voids.
    measured
        ``isfinite(heights)``, where that is known already.

    Returns
    -------
    A finite float32 copy; all 0 if nothing was measured.
    """
    measured = np.isfinite(heights) if measured is None else measured
    filled = heights.copy()
    if measured.all():
        return filled
    if not measured.any():
        filled[:] = 0
        return filled
    # Taken about some measured height, float32 loses nothing of heights of thousands of metres.
    about = heights.ravel()[int(np.argmax(measured))]
    filled -= about
    filled[~measured] = 0
    _pull_push(filled, measured)
    filled += about
    np.copyto(filled, heights, where=measured)
    return filled


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


def _pull_push(values: Array, known: Mask) -> None:
    """Fill ``values``, which are 0 where not known, from coarser and coarser levels, in place."""
    holes = np.flatnonzero(~known)
    if holes.size == 0:
        return
    if min(values.shape) == 1:
        values.ravel()[holes] = values.sum(dtype=np.float64) / max(int(known.sum()), 1)
        return
    weights = _quads(known.view(np.uint8))
    coarse = _quads(values)
    some = weights > 0
    np.divide(coarse, weights, out=coarse, where=some)
    _pull_push(coarse, some)
    values.ravel()[holes] = _look_up(coarse, *np.divmod(holes, values.shape[1]))


def _quads(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum blocks of 2 × 2; at an odd edge, what there is of a block."""
    rows, columns = plane.shape
    tall: npt.NDArray[Any] = plane[: rows - rows % 2 : 2] + plane[1::2]
    if rows % 2:
        tall = np.concatenate([tall, plane[-1:]])
    wide: npt.NDArray[Any] = tall[:, : columns - columns % 2 : 2] + tall[:, 1::2]
    if columns % 2:
        wide = np.concatenate([wide, tall[:, -1:]], axis=1)
    return wide


def _look_up(coarse: Array, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Array:
    """Interpolate a level of half the size at pixels, bilinearly (weights 3/4 and 1/4)."""
    r, c = rows >> 1, columns >> 1
    # The other neighbour lies above even pixels and below odd ones; the edge is continued.
    other_r = np.clip(r + ((rows & 1) << 1) - 1, 0, coarse.shape[0] - 1)
    other_c = np.clip(c + ((columns & 1) << 1) - 1, 0, coarse.shape[1] - 1)
    flat, width = coarse.ravel(), coarse.shape[1]
    r, other_r = r * width, other_r * width
    near = flat[r + c] * np.float32(0.75) + flat[r + other_c] * np.float32(0.25)
    far = flat[other_r + c] * np.float32(0.75) + flat[other_r + other_c] * np.float32(0.25)
    return np.asarray(near * np.float32(0.75) + far * np.float32(0.25), np.float32)
