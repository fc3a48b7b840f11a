"""A first guess of the bare earth: morphological openings of a surface."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array


def opening(heights: Array, side: int) -> Array:
    """Remove what is narrower than a square: the highest of the lowest around (Haralick 1987).

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    side
        Of the square in pixels, made odd; what is narrower than it goes.

    Returns
    -------
    float32, nowhere above the heights. At the raster's edge the square is cut.
    """
    reach = max(side, 1) // 2
    if reach == 0:
        return heights.copy()
    lowest = _slide(_slide(heights, reach, np.minimum, 0), reach, np.minimum, 1)
    return _slide(_slide(lowest, reach, np.maximum, 0), reach, np.maximum, 1)


def smooth_opening(heights: Array, side: int) -> Array:
    """Return an opening whose square marks are smoothed away, over about half a side.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite.
    side
        Of the opening's square in pixels.

    Returns
    -------
    float32; where the opening has steps it may lie above the heights.
    """
    return tent_mean(opening(heights, side), 1 << max(int(side) // 4, 1).bit_length())


def tent_mean(heights: Array, width: int) -> Array:
    """Return the means over squares, weighted like a tent: no kinks are left.

    Parameters
    ----------
    heights
        float32 (rows, columns), finite; at the edges the outermost value goes on.
    width
        How far the tent reaches from its middle, in pixels; a power of two.
    """
    found = heights
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (width - 1, width - 1)
        found = np.pad(found, pad, mode="edge")
        # Two box means make a tent.
        found = (
            _box(_box(found, width), width) if axis == 0 else _box(_box(found.T, width), width).T
        )
    return np.ascontiguousarray(found)


def _box(found: Array, width: int) -> Array:
    """Return the means of runs of ``width`` rows, a power of two."""
    step = 1
    while step < width:
        found = found[:-step] + found[step:]
        step *= 2
    return np.asarray(found / np.float32(width), np.float32)


def _slide(plane: Array, reach: int, pick: np.ufunc, axis: int) -> Array:
    """Return the extreme within ``reach`` pixels along an axis, by doubling (van Herk's idea)."""
    fill = np.float32(np.inf if pick is np.minimum else -np.inf)
    pad = [(0, 0), (0, 0)]
    pad[axis] = (reach, reach)
    found = np.pad(plane, pad, constant_values=fill)
    if axis == 0:
        return _runs(found, 2 * reach + 1, pick)
    return np.ascontiguousarray(_runs(np.ascontiguousarray(found.T), 2 * reach + 1, pick).T)


def _runs(found: Array, length: int, pick: np.ufunc) -> Array:
    """Return the extreme of every run of ``length`` rows."""
    width = 1
    while 2 * width <= length:
        found = pick(found[:-width], found[width:])
        width *= 2
    rest = length - width
    return np.asarray(pick(found[: len(found) - rest], found[rest:]) if rest else found)
