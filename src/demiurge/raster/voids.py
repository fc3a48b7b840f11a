"""Filling of voids by smooth interpolation, and morphological closing of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask


def fill_voids(heights: Array, measured: Mask | None = None) -> Array:
    """Fill NaN by pull-push interpolation (Gortler et al. 1996, "The Lumigraph", section 4.3).

    Means of blocks of doubling size are interpolated back to the pixels. Small holes take the
    values of their rim, large ones the trend around them. Measured pixels do not change.

    Parameters
    ----------
    heights
        float32 (height, width), NaN for voids.
    measured
        ``isfinite(heights)``, if it is already computed.

    Returns
    -------
    A finite float32 copy; all 0 if no pixel is measured.
    """
    measured = np.isfinite(heights) if measured is None else measured
    filled = heights.copy()
    if measured.all():
        return filled
    if not measured.any():
        filled[:] = 0
        return filled
    # Heights relative to a measured one keep the precision of float32 at thousands of metres.
    origin = heights.ravel()[int(np.argmax(measured))]
    filled -= origin
    filled[~measured] = 0
    _pull_push(filled, measured)
    filled += origin
    np.copyto(filled, heights, where=measured)
    return filled


def enclosed(measured: Mask, radius: int) -> Mask:
    """Return the morphological closing of a mask: pixels surrounded by measured ones.

    The closing is by a square of ``2 · radius + 1`` pixels. Holes and bays up to ``2 · radius``
    pixels across are enclosed; the area outside a straight edge is not, whatever its direction.
    A pixel depends on no pixel farther than ``2 · radius`` along rows and columns. Pixels outside
    the array count as not measured.

    Parameters
    ----------
    measured
        bool (height, width).
    radius
        Pixels, above 0.
    """
    if measured.all() or not measured.any():
        return measured.copy()
    near = _dilate(np.pad(measured, radius), radius)
    closed = ~_dilate(~np.pad(near, radius), radius)
    inner = slice(2 * radius, -2 * radius)
    return np.asarray(closed[inner, inner] | measured)


def _dilate(mask: Mask, radius: int) -> Mask:
    """Dilate by a square, along rows and then along columns, with running sums."""
    for axis in (0, 1):
        length = mask.shape[axis]
        sums = np.zeros([n + (i == axis) for i, n in enumerate(mask.shape)], np.int32)
        np.cumsum(mask, axis=axis, out=sums[1:] if axis == 0 else sums[:, 1:])
        place = np.arange(length)
        last = np.minimum(place + radius + 1, length)
        first = np.maximum(place - radius, 0)
        mask = sums.take(last, axis) > sums.take(first, axis)
    return mask


def _pull_push(values: Array, known: Mask) -> None:
    """Fill ``values``, which are 0 where unknown, from coarser levels, in place."""
    holes = np.flatnonzero(~known)
    if holes.size == 0:
        return
    if min(values.shape) == 1:
        values.ravel()[holes] = values.sum(dtype=np.float64) / max(int(known.sum()), 1)
        return
    weights = _quads(known.view(np.uint8))
    coarse = _quads(values)
    filled = weights > 0
    np.divide(coarse, weights, out=coarse, where=filled)
    _pull_push(coarse, filled)
    values.ravel()[holes] = _interpolate(coarse, *np.divmod(holes, values.shape[1]))


def _quads(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum blocks of 2 × 2; blocks at an odd edge are smaller."""
    rows, columns = plane.shape
    tall: npt.NDArray[Any] = plane[: rows - rows % 2 : 2] + plane[1::2]
    if rows % 2:
        tall = np.concatenate([tall, plane[-1:]])
    wide: npt.NDArray[Any] = tall[:, : columns - columns % 2 : 2] + tall[:, 1::2]
    if columns % 2:
        wide = np.concatenate([wide, tall[:, -1:]], axis=1)
    return wide


def _interpolate(
    coarse: Array, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> Array:
    """Interpolate a level of half the size at pixels, bilinearly (weights 3/4 and 1/4)."""
    r, c = rows >> 1, columns >> 1
    # The second neighbour is above even pixels and below odd ones; edge cells are repeated.
    other_r = np.clip(r + ((rows & 1) << 1) - 1, 0, coarse.shape[0] - 1)
    other_c = np.clip(c + ((columns & 1) << 1) - 1, 0, coarse.shape[1] - 1)
    flat, width = coarse.ravel(), coarse.shape[1]
    r, other_r = r * width, other_r * width
    near = flat[r + c] * np.float32(0.75) + flat[r + other_c] * np.float32(0.25)
    far = flat[other_r + c] * np.float32(0.75) + flat[other_r + other_c] * np.float32(0.25)
    return np.asarray(near * np.float32(0.75) + far * np.float32(0.25), np.float32)
