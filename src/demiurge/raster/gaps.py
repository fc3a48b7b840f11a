"""Compression of gaps in the distribution of heights, as between the foot and top of a cliff."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array, Mask

#: Minimum share of the measured heights on each side of a gap. A tower has fewer, a cliff more.
_MIN_SHARE = 0.02


def compress_gaps(heights: Array, measured: Mask, most: float) -> Array:
    """Reduce gaps in the distribution of measured heights to at most ``most`` metres.

    A gap separates two consecutive measured heights, with at least 2 % of all measured heights
    on each side. All heights above a gap are lowered until it is ``most`` metres wide. Shapes
    between two gaps do not change.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    measured
        bool (rows, columns): True for measured heights, False for interpolated ones.
    most
        Largest gap in metres that remains.

    Returns
    -------
    float32; the input itself if there is no wider gap.
    """
    if not measured.any() or float(heights.max() - heights.min()) <= most:
        return heights
    levels = np.sort(heights[measured]).astype(np.float64)
    least = int(np.ceil(_MIN_SHARE * levels.size))
    steps = np.diff(levels)
    steps[: least - 1] = 0
    steps[levels.size - least :] = 0
    if not (steps > most).any():
        return heights
    lowered = np.concatenate([[0.0], np.cumsum(np.maximum(steps - most, 0))])
    # Interpolated heights within a gap are lowered in proportion.
    return np.asarray(heights - np.interp(heights, levels, lowered), np.float32)
