"""Oblique parallel view of heights, for pictures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from demiurge.arrays import Array


def oblique(
    heights: Array,
    colours: NDArray[np.uint8],
    gsd: float,
    tilt: float = 40,
    exaggeration: float = 1,
) -> NDArray[np.uint8]:
    """Draw heights as seen from the south, from above by ``tilt`` degrees, without perspective.

    In every column of the raster, the nearest row that reaches a line of the picture covers it.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, north up; NaN for no data, which is drawn as a gap.
    colours
        uint8 (rows, columns, 3).
    gsd
        Pixel size in metres.
    tilt
        Angle of the view above the horizon in degrees, in 5 … 90.
    exaggeration
        Factor of the heights.

    Returns
    -------
    uint8 (lines, columns, 3), white where nothing is seen.
    """
    known = np.isfinite(heights)
    if not known.any():
        return np.full((*heights.shape, 3), 255, np.uint8)
    sine, cosine = math.sin(math.radians(tilt)), math.cos(math.radians(tilt))
    rows, columns = heights.shape
    base = float(heights[known].min())
    raised = (np.where(known, heights, base) - base) * exaggeration / gsd * cosine
    # Lines above the southern edge, from the nearest row to the farthest.
    level = (raised + (rows - 1 - np.arange(rows))[:, None] * sine)[::-1]
    horizon = np.maximum.accumulate(level, axis=0)
    lines = math.floor(float(horizon[-1].max()) + 1e-6) + 1
    picture = np.full((lines, columns, 3), 255, np.uint8)
    flipped, seen = colours[::-1], known[::-1]
    at = np.arange(lines)
    for column in range(columns):
        nearest = np.searchsorted(horizon[:, column], at)
        inside = nearest < rows
        row = nearest[inside]
        shown = seen[row, column]
        picture[at[inside][shown], column] = flipped[row[shown], column]
    return picture[::-1]
