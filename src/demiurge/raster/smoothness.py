"""Smoothness of heights, which distinguishes stereo matching from lidar."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array

#: Side in pixels of the squares over which curvature is averaged.
_SIDE = 9
#: Minimum number of squares for a result.
_MIN_SQUARES = 2000


def smoothness(patches: Iterable[Array]) -> float | None:
    """Return the ratio of curvature at a spacing of two pixels to that at one pixel.

    Curvature is the RMS of second differences along rows over 9 × 9 pixels. The ratio is taken
    at the 10th percentile (quiet ground) and at the median, and the two are summed. Independent
    noise gives 2, noise-free planes with roofs and crowns about 3, a stereo matcher, which
    smooths over its blocks, 3.3 to 5.6, and a smooth surface 8.

    Parameters
    ----------
    patches
        float32 (rows, columns) in metres, NaN for voids.

    Returns
    -------
    The sum, or None if too few squares are fully measured.
    """
    curvatures: dict[int, list[Array]] = {1: [], 2: []}
    for patch in patches:
        for spacing, values in curvatures.items():
            if patch.shape[1] > 2 * spacing + _SIDE:
                values.append(_curvature(patch, spacing))
    near, far = (np.concatenate(c) if c else np.zeros(0, np.float32) for c in curvatures.values())
    if min(near.size, far.size) < _MIN_SQUARES:
        return None
    shares = (10, 50)
    low, high = np.percentile(near, shares), np.percentile(far, shares)
    return float((high / low).sum()) if low.min() > 0 else None


def _curvature(patch: Array, spacing: int) -> Array:
    """Return the RMS second difference of each square that is fully measured."""
    second = patch[:, 2 * spacing :] - 2 * patch[:, spacing:-spacing] + patch[:, : -2 * spacing]
    known = np.isfinite(second)
    squares = np.where(known, second, np.float32(0)).astype(np.float64) ** 2
    mean = ndimage.uniform_filter(squares, _SIDE)
    complete = ndimage.minimum_filter(known, _SIDE)
    return np.sqrt(np.maximum(mean[complete], 0)).astype(np.float32)
