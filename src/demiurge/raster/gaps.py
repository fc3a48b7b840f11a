"""Heights of a window without the empty ranges that a cliff leaves between its foot and its top."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array, Mask

#: Share of the measured heights on each side of a gap at least: a cliff's, not a tower's.
_LEAST = 0.02


def compress_gaps(heights: Array, measured: Mask, most: float) -> Array:
    """Return heights without gaps wider than ``most`` metres in their distribution.

    Where no measured height lies between two that follow each other, and a fiftieth of all lies on
    either side, all above moves down until the two differ by ``most``. Shapes between two gaps
    stay as they are.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    measured
        bool (rows, columns): which of them were measured; the others are interpolated.

    Returns
    -------
    float32; the input itself if there is no such gap.
    """
    if not measured.any() or float(heights.max() - heights.min()) <= most:
        return heights
    levels = np.sort(heights[measured]).astype(np.float64)
    least = int(np.ceil(_LEAST * levels.size))
    steps = np.diff(levels)
    steps[: least - 1] = 0
    steps[levels.size - least :] = 0
    if not (steps > most).any():
        return heights
    lowered = np.concatenate([[0.0], np.cumsum(np.maximum(steps - most, 0))])
    # What was interpolated within a gap is lowered in proportion.
    return np.asarray(heights - np.interp(heights, levels, lowered), np.float32)
