"""From two views to points: real matchers, triangulation."""

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
from demiurge.simulation.census import census_disparities
from demiurge.simulation.fields import along_rows
from demiurge.simulation.settings import MatcherSettings


class Matcher(Protocol):
    """Finds, for each pixel of the left image, how far left the same thing lies in the right."""

    def __call__(self, left: Array, right: Array) -> Array:
        """Return disparities x_left − x_right in pixels, float32, NaN where there is no match."""


#: Most search range; beyond it, what stands tallest is not found.
MAX_RANGE = 512
#: Bytes of a matcher's cost volumes; larger images are matched in strips of rows.
_MEMORY = 160_000_000
#: Rows by which strips overlap on each side.
_OVERLAP = 48


@dataclass(frozen=True)
class Search:
    """Range of disparities: ``count`` of them from ``low``."""

    low: int
    count: int

    @classmethod
    def of(cls, parallax: Array, settings: MatcherSettings) -> Search:
        """Return the range that holds the parallaxes of a scene, or the one that is set.

        Parameters
        ----------
        parallax
            float32 disparities of the surface that is matched, finite.
        """
        if settings.disparities is not None:
            return cls(-settings.disparities // 2, settings.disparities)
        low = math.floor(float(parallax.min())) - settings.slack
        high = math.ceil(float(parallax.max())) + settings.slack
        count = min(-(-(high - low) // 16) * 16, MAX_RANGE)
        # Taller is further left: where the range is cut, the ground stays in it.
        return cls(high - count, count)


def make_matcher(settings: MatcherSettings, search: Search) -> Matcher:
    """Return the matcher that settings ask for."""
    return (SemiGlobal if settings.kind == "sgbm" else Census)(settings, search)


class SemiGlobal:
    """OpenCV's semi-global matching (Hirschmüller 2008) with a left-right check.

    Of its modes, the one of three directions lags by half a pixel along the rows; all eight
    directions, in strips of rows, do not, and cost no more.
    """

    def __init__(self, settings: MatcherSettings, search: Search) -> None:
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
        first, second = _eight_bit(left), _eight_bit(right)
        # The margin keeps the whole range searchable up to the edges.
        low, count = self.search.low, self.search.count
        before, after = max(low + count, 0) + 1, max(-low, 0) + 1

        def match(rows: slice) -> Array:
            wide = ((0, 0), (before, after))
            planes = [np.pad(image[rows], wide, mode="edge") for image in (first, second)]
            found = self._matcher.compute(*planes)[:, before : before + left.shape[1]]
            return np.asarray(found.astype(np.float32) / 16)

        # Two volumes of 16 bits.
        row = 4 * (left.shape[1] + before + after) * count
        raw = _in_strips(match, left.shape[0], row)
        bad = (raw < low) | np.isnan(left)
        return np.where(bad, np.float32(np.nan), raw)


class Census:
    """Semi-global matching of census codes, which heeds no difference of brightness."""

    def __init__(self, settings: MatcherSettings, search: Search) -> None:
        self.settings, self.search = settings, search

    def __call__(self, left: Array, right: Array) -> Array:
        """Match; see :class:`Matcher`."""
        settings, search = self.settings, self.search
        first, second = (np.nan_to_num(v, nan=float(np.nanmean(v))) for v in (left, right))

        def match(rows: slice) -> Array:
            found, other = census_disparities(
                first[rows], second[rows], search.low, search.count,
                settings.uniqueness, settings.smoothness,
            )  # fmt: skip
            if settings.consistency >= 0:
                _check(found, other, np.float32(settings.consistency + 0.5))
            return found

        # A volume of 8 bits and one of 16.
        found = _in_strips(match, left.shape[0], 3 * left.shape[1] * search.count)
        found[np.isnan(left)] = np.nan
        return _without_speckles(found, search.low, settings.speckle)


def _in_strips(match: Callable[[slice], Array], rows: int, row_bytes: int) -> Array:
    """Match strips of rows that overlap, so that memory is bounded."""
    core = max(_MEMORY // row_bytes - 2 * _OVERLAP, 64)
    if core + 2 * _OVERLAP >= rows:
        return match(slice(0, rows))
    parts = []
    for start in range(0, rows, core):
        first = max(start - _OVERLAP, 0)
        found = match(slice(first, min(start + core + _OVERLAP, rows)))
        parts.append(found[start - first : start - first + core])
    return np.concatenate(parts)


@njit(cache=True)
def _check(found, other, most):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Remove disparities that the other image does not confirm, in place."""
    rows, columns = found.shape
    for r in range(rows):
        for c in range(columns):
            d = found[r, c]
            if np.isnan(d):
                continue
            x = int(np.rint(c - d))
            if x < 0 or x >= columns or not abs(other[r, x] - d) <= most:
                found[r, c] = np.nan


def _without_speckles(found: Array, low: int, smallest: int) -> Array:
    if smallest == 0:
        return found
    void = np.isnan(found)
    fixed = np.where(void, low - 16, np.rint(np.nan_to_num(found) * 16) / 16)
    whole = np.asarray(np.rint(fixed * 16), np.int16)
    library: Any = cv2
    library.filterSpeckles(whole, (low - 16) * 16, smallest, 32)
    return np.where(void | (whole == (low - 16) * 16), np.float32(np.nan), found)


def _eight_bit(image: Array) -> npt.NDArray[np.uint8]:
    low, high = np.nanpercentile(image, (0.5, 99.5))
    scaled = (np.nan_to_num(image, nan=float(low)) - low) * (255 / max(high - low, 1e-9))
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def triangulate(
    disparity: Array, coarse: Array, left_slant: float, right_slant: float
) -> tuple[Array, Array]:
    """Intersect the rays of matched pixels.

    Parameters
    ----------
    disparity
        float32 (rows, columns), NaN for no match.
    coarse
        Heights in metres by which both images were projected.
    left_slant, right_slant
        Columns per metre of height of each view.

    Returns
    -------
    Map column and height in metres of the point that each left pixel sees; NaN for no match.
    """
    place, height = np.empty_like(disparity), np.empty_like(disparity)
    _intersect(disparity, coarse, left_slant, right_slant, place, height)
    return place, height


@njit(cache=True)
def _intersect(disparity, coarse, left, right, place, height):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, columns = disparity.shape
    for r in range(rows):
        for c in range(columns):
            other = c - disparity[r, c]
            if not (0 <= other <= columns - 1):  # NaN, or beside the image
                place[r, c] = height[r, c] = np.nan
                continue
            i = min(int(other), columns - 2)
            f = other - i
            h0 = coarse[r, i] * (1 - f) + coarse[r, i + 1] * f
            u_left = c + left * coarse[r, c]
            u_right = other + right * h0
            h = (u_left - u_right) / (left - right)
            place[r, c] = u_left - left * h
            height[r, c] = h


def ray_miss(left: Array, right: Array, disparity: Array, gsd: float) -> Array:
    """Return how far the rays of matched pixels miss each other, in metres.

    The rays meet only if both pixels lie on one epipolar line, here a row. The sub-pixel offset
    across the rows is where a parabola through the matching costs one row up, level, and one row
    down is lowest; what of the cost remains there adds the uncertainty of a bad match.
    """
    scale = max(float(np.nanstd(left)), 1e-9)
    # Radiometry differs between the takes: compare what stands out from the surroundings.
    a, b = (_standing_out(image, scale) for image in (left, right))
    place = np.arange(left.shape[1], dtype=np.float32) - np.nan_to_num(disparity)
    costs = []
    for offset in (-1, 0, 1):
        rows = np.clip(np.arange(left.shape[0]) + offset, 0, left.shape[0] - 1)
        moved = along_rows(b[rows], place, np.inf)
        moved -= a
        costs.append(cv2.blur(np.square(moved, out=moved), (7, 7)))
    up, level, down = costs
    bend = up - 2 * level + down
    with np.errstate(invalid="ignore", divide="ignore"):
        miss = np.where(bend > 1e-6, 0.5 * (up - down) / bend, 0)
    residual = np.abs(np.clip(miss, -1, 1)) + 0.5 * np.sqrt(level)
    return np.where(np.isnan(disparity), np.nan, residual * gsd).astype(np.float32)


def _standing_out(image: Array, scale: float) -> Array:
    known = np.nan_to_num(image, nan=float(np.nanmean(image)))
    known -= cv2.blur(known, (15, 15))
    known /= np.float32(scale)
    return known
