"""Filters of float32 rasters without no data, by OpenCV and Numba.

OpenCV is faster than SciPy here. Its Gaussian kernels are truncated elsewhere, so the results
differ slightly.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from demiurge.arrays import Array
from demiurge.raster.terrain import gradient

Scalar = TypeVar("Scalar", bound=np.generic)


def blur(raster: Array, sigma: float) -> Array:
    """Apply a Gaussian filter with replicated edges.

    A filter wider than 8 pixels runs on a coarser grid and is interpolated.

    Parameters
    ----------
    raster
        float32 (rows, columns), finite.
    sigma
        Standard deviation in pixels; 0 returns the raster unchanged.
    """
    if sigma <= 0:
        return raster
    if sigma > 8:
        step = int(sigma // 3)
        small = cv2.resize(raster, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
        return resize(np.asarray(small, np.float32), raster.shape)
    smooth = cv2.GaussianBlur(raster, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth, np.float32)


def resize(raster: Array, shape: tuple[int, ...]) -> Array:
    """Resample a smooth raster to another shape of the same extent, linearly."""
    resized = cv2.resize(raster, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def slope_tangent(heights: Array, gsd: float) -> Array:
    """Return the tangent of the slope angle, float32.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres.
    gsd
        Pixel size in metres.
    """
    slope = gradient(heights, gsd, edges="replicate")
    return np.asarray(cv2.magnitude(slope.down, slope.across), np.float32)


def subsample(raster: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return a regular sample of about 250,000 pixels of a raster of any type."""
    step = max(1, int(np.sqrt(raster.size / 250_000)))
    return raster[::step, ::step]


def quantile(raster: Array, share: float) -> float:
    """Return a quantile of a raster, from a regular sample."""
    return float(np.quantile(subsample(raster), share))


@njit(cache=True)
def sample_rows(raster, positions, outside):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Interpolate each row linearly at float column positions.

    Parameters
    ----------
    raster
        float32 (rows, n).
    positions
        float32 (rows, columns): column in the raster.
    outside
        Value for positions outside the raster and for NaN; if infinite, the edge value is
        replicated instead.
    """
    rows, columns = positions.shape
    last = raster.shape[1] - 1
    out = np.empty((rows, columns), np.float32)
    replicate = np.isinf(outside)
    for r in range(rows):
        for c in range(columns):
            x = positions[r, c]
            if not replicate and not (0 <= x <= last):
                out[r, c] = outside
                continue
            x = min(max(x, 0.0), float(last))
            i = min(int(x), last - 1)
            f = np.float32(x - i)
            value = raster[r, i]
            if f > 0:  # a neighbour of weight 0 may be NaN
                value = value * (1 - f) + raster[r, i + 1] * f
            out[r, c] = outside if np.isnan(value) and not replicate else value
    return out
