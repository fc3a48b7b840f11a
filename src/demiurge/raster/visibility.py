"""Visibility of a surface from a distant sensor."""

from __future__ import annotations

import math

import numpy as np

from demiurge.arrays import Array, Mask


def hidden(heights: Array, displacement: tuple[float, float], slack: float = 0.0) -> Mask:
    """Return the pixels whose line of sight to the sensor passes below the surface.

    The line is followed towards the sensor in steps of one pixel until it is above all heights.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    displacement
        Pixels ``(row, col)`` by which one metre of height displaces an orthoimage; the sensor is
        in the opposite direction.
    slack
        Metres by which the surface must exceed the line of sight.

    Returns
    -------
    bool (rows, columns), True for hidden pixels. Terrain outside the array hides no pixel.
    """
    out = np.zeros(heights.shape, bool)
    length = math.hypot(*displacement)
    relief = float(heights.max() - heights.min()) - slack if heights.size else 0.0
    if length == 0 or relief <= 0:
        return out
    step = -displacement[0] / length, -displacement[1] / length
    for count in range(1, math.floor(relief * length) + 1):
        rise = np.float32(count / length + slack)
        target, above = _shifted(heights, count * step[0], count * step[1])
        out[target] |= above > heights[target] + rise
    return out


def _shifted(heights: Array, row: float, col: float) -> tuple[tuple[slice, slice], Array]:
    """Return bilinear heights at an offset, and the pixels whose offset is inside the array."""
    rows, above = _shifted_rows(heights, row)
    cols, shifted = _shifted_rows(above.T, col)
    return (rows, cols), shifted.T


def _shifted_rows(plane: Array, offset: float) -> tuple[slice, Array]:
    """Return linearly interpolated rows at an offset, and the rows whose offset is inside."""
    base = math.floor(offset)
    share = np.float32(offset - base)
    far = base + (1 if share else 0)
    first, last = max(0, -base), min(len(plane), len(plane) - far)
    if last <= first:
        return slice(0, 0), plane[:0]
    near = plane[first + base : last + base]
    if not share:
        return slice(first, last), near
    return slice(first, last), near * (1 - share) + plane[first + far : last + far] * share
