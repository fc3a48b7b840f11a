"""Stereo matching of two epipolar images: OpenCV's SGBM, and SGM of census codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from demiurge.arrays import Array
from demiurge.simulation.settings import MatcherSettings

#: Largest number of disparities; taller objects are not matched.
MAX_DISPARITIES = 512
#: Bytes of a matcher's cost volumes; larger images are matched in strips of rows.
_MEMORY = 160_000_000
#: Rows by which strips overlap on each side.
_OVERLAP = 48


class Matcher(Protocol):
    """Computes the disparity x_left − x_right of each pixel of the left image."""

    def __call__(self, left: Array, right: Array) -> Array:
        """Return disparities in pixels, float32, NaN where there is no match."""


@dataclass(frozen=True)
class SearchRange:
    """Range of disparities: ``count`` of them from ``low``, in pixels."""

    low: int
    count: int

    @classmethod
    def of(cls, parallax: Array, settings: MatcherSettings) -> SearchRange:
        """Return the range set in the settings, or the one that holds the scene's parallaxes.

        Parameters
        ----------
        parallax
            float32 true disparities of the surface in pixels, finite.
        """
        if settings.disparities is not None:
            return cls(-settings.disparities // 2, settings.disparities)
        low = math.floor(float(parallax.min())) - settings.slack
        high = math.ceil(float(parallax.max())) + settings.slack
        count = min(-(-(high - low) // 16) * 16, MAX_DISPARITIES)
        # Taller objects have lower disparities: a limited range keeps the ground.
        return cls(high - count, count)


def make_matcher(settings: MatcherSettings, search: SearchRange) -> Matcher:
    """Return the matcher that the settings select."""
    return (SgbmMatcher if settings.kind == "sgbm" else CensusMatcher)(settings, search)


class SgbmMatcher:
    """OpenCV's semi-global matching (Hirschmüller 2008, doi 10.1109/TPAMI.2007.1166).

    Uses eight directions in strips of rows: the mode with three directions has a bias of half a
    pixel along the rows and is no faster.
    """

    def __init__(self, settings: MatcherSettings, search: SearchRange) -> None:
        self.search = search
        area = settings.block**2
        library: Any = cv2
        self._matcher = library.StereoSGBM_create(
            minDisparity=search.low,
            numDisparities=search.count,
            blockSize=settings.block,
            P1=round(8 * area * settings.smoothness),
            P2=round(32 * area * settings.smoothness),
            disp12MaxDiff=settings.consistency,
            preFilterCap=31,
            uniquenessRatio=settings.uniqueness,
            speckleWindowSize=settings.speckle,
            speckleRange=2,
            mode=library.STEREO_SGBM_MODE_HH,
        )

    def __call__(self, left: Array, right: Array) -> Array:
        """Match; see :class:`Matcher`."""
        images = (_to_bytes(left), _to_bytes(right))
        # Padding keeps the complete range searchable at the edges.
        low, count = self.search.low, self.search.count
        before, after = max(low + count, 0) + 1, max(-low, 0) + 1

        def match(rows: slice) -> Array:
            widths = ((0, 0), (before, after))
            padded = [np.pad(image[rows], widths, mode="edge") for image in images]
            fixed = self._matcher.compute(*padded)[:, before : before + left.shape[1]]
            return np.asarray(fixed.astype(np.float32) / 16)

        # Two cost volumes of 16 bits.
        row_bytes = 4 * (left.shape[1] + before + after) * count
        disparity = _in_strips(match, left.shape[0], row_bytes)
        invalid = (disparity < low) | np.isnan(left)
        return np.where(invalid, np.float32(np.nan), disparity)


class CensusMatcher:
    """Semi-global matching of census codes, which are invariant to brightness."""

    def __init__(self, settings: MatcherSettings, search: SearchRange) -> None:
        self.settings, self.search = settings, search

    def __call__(self, left: Array, right: Array) -> Array:
        """Match; see :class:`Matcher`."""
        settings, search = self.settings, self.search
        first, second = (np.nan_to_num(v, nan=float(np.nanmean(v))) for v in (left, right))

        def match(rows: slice) -> Array:
            disparity, reverse = census_disparities(
                first[rows], second[rows], search.low, search.count,
                settings.uniqueness, settings.smoothness,
            )  # fmt: skip
            if settings.consistency >= 0:
                _check_consistency(disparity, reverse, np.float32(settings.consistency + 0.5))
            return disparity

        # A cost volume of 8 bits and one of 16.
        disparity = _in_strips(match, left.shape[0], 3 * left.shape[1] * search.count)
        disparity[np.isnan(left)] = np.nan
        return _without_speckles(disparity, search.low, settings.speckle)


def _in_strips(match: Callable[[slice], Array], rows: int, row_bytes: int) -> Array:
    """Match overlapping strips of rows, so that memory is bounded."""
    core = max(_MEMORY // row_bytes - 2 * _OVERLAP, 64)
    if core + 2 * _OVERLAP >= rows:
        return match(slice(0, rows))
    strips = []
    for start in range(0, rows, core):
        first = max(start - _OVERLAP, 0)
        strip = match(slice(first, min(start + core + _OVERLAP, rows)))
        strips.append(strip[start - first : start - first + core])
    return np.concatenate(strips)


@njit(cache=True)
def _check_consistency(disparity, reverse, limit):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Set disparities to NaN in place where the right image's differ by more than the limit."""
    rows, columns = disparity.shape
    for r in range(rows):
        for c in range(columns):
            d = disparity[r, c]
            if np.isnan(d):
                continue
            x = int(np.rint(c - d))
            if x < 0 or x >= columns or not abs(reverse[r, x] - d) <= limit:
                disparity[r, c] = np.nan


def _without_speckles(disparity: Array, low: int, smallest: int) -> Array:
    """Remove connected patches of fewer than ``smallest`` pixels."""
    if smallest == 0:
        return disparity
    void = np.isnan(disparity)
    rounded = np.where(void, low - 16, np.rint(np.nan_to_num(disparity) * 16) / 16)
    fixed = np.asarray(np.rint(rounded * 16), np.int16)
    library: Any = cv2
    library.filterSpeckles(fixed, (low - 16) * 16, smallest, 32)
    return np.where(void | (fixed == (low - 16) * 16), np.float32(np.nan), disparity)


def _to_bytes(image: Array) -> npt.NDArray[np.uint8]:
    """Stretch an image to 8 bits between its 0.5 and 99.5 percentiles; NaN becomes 0."""
    low, high = np.nanpercentile(image, (0.5, 99.5))
    scaled = (np.nan_to_num(image, nan=float(low)) - low) * (255 / max(high - low, 1e-9))
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def census_disparities(
    left: Array, right: Array, low: int, count: int, uniqueness: int, smoothness: float
) -> tuple[Array, Array]:
    """Match by Hamming distances of census codes, aggregated along eight paths.

    Costs after Zabih and Woodfill (1994, doi 10.1007/BFb0028345), aggregation after Hirschmüller
    (2008); sub-pixel disparities by an equiangular fit.

    Parameters
    ----------
    left, right
        float32 (rows, columns), finite.
    low, count
        Lowest disparity and number of disparities.
    uniqueness
        Margin in per cent by which the lowest cost must beat those of other disparities.
    smoothness
        Factor on the penalties of disparity changes.

    Returns
    -------
    Disparities of the left image, NaN where ambiguous; and integer disparities of the right image
    for the consistency check.
    """
    costs = _costs(_census(left), _census(right), low, count)
    sums = np.zeros(costs.shape, np.uint16)
    small, large = round(8 * smoothness), round(32 * smoothness)
    _aggregate(costs, sums, small, large, True)
    _aggregate(costs, sums, small, large, False)
    left_disparity, right_disparity = _winners(sums, low, uniqueness)
    return left_disparity, right_disparity


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
    """Return Hamming distances, uint8 (rows, columns, count); 24 beyond the right image."""
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
    """Add to ``sums`` the costs along four of the eight paths: from above, or from below."""
    rows, columns, count = costs.shape
    # Path costs of the previous row, with a border of one pixel and one disparity.
    far = np.int32(1 << 20)
    before = np.full((3, columns + 2, count + 2), far, np.int32)
    now = np.full((3, columns + 2, count + 2), far, np.int32)
    least = np.zeros((3, columns + 2), np.int32)
    least_now = np.zeros((3, columns + 2), np.int32)
    for n in range(rows):
        r = n if forward else rows - 1 - n
        _aggregate_along_row(costs[r], sums[r], small, large, forward)
        for c in range(columns):
            for k in range(3):
                at = c + k  # the previous row's pixel at c − 1, c, c + 1, shifted by the border
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
def _aggregate_along_row(costs, sums, small, large, forward):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add to ``sums`` the costs along one row, left to right if ``forward``."""
    columns, count = costs.shape
    far = np.int32(1 << 20)
    before = np.full(count + 2, far, np.int32)
    now = np.full(count + 2, far, np.int32)
    floor = np.int32(-1)
    for m in range(columns):
        c = m if forward else columns - 1 - m
        lowest = far
        for d in range(count):
            cost = np.int32(costs[c, d])
            if floor >= 0:
                near = min(before[d], before[d + 2]) + small
                cost += min(before[d + 1], floor + large, near) - floor
            now[d + 1] = cost
            lowest = min(lowest, cost)
            sums[c, d] += np.uint16(cost)
        before, now = now, before
        floor = lowest


@njit(cache=True)
def _winners(sums, low, uniqueness):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the disparities of lowest cost of the left and of the right image."""
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
            disparity = np.float32(low + at)
            if 0 < at < count - 1:
                a, b = np.float32(sums[r, c, at - 1]), np.float32(sums[r, c, at + 1])
                steep = max(a, b) - np.float32(best)
                if steep > 0:
                    disparity += np.float32(0.5) * (a - b) / steep
            left[r, c] = disparity
    return left, right
