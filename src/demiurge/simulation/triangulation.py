"""From disparities to heights on the map: triangulation, its error, gridding of the points."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from demiurge.arrays import Array
from demiurge.raster.voids import enclosed, fill_voids
from demiurge.simulation.filters import sample_rows
from demiurge.simulation.settings import GriddingSettings

#: Least sum of weights of the points of a pixel that is not void.
_LEAST_WEIGHT = 0.25


def triangulate(
    disparity: Array, coarse: Array, left_slant: float, right_slant: float
) -> tuple[Array, Array]:
    """Intersect the rays of matched pixels.

    Parameters
    ----------
    disparity
        float32 (rows, columns) in pixels, NaN for no match.
    coarse
        Heights in metres with which both images were projected.
    left_slant, right_slant
        Columns per metre of height of each view.

    Returns
    -------
    Column in the frame, and height in metres, of the point at each left pixel; NaN for no match.
    """
    position, height = np.empty_like(disparity), np.empty_like(disparity)
    _intersect(disparity, coarse, left_slant, right_slant, position, height)
    return position, height


@njit(cache=True)
def _intersect(disparity, coarse, left, right, position, height):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill ``position`` and ``height``; geometry as in :mod:`demiurge.simulation.rendering`."""
    rows, columns = disparity.shape
    for r in range(rows):
        for c in range(columns):
            other = c - disparity[r, c]
            if not (0 <= other <= columns - 1):  # NaN, or outside the right image
                position[r, c] = height[r, c] = np.nan
                continue
            i = min(int(other), columns - 2)
            f = other - i
            h0 = coarse[r, i] * (1 - f) + coarse[r, i + 1] * f
            u_left = c + left * coarse[r, c]
            u_right = other + right * h0
            h = (u_left - u_right) / (left - right)
            position[r, c] = u_left - left * h
            height[r, c] = h


def triangulation_error(left: Array, right: Array, disparity: Array, gsd: float) -> Array:
    """Return the distance between the rays of matched pixels in metres, float32.

    Rays meet only if both pixels lie on one epipolar line, which is a row. The sub-pixel offset
    across the rows is the minimum of a parabola through the matching costs at −1, 0 and 1 row.
    The remaining cost is added as the uncertainty of a poor match.

    Parameters
    ----------
    left, right
        float32 (rows, columns) images, NaN for no data.
    disparity
        float32 (rows, columns) in pixels, NaN for no match.
    gsd
        Pixel size in metres.
    """
    scale = max(float(np.nanstd(left)), 1e-9)
    # High-pass: the radiometry of the two images differs.
    a, b = (_high_pass(image, scale) for image in (left, right))
    positions = np.arange(left.shape[1], dtype=np.float32) - np.nan_to_num(disparity)
    costs = []
    for offset in (-1, 0, 1):
        rows = np.clip(np.arange(left.shape[0]) + offset, 0, left.shape[0] - 1)
        difference = sample_rows(b[rows], positions, np.inf)
        difference -= a
        costs.append(cv2.blur(np.square(difference, out=difference), (7, 7)))
    up, level, down = costs
    curvature = up - 2 * level + down
    with np.errstate(invalid="ignore", divide="ignore"):
        offset_rows = np.where(curvature > 1e-6, 0.5 * (up - down) / curvature, 0)
    residual = np.abs(np.clip(offset_rows, -1, 1)) + 0.5 * np.sqrt(level)
    return np.where(np.isnan(disparity), np.nan, residual * gsd).astype(np.float32)


def _high_pass(image: Array, scale: float) -> Array:
    """Subtract the mean of 15 × 15 pixels and divide by ``scale``."""
    filtered = np.nan_to_num(image, nan=float(np.nanmean(image)))
    filtered -= cv2.blur(filtered, (15, 15))
    filtered /= np.float32(scale)
    return filtered


def grid_points(
    columns: Array, rows: Array, values: list[Array], side: int, settings: GriddingSettings
) -> list[Array]:
    """Grid points on a square raster.

    Parameters
    ----------
    columns, rows
        float32, any shape: positions of the points in pixels of the raster; NaN for none.
    values
        float32 of that shape, the heights first; points with NaN heights are left out.
    side
        Rows and columns of the raster.

    Returns
    -------
    One float32 raster per value; NaN where no point is near enough.
    """
    points = np.stack([v.ravel() for v in values]).astype(np.float32, copy=False)
    out = np.full((len(values), side, side), np.nan, np.float32)
    positions = (columns.ravel(), rows.ravel())
    if settings.way in ("mean", "gaussian"):
        gaussian = settings.way == "gaussian"
        radius = settings.radius if gaussian else 1.0
        _average_points(*positions, points, radius, gaussian, out)
    else:
        _select_points(*positions, points, settings.radius, settings.way == "highest", out)
    return _filtered(list(out), settings)


@njit(cache=True)
def _pixel_range(centre, radius, side):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the first and last + 1 pixel within a radius."""
    first = max(int(np.ceil(centre - radius)), 0)
    return first, min(int(np.floor(centre + radius)), side - 1) + 1


@njit(cache=True)
def _average_points(columns, rows, values, radius, gaussian, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Average points with Gaussian or bilinear weights."""
    count, side, _ = out.shape
    weights = np.zeros((side, side), np.float32)
    sums = np.zeros(out.shape, np.float32)
    twice_variance = 2 * (radius / 2) ** 2  # the radius is two standard deviations
    for n in range(columns.size):
        x, y, h = columns[n], rows[n], values[0, n]
        if not (x > -2 and x < side + 1 and y > -2 and y < side + 1) or np.isnan(h):
            continue
        top, bottom = _pixel_range(y, radius, side)
        left, right = _pixel_range(x, radius, side)
        for r in range(top, bottom):
            for c in range(left, right):
                if gaussian:
                    square = (x - c) ** 2 + (y - r) ** 2
                    if square > radius * radius:
                        continue
                    w = np.exp(-square / twice_variance)
                else:
                    w = (1 - abs(x - c)) * (1 - abs(y - r))
                weights[r, c] += w
                for k in range(count):
                    sums[k, r, c] += w * values[k, n]
    for r in range(side):
        for c in range(side):
            if weights[r, c] > _LEAST_WEIGHT:
                for k in range(count):
                    out[k, r, c] = sums[k, r, c] / weights[r, c]


@njit(cache=True)
def _select_points(columns, rows, values, radius, highest, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Take the highest, or the nearest, point within a radius of each pixel."""
    count, side, _ = out.shape
    best = np.full((side, side), -np.inf, np.float32)
    for n in range(columns.size):
        x, y, h = columns[n], rows[n], values[0, n]
        if not (x > -2 and x < side + 1 and y > -2 and y < side + 1) or np.isnan(h):
            continue
        top, bottom = _pixel_range(y, radius, side)
        left, right = _pixel_range(x, radius, side)
        for r in range(top, bottom):
            for c in range(left, right):
                square = (x - c) ** 2 + (y - r) ** 2
                rank = h if highest else -square
                if square <= radius * radius and rank > best[r, c]:
                    best[r, c] = rank
                    for k in range(count):
                        out[k, r, c] = values[k, n]


def _filtered(rasters: list[Array], settings: GriddingSettings) -> list[Array]:
    """Remove outliers, smooth, and fill small holes of the first raster, the heights."""
    heights, *others = rasters
    if settings.outliers and np.isfinite(heights).any():
        # Outliers: far from the local median, in units of the NMAD-scaled typical distance.
        distance = np.abs(heights - _median(heights, 5))
        typical = 1.4826 * float(np.nanmedian(distance))
        outlier = distance > max(settings.outliers * typical, 1e-3)
        heights, *others = (np.where(outlier, np.float32(np.nan), p) for p in (heights, *others))
    if settings.median:
        heights = np.where(np.isnan(heights), heights, _median(heights, settings.median))
    if settings.fill:
        hole = np.isnan(heights) & enclosed(np.isfinite(heights), settings.fill)
        heights, *others = (np.where(hole, fill_voids(p), p) for p in (heights, *others))
    return [np.asarray(p, np.float32) for p in (heights, *others)]


def _median(heights: Array, side: int) -> Array:
    """Apply a median filter after filling voids."""
    return np.asarray(cv2.medianBlur(fill_voids(heights), side), np.float32)
