"""From two views to heights: a real matcher, triangulation, gridding."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from demiurge.simulation.fields import along_rows
from demiurge.simulation.settings import MatcherSettings

Array = npt.NDArray[np.float32]


class Matcher(Protocol):
    """Finds, for each pixel of the left image, how far left the same thing lies in the right."""

    def __call__(self, left: Array, right: Array) -> Array:
        """Return disparities x_left − x_right in pixels, float32, NaN where there is no match."""


class SemiGlobal:
    """OpenCV's semi-global matching (Hirschmüller 2008) with a left-right check."""

    def __init__(self, settings: MatcherSettings) -> None:
        self.settings = settings
        block = settings.block
        self._low = -settings.disparities // 2
        library: Any = cv2
        self._matcher = library.StereoSGBM_create(
            minDisparity=self._low,
            numDisparities=settings.disparities,
            blockSize=block,
            P1=8 * block * block,
            P2=32 * block * block,
            disp12MaxDiff=1,
            preFilterCap=31,
            uniquenessRatio=settings.uniqueness,
            speckleWindowSize=60,
            speckleRange=2,
            mode=library.STEREO_SGBM_MODE_SGBM_3WAY,
        )

    def __call__(self, left: Array, right: Array) -> Array:
        """Match; see :class:`Matcher`."""
        # The margin keeps the whole range searchable up to the edges.
        pad = self.settings.disparities
        wide = ((0, 0), (pad, pad))
        planes = [np.pad(_eight_bit(image), wide, mode="edge") for image in (left, right)]
        raw = self._matcher.compute(*planes)[:, pad:-pad].astype(np.float32) / 16
        bad = (raw < self._low) | np.isnan(left)
        return np.where(bad, np.float32(np.nan), raw)


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


def grid_points(place: Array, *values: Array) -> list[Array]:
    """Average points onto the pixels of their rows, each weighted by how near it is.

    Parameters
    ----------
    place
        float32 (rows, points): map column of each point.
    values
        float32 of that shape; points where the first is NaN are left out.

    Returns
    -------
    One float32 raster per value; NaN where no point lies within a pixel.
    """
    sums = np.empty((len(values), *place.shape), np.float32)
    _gather(place, np.stack(values).astype(np.float32, copy=False), sums)
    return list(sums)


@njit(cache=True)
def _gather(place, values, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, columns = place.shape
    count = values.shape[0]
    sums = np.empty((count, columns))
    weights = np.empty(columns)
    for r in range(rows):
        sums[:] = 0
        weights[:] = 0
        for c in range(columns):
            x = place[r, c]
            if np.isnan(values[0, r, c]) or np.isnan(x) or x < -1 or x > columns:
                continue
            first = int(np.floor(x))
            for k in range(first, first + 2):
                if 0 <= k < columns:
                    w = 1 - abs(x - k)
                    weights[k] += w
                    for v in range(count):
                        sums[v, k] += w * values[v, r, c]
        for k in range(columns):
            for v in range(count):
                out[v, r, k] = sums[v, k] / weights[k] if weights[k] > 0.25 else np.nan


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
