"""Which pixels of a surface a distant sensor sees."""

from __future__ import annotations

import math

import numpy as np

from demiurge.arrays import Array, Mask


def hidden(heights: Array, displacement: tuple[float, float], slack: float = 0.0) -> Mask:
    """Find pixels whose line of sight to the sensor passes below the surface.

    The line is followed towards the sensor in steps of one pixel until it is above everything.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    displacement
        Pixels ``(row, col)`` by which one metre of height displaces an orthoimage; the sensor
        stands in the opposite direction.
    slack
        Metres by which the surface must rise above the line of sight.

    Returns
    -------
    bool (rows, columns), True where the sensor does not see the pixel. What lies outside the
    array hides nothing.
    """
    out = np.zeros(heights.shape, bool)
    length = math.hypot(*displacement)
    relief = float(heights.max() - heights.min()) - slack if heights.size else 0.0
    if length == 0 or relief <= 0:
        return out
    step = -displacement[0] / length, -displacement[1] / length
    for count in range(1, math.floor(relief * length) + 1):
        rise = np.float32(count / length + slack)
        target, above = _moved(heights, count * step[0], count * step[1])
        out[target] |= above > heights[target] + rise
    return out


def _moved(heights: Array, row: float, col: float) -> tuple[tuple[slice, slice], Array]:
    """Return bilinear heights at an offset, and the pixels for which the offset stays inside."""
    rows, above = _along(heights, row)
    cols, moved = _along(above.T, col)
    return (rows, cols), moved.T


def _along(plane: Array, offset: float) -> tuple[slice, Array]:
    """Return lines at an offset along the first axis, and the lines for which it stays inside."""
    whole = math.floor(offset)
    share = np.float32(offset - whole)
    far = whole + (1 if share else 0)
    first, last = max(0, -whole), min(len(plane), len(plane) - far)
    if last <= first:
        return slice(0, 0), plane[:0]
    near = plane[first + whole : last + whole]
    if not share:
        return slice(first, last), near
    return slice(first, last), near * (1 - share) + plane[first + far : last + far] * share
