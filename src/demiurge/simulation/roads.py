"""Roads of an optical scene: lines along valleys."""

from __future__ import annotations

import cv2
import numpy as np

from demiurge.arrays import Array, Mask, Values
from demiurge.simulation.erosion import route_water

#: Roads are traced on a grid of at most this many cells a side.
_TRACED_SIDE = 160
#: Least share of the area that drains through the cell in which a road begins.
_VALLEY_SHARE = 0.001
#: Cells over which a road is smoothed.
_SMOOTHED = 9


def trace_roads(heights: Array, gsd: float, count: int, rng: np.random.Generator) -> Mask:
    """Return the mask of roads that lead from random places down the valleys to the edge.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    gsd
        Pixel size in metres.
    count
        Number of roads; they meet in the valleys.
    """
    rows, columns = heights.shape
    factor = max(1, -(-max(rows, columns) // _TRACED_SIDE))
    small = cv2.resize(heights, (columns // factor, rows // factor), interpolation=cv2.INTER_AREA)
    flow = route_water(np.asarray(small, np.float32), rng)
    valleys = np.flatnonzero(flow.drained > _VALLEY_SHARE * flow.drained.size)
    # Neighbouring cells are displaced alike: roads run next to the rivers and wind.
    aside = rng.standard_normal((2, *(n // 8 + 2 for n in small.shape)), np.float32)
    mask = np.zeros(heights.shape, np.uint8)
    for start in rng.choice(valleys, min(count, valleys.size), replace=False):
        course = _downstream(flow.receiver, int(start))
        place = np.stack(np.divmod(course, small.shape[1]), axis=1).astype(float)
        place += 1.5 * np.stack([_at(a, place / 8) for a in aside], axis=1)
        line = _smooth(place) * (rows / small.shape[0], columns / small.shape[1])
        points = np.rint(16 * line[:, ::-1]).astype(np.int32)
        cv2.polylines(mask, [points], False, 1, 1 if gsd > 8 else 2, cv2.LINE_8, 4)
    return mask.astype(bool)


def _downstream(receiver: np.ndarray, start: int) -> np.ndarray:
    """Return the cells from a start to the edge."""
    course = [start]
    while receiver[course[-1]] >= 0:
        course.append(int(receiver[course[-1]]))
    return np.array(course)


def _at(field: Array, place: Values) -> Values:
    """Interpolate a small field linearly at float rows and columns."""
    columns, rows = (np.asarray(place[:, i], np.float32)[None] for i in (1, 0))
    return np.asarray(cv2.remap(field, columns, rows, cv2.INTER_LINEAR)[0], float)


def _smooth(place: Values) -> Values:
    """Return the running mean of a course; its ends stay."""
    padded = np.pad(place, ((_SMOOTHED // 2, _SMOOTHED // 2), (0, 0)), mode="edge")
    kernel = np.full(_SMOOTHED, 1 / _SMOOTHED)
    return np.stack([np.convolve(padded[:, i], kernel, mode="valid") for i in (0, 1)], axis=1)
