"""Semi-global matching of census transforms, as satellite pipelines use it."""

from __future__ import annotations

import numpy as np
from numba import njit

from demiurge.arrays import Array


def census_disparities(
    left: Array, right: Array, low: int, count: int, uniqueness: int, smoothness: float
) -> tuple[Array, Array]:
    """Match by Hamming distances of census codes, aggregated along eight paths.

    Costs after Zabih and Woodfill (1994), paths after Hirschmüller (2008); disparities between
    pixels by an equiangular fit.

    Parameters
    ----------
    left, right
        float32 (rows, columns), finite.
    low, count
        Least disparity, and how many.
    uniqueness
        Per cent by which the best cost must win over those of other disparities.
    smoothness
        Factor on the penalties of steps.

    Returns
    -------
    Disparities of the left image, NaN where none is unique; and of the right image, to check.
    """
    costs = _costs(_census(left), _census(right), low, count)
    sums = np.zeros(costs.shape, np.uint16)
    small, large = round(8 * smoothness), round(32 * smoothness)
    _aggregate(costs, sums, small, large, True)
    _aggregate(costs, sums, small, large, False)
    found: tuple[Array, Array] = _winners(sums, low, uniqueness)
    return found


@njit(cache=True)
def _census(image):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return 24 bits per pixel: which of the 5 × 5 neighbours are darker."""
    rows, columns = image.shape
    codes = np.zeros((rows, columns), np.uint32)
    for r in range(rows):
        for c in range(columns):
            code = np.uint32(0)
            middle = image[r, c]
            for i in range(-2, 3):
                y = min(max(r + i, 0), rows - 1)
                for j in range(-2, 3):
                    if i == 0 and j == 0:
                        continue
                    x = min(max(c + j, 0), columns - 1)
                    code = np.uint32((code << np.uint32(1)) | np.uint32(image[y, x] < middle))
            codes[r, c] = code
    return codes


@njit(cache=True)
def _costs(left, right, low, count):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, columns = left.shape
    costs = np.full((rows, columns, count), 24, np.uint8)
    for r in range(rows):
        for c in range(columns):
            for d in range(count):
                x = c - (low + d)
                if x < 0 or x >= columns:
                    continue
                v = left[r, c] ^ right[r, x]
                v = v - ((v >> np.uint32(1)) & np.uint32(0x55555555))
                v = (v & np.uint32(0x33333333)) + ((v >> np.uint32(2)) & np.uint32(0x33333333))
                v = (v + (v >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
                v = v + (v >> np.uint32(8))
                costs[r, c, d] = np.uint8((v + (v >> np.uint32(16))) & np.uint32(0x3F))
    return costs


@njit(cache=True)
def _aggregate(costs, sums, small, large, forward):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the costs along four paths that come from before each pixel, or from behind it."""
    rows, columns, count = costs.shape
    # Paths of the row before, with a rim of one pixel and one disparity on each side.
    far = np.int32(1 << 20)
    before = np.full((3, columns + 2, count + 2), far, np.int32)
    now = np.full((3, columns + 2, count + 2), far, np.int32)
    least = np.zeros((3, columns + 2), np.int32)
    least_now = np.zeros((3, columns + 2), np.int32)
    aside = np.full(count + 2, far, np.int32)
    step = np.full(count + 2, far, np.int32)
    for n in range(rows):
        r = n if forward else rows - 1 - n
        aside_least = np.int32(-1)
        for m in range(columns):
            c = m if forward else columns - 1 - m
            lowest = far
            for d in range(count):
                cost = np.int32(costs[r, c, d])
                if aside_least >= 0:
                    near = min(aside[d], aside[d + 2]) + small
                    cost += min(aside[d + 1], aside_least + large, near) - aside_least
                step[d + 1] = cost
                lowest = min(lowest, cost)
                sums[r, c, d] += np.uint16(cost)
            for d in range(count):
                aside[d + 1] = step[d + 1]
            aside_least = lowest
            for k in range(3):
                at = c + k  # the rim shifts it: the pixel before on the left, above, on the right
                known = n > 0 and 1 <= at <= columns
                floor = least[k, at]
                lowest = far
                for d in range(count):
                    cost = np.int32(costs[r, c, d])
                    if known:
                        near = min(before[k, at, d], before[k, at, d + 2]) + small
                        cost += min(before[k, at, d + 1], floor + large, near) - floor
                    now[k, c + 1, d + 1] = cost
                    lowest = min(lowest, cost)
                    sums[r, c, d] += np.uint16(cost)
                least_now[k, c + 1] = lowest
        before, now = now, before
        least, least_now = least_now, least


@njit(cache=True)
def _winners(sums, low, uniqueness):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, columns, count = sums.shape
    left = np.full((rows, columns), np.nan, np.float32)
    right = np.full((rows, columns), np.nan, np.float32)
    lowest = np.empty(columns, np.int32)
    for r in range(rows):
        lowest[:] = 1 << 30
        for c in range(columns):
            best, at = np.int32(1 << 30), 0
            for d in range(count):
                s = np.int32(sums[r, c, d])
                if s < best:
                    best, at = s, d
                x = c - (low + d)
                if 0 <= x < columns and s < lowest[x]:
                    lowest[x] = s
                    right[r, x] = low + d
            unique = True
            for d in range(count):
                if abs(d - at) > 1 and np.int32(sums[r, c, d]) * (100 - uniqueness) < best * 100:
                    unique = False
                    break
            if not unique:
                continue
            found = np.float32(low + at)
            if 0 < at < count - 1:
                a, b = np.float32(sums[r, c, at - 1]), np.float32(sums[r, c, at + 1])
                steep = max(a, b) - np.float32(best)
                if steep > 0:
                    found += np.float32(0.5) * (a - b) / steep
            left[r, c] = found
    return left, right
