"""Statistics of points by pixel: pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask

#: Share of the range below the highest point of a pixel, in which points support it.
_SUPPORT = 0.5
_PERCENTILE = 0.98


@dataclass(frozen=True)
class PointTable2D:
    """Points of one tile.

    Attributes
    ----------
    row, col
        float32 (n,): position in pixels from the corner of the tile.
    z
        float32 (n,): height in metres.
    """

    row: Array
    col: Array
    z: Array


@dataclass(frozen=True)
class Cells:
    """Statistics by pixel; float32 (rows, columns), NaN in pixels without points.

    Attributes
    ----------
    surface
        Highest point or 98th percentile in metres.
    support
        Number of points in the upper part: within half of ``least`` of the highest.
    below
        Highest point beneath the upper part.
    count
        Number of points; 0 without.
    """

    surface: Array
    support: Array
    below: Array
    count: Array


def pixel_of(points: PointTable2D, shape: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Return the pixel number (row · columns + column) of points."""
    row = np.clip(points.row.astype(np.int64), 0, shape[0] - 1)
    col = np.clip(points.col.astype(np.int64), 0, shape[1] - 1)
    return (row * shape[1] + col).astype(np.uint64)


def _ordered(values: Array) -> npt.NDArray[np.uint64]:
    """Return integers in the order of float32 values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    negative = (bits >> np.uint32(31)).astype(bool)
    return np.where(negative, ~bits, bits | np.uint32(0x80000000)).astype(np.uint64)


def _restored(keys: npt.NDArray[np.uint64]) -> Array:
    """Return the float32 values of :func:`_ordered`."""
    low = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    positive = (low >> np.uint32(31)).astype(bool)
    return np.where(positive, low & np.uint32(0x7FFFFFFF), ~low).view(np.float32)


def surface_cells(
    points: PointTable2D, shape: tuple[int, int], *, percentile: bool, least: float
) -> Cells:
    """Return the statistics of the surface.

    Parameters
    ----------
    shape
        Rows and columns of the tile.
    percentile
        Take the 98th percentile (linear interpolation) instead of the highest point.
    least
        Height in metres by which isolated points stand out.
    """
    planes = [np.full(shape, np.nan, np.float32) for _ in range(3)]
    count = np.zeros(shape, np.float32)
    if points.z.size:
        keys = np.sort((pixel_of(points, shape) << np.uint64(32)) | _ordered(points.z))
        pixel = (keys >> np.uint64(32)).astype(np.int64)
        z = _restored(keys)
        starts = np.flatnonzero(np.r_[True, pixel[1:] != pixel[:-1]])
        sizes = np.diff(np.r_[starts, len(pixel)])
        ends = starts + sizes - 1
        top = z[ends]
        upper = z > np.repeat(top - np.float32(least * _SUPPORT), sizes)
        support = np.add.reduceat(upper, starts, dtype=np.int64)
        lower = ends - support
        below = np.where(lower >= starts, z[np.maximum(lower, 0)], np.float32(np.nan))
        surface = _percentile(z, starts, sizes) if percentile else top
        place = pixel[starts]
        for plane, values in zip(planes, (surface, support, below), strict=True):
            plane.flat[place] = values
        count.flat[place] = sizes
    return Cells(planes[0], planes[1], planes[2], count)


def _percentile(z: Array, starts: Any, sizes: Any) -> Array:
    at = _PERCENTILE * (sizes - 1)
    low = np.floor(at).astype(np.int64)
    share = (at - low).astype(np.float32)
    first, second = z[starts + low], z[starts + np.minimum(low + 1, sizes - 1)]
    return np.asarray(first + share * (second - first), np.float32)


def mean_cells(
    pixel: npt.NDArray[np.uint64], values: npt.NDArray[Any], shape: tuple[int, int]
) -> Array:
    """Return the mean of values by pixel, float32; NaN without points."""
    flat = pixel.astype(np.int64)
    size = shape[0] * shape[1]
    counts = np.bincount(flat, minlength=size)
    sums = np.bincount(flat, values.astype(np.float64), size)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts, np.float32).reshape(shape)


def vertices(points: PointTable2D, shape: tuple[int, int], *, lowest: bool) -> Array:
    """Return one measured point per pixel: that next to its centre, or the lowest.

    Returns
    -------
    float32 (3, rows, columns): height, and position within the pixel (row and column, 0 … 1); NaN
    without points.
    """
    planes = np.full((3, *shape), np.nan, np.float32)
    if points.z.size == 0:
        return planes
    pixel = pixel_of(points, shape)
    row, col = points.row - np.floor(points.row), points.col - np.floor(points.col)
    rank = points.z if lowest else (row - 0.5) ** 2 + (col - 0.5) ** 2
    order = np.argsort((pixel << np.uint64(32)) | _ordered(rank))
    sorted_pixel = pixel[order]
    first = order[np.r_[True, sorted_pixel[1:] != sorted_pixel[:-1]]]
    place = pixel[first].astype(np.int64)
    for plane, values in zip(planes, (points.z, row, col), strict=True):
        plane.flat[place] = values[first]
    return planes


def spikes(cells_support: Array, outlying: Mask, most: int) -> Mask:
    """Return those outlying components that at most ``most`` points support.

    Parameters
    ----------
    cells_support
        float32 (rows, columns): number of supporting points, NaN without.
    outlying
        bool (rows, columns): isolated peaks.
    """
    from scipy import ndimage

    labels, number = ndimage.label(outlying, np.ones((3, 3), bool))
    if number == 0:
        return outlying
    totals = ndimage.sum_labels(np.nan_to_num(cells_support), labels, np.arange(number + 1))
    return outlying & (totals <= most)[labels]
