"""From a cloud of matched points to a raster, in the ways of stereo pipelines."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from demiurge.arrays import Array
from demiurge.raster.voids import enclosed, fill_voids
from demiurge.simulation.settings import GriddingSettings

_WAYS = {"mean": 0, "gaussian": 1, "nearest": 2, "highest": 3}
#: A pixel is known if its points weigh at least this much.
_LEAST = 0.25


def grid_points(
    columns: Array, rows: Array, values: list[Array], side: int, settings: GriddingSettings
) -> list[Array]:
    """Grid points on a square raster.

    Parameters
    ----------
    columns, rows
        float32, any shape: where the points lie, in pixels of the raster; NaN for none.
    values
        float32 of that shape, the heights first; points where the heights are NaN are left out.
    side
        Rows and columns of the raster.

    Returns
    -------
    One float32 raster per value; NaN where no point is near enough.
    """
    planes = np.stack([v.ravel() for v in values]).astype(np.float32, copy=False)
    out = np.full((len(values), side, side), np.nan, np.float32)
    place = (columns.ravel(), rows.ravel())
    way = _WAYS[settings.way]
    if way < 2:
        reach = 1.0 if way == 0 else settings.radius
        _average(*place, planes, reach, way == 1, out)
    else:
        _pick(*place, planes, settings.radius, way == 3, out)
    return _cleaned(list(out), settings)


@njit(cache=True)
def _average(columns, rows, values, reach, gaussian, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    count, side, _ = out.shape
    weights = np.zeros((side, side), np.float32)
    sums = np.zeros(out.shape, np.float32)
    spread = 2 * (reach / 2) ** 2  # the reach is two standard deviations
    for n in range(columns.size):
        x, y, h = columns[n], rows[n], values[0, n]
        if not (x > -2 and x < side + 1 and y > -2 and y < side + 1) or np.isnan(h):
            continue
        for r in range(
            max(int(np.ceil(y - reach)), 0), min(int(np.floor(y + reach)), side - 1) + 1
        ):
            for c in range(
                max(int(np.ceil(x - reach)), 0), min(int(np.floor(x + reach)), side - 1) + 1
            ):
                if gaussian:
                    square = (x - c) ** 2 + (y - r) ** 2
                    if square > reach * reach:
                        continue
                    w = np.exp(-square / spread)
                else:
                    w = (1 - abs(x - c)) * (1 - abs(y - r))
                weights[r, c] += w
                for k in range(count):
                    sums[k, r, c] += w * values[k, n]
    for r in range(side):
        for c in range(side):
            if weights[r, c] > _LEAST:
                for k in range(count):
                    out[k, r, c] = sums[k, r, c] / weights[r, c]


@njit(cache=True)
def _pick(columns, rows, values, reach, highest, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Take the highest, or the nearest, point within reach of each pixel."""
    count, side, _ = out.shape
    best = np.full((side, side), -np.inf, np.float32)
    for n in range(columns.size):
        x, y, h = columns[n], rows[n], values[0, n]
        if not (x > -2 and x < side + 1 and y > -2 and y < side + 1) or np.isnan(h):
            continue
        for r in range(
            max(int(np.ceil(y - reach)), 0), min(int(np.floor(y + reach)), side - 1) + 1
        ):
            for c in range(
                max(int(np.ceil(x - reach)), 0), min(int(np.floor(x + reach)), side - 1) + 1
            ):
                square = (x - c) ** 2 + (y - r) ** 2
                rank = h if highest else -square
                if square <= reach * reach and rank > best[r, c]:
                    best[r, c] = rank
                    for k in range(count):
                        out[k, r, c] = values[k, n]


def _cleaned(planes: list[Array], settings: GriddingSettings) -> list[Array]:
    """Remove outliers, smooth, and fill small holes of the heights; other values follow."""
    heights, *others = planes
    if settings.outliers and np.isfinite(heights).any():
        # Those far from the median of 5 × 5 pixels, against how far others are.
        away = np.abs(heights - _median(heights, 5))
        typical = 1.4826 * float(np.nanmedian(away))
        gone = away > max(settings.outliers * typical, 1e-3)
        heights, *others = (np.where(gone, np.float32(np.nan), p) for p in (heights, *others))
    if settings.median:
        heights = np.where(np.isnan(heights), heights, _median(heights, settings.median))
    if settings.fill:
        hole = np.isnan(heights) & enclosed(np.isfinite(heights), settings.fill)
        heights, *others = (np.where(hole, fill_voids(p), p) for p in (heights, *others))
    return [np.asarray(p, np.float32) for p in (heights, *others)]


def _median(heights: Array, side: int) -> Array:
    return np.asarray(cv2.medianBlur(fill_voids(heights), side), np.float32)
