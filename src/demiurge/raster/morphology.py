"""Morphological openings of heights, as a first estimate of the bare earth.

The opening by doubling and the tent mean are faster than the filters of SciPy (1.6 to 8 times).
"""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array


def opening(heights: Array, side: int) -> Array:
    """Return the morphological opening by a square (Haralick, Sternberg and Zhuang 1987).

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    side
        Side of the square in pixels; even numbers are raised by 1. Objects narrower than the
        square are removed.

    Returns
    -------
    float32, nowhere above the heights. The square is clipped at the edges of the raster.
    """
    radius = max(side, 1) // 2
    if radius == 0:
        return heights.copy()
    eroded = _extreme(_extreme(heights, radius, np.minimum, 0), radius, np.minimum, 1)
    return _extreme(_extreme(eroded, radius, np.maximum, 0), radius, np.maximum, 1)


def smooth_opening(heights: Array, side: int) -> Array:
    """Return an opening that is smoothed over about half a side, which hides the squares.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    side
        Side of the opening's square in pixels.

    Returns
    -------
    float32; at steps of the opening it may exceed the heights.
    """
    return tent_mean(opening(heights, side), 1 << max(int(side) // 4, 1).bit_length())


def tent_mean(heights: Array, width: int) -> Array:
    """Return means over squares with tent-shaped weights.

    Parameters
    ----------
    heights
        float32 (rows, columns), finite; edge pixels are repeated outside the raster.
    width
        Half the base of the tent in pixels; a power of two.
    """
    smoothed = heights
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (width - 1, width - 1)
        smoothed = np.pad(smoothed, pad, mode="edge")
        # Two box means make a tent.
        smoothed = (
            _box(_box(smoothed, width), width)
            if axis == 0
            else _box(_box(smoothed.T, width), width).T
        )
    return np.ascontiguousarray(smoothed)


def _box(plane: Array, width: int) -> Array:
    """Return the means of runs of ``width`` rows, a power of two."""
    step = 1
    while step < width:
        plane = plane[:-step] + plane[step:]
        step *= 2
    return np.asarray(plane / np.float32(width), np.float32)


def _extreme(plane: Array, radius: int, pick: np.ufunc, axis: int) -> Array:
    """Return the extreme within ``radius`` pixels along an axis, by doubling (van Herk 1992)."""
    fill = np.float32(np.inf if pick is np.minimum else -np.inf)
    pad = [(0, 0), (0, 0)]
    pad[axis] = (radius, radius)
    padded = np.pad(plane, pad, constant_values=fill)
    if axis == 0:
        return _runs(padded, 2 * radius + 1, pick)
    return np.ascontiguousarray(_runs(np.ascontiguousarray(padded.T), 2 * radius + 1, pick).T)


def _runs(plane: Array, length: int, pick: np.ufunc) -> Array:
    """Return the extreme of every run of ``length`` rows."""
    width = 1
    while 2 * width <= length:
        plane = pick(plane[:-width], plane[width:])
        width *= 2
    rest = length - width
    return np.asarray(pick(plane[: len(plane) - rest], plane[rest:]) if rest else plane)
