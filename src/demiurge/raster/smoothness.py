"""How smooth neighbouring heights are: a stereo matcher's heights are smoother than lidar's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array

#: Side in pixels of the squares that bends are averaged over.
_SIDE = 9
#: Squares fewer than which tell nothing.
_FEWEST = 2000


def smoothness(patches: Iterable[Array]) -> float | None:
    """Return how much more heights bend over two pixels than over one.

    A bend is a second difference along rows. Its RMS over 9 × 9 pixels at a spacing of two over
    that at one is taken twice, on quiet ground (10th percentiles) and at the median, and summed.
    Independent noise gives 2, a plane cut by noise-free roofs and crowns about 3, a matcher, which
    smooths over its blocks, 3.3 to 5.6, a smooth form 8.

    Parameters
    ----------
    patches
        float32 (rows, columns) in metres, NaN for voids.

    Returns
    -------
    The sum, or None where too little was measured.
    """
    bends: dict[int, list[Array]] = {1: [], 2: []}
    for patch in patches:
        for spacing, found in bends.items():
            if patch.shape[1] > 2 * spacing + _SIDE:
                found.append(_bends(patch, spacing))
    near, far = (np.concatenate(f) if f else np.zeros(0, np.float32) for f in bends.values())
    if min(near.size, far.size) < _FEWEST:
        return None
    shares = (10, 50)
    low, high = np.percentile(near, shares), np.percentile(far, shares)
    return float((high / low).sum()) if low.min() > 0 else None


def _bends(patch: Array, spacing: int) -> Array:
    """Return the RMS second difference over every square that was wholly measured."""
    second = patch[:, 2 * spacing :] - 2 * patch[:, spacing:-spacing] + patch[:, : -2 * spacing]
    known = np.isfinite(second)
    squares = np.where(known, second, np.float32(0)).astype(np.float64) ** 2
    mean = ndimage.uniform_filter(squares, _SIDE)
    whole = ndimage.minimum_filter(known, _SIDE)
    return np.sqrt(np.maximum(mean[whole], 0)).astype(np.float32)
