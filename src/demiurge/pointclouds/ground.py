"""Ground surfaces: triangulation of ground points, and the choice of ground points by a filter."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from demiurge.arrays import Array, Mask, Values
from demiurge.errors import missing_extra

#: Distance in pixels below which two points are one.
_SNAP = 1e-6


def triangulated(planes: Array, longest: float) -> Array:
    """Interpolate ground points linearly within the triangles of their Delaunay triangulation.

    Parameters
    ----------
    planes
        float32 (3, rows, columns): height, and position within the pixel; NaN without a point.
    longest
        Longest side of a triangle in pixels; longer ones have no data.

    Returns
    -------
    float32 (rows, columns): heights at the centres of pixels; NaN outside the triangles.

    Raises
    ------
    ResourceError
        If the library that triangulates is not installed.
    """
    try:
        import startinpy
    except ImportError:
        raise missing_extra("startinpy", "lidar", "triangulating ground points") from None

    shape = planes.shape[1:]
    result = np.full(shape, np.nan, np.float32)
    rows, cols = np.nonzero(np.isfinite(planes[0]))
    if len(rows) < 3:
        return result
    x, y = cols + planes[2, rows, cols], rows + planes[1, rows, cols]
    mesh = startinpy.DT()
    mesh.snap_tolerance = _SNAP
    mesh.insert(
        np.column_stack((x, y, planes[0, rows, cols])).astype(np.float64), insertionstrategy="BBox"
    )
    if mesh.number_of_triangles() == 0:  # all points on a line
        return result
    row, col = np.mgrid[: shape[0], : shape[1]] + 0.5
    places = np.column_stack((col.ravel(), row.ravel()))
    result.flat[:] = mesh.interpolate({"method": "TIN"}, places)
    result[_within_long(mesh.points[mesh.triangles][..., :2], longest, shape)] = np.nan
    return result


def _within_long(corners: Values, longest: float, shape: tuple[int, ...]) -> Mask:
    """Return the pixels whose centre lies in a triangle with a side longer than ``longest``.

    Scan lines: every triangle covers an interval of columns in each row; the sum of its starts and
    ends along the row counts the triangles over a pixel.
    """
    sides = corners - np.roll(corners, 1, axis=1)
    long = corners[(sides**2).sum(axis=2).max(axis=1) > longest**2]
    marks = np.zeros((shape[0], shape[1] + 1), np.int32)
    if not len(long):
        return np.zeros(shape, bool)
    y = long[..., 1]
    first = np.clip(np.ceil(y.min(axis=1) - 0.5), 0, shape[0]).astype(np.int64)
    last = np.clip(np.floor(y.max(axis=1) - 0.5) + 1, 0, shape[0]).astype(np.int64)
    counts = np.maximum(last - first, 0)
    triangle = np.repeat(np.arange(len(long)), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[triangle]
    start, end = long[triangle], np.roll(long, -1, axis=1)[triangle]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (row[:, None] + 0.5 - start[..., 1]) / (end[..., 1] - start[..., 1])
    x = start[..., 0] + share * (end[..., 0] - start[..., 0])
    x = np.where((share >= 0) & (share <= 1), x, np.nan)
    known = np.isfinite(x).any(axis=1)
    x, row = x[known], row[known]
    left = np.clip(np.ceil(np.nanmin(x, axis=1) - 0.5), 0, shape[1]).astype(np.int64)
    right = np.clip(np.floor(np.nanmax(x, axis=1) - 0.5) + 1, 0, shape[1]).astype(np.int64)
    np.add.at(marks, (row, left), 1)
    np.add.at(marks, (row, np.maximum(right, left)), -1)
    return np.asarray(np.cumsum(marks, axis=1)[:, :-1] > 0)


def cloth_ground(planes: Array, gsd: float) -> Mask:
    """Return which points are ground, by a cloth simulation filter.

    Source: Zhang et al. (2016), https://doi.org/10.3390/rs8060501; library
    ``cloth-simulation-filter``.

    Parameters
    ----------
    planes
        As for :func:`triangulated`: the lowest points.
    gsd
        Pixel size in metres.

    Returns
    -------
    bool (rows, columns).

    Raises
    ------
    ResourceError
        If the library is not installed.
    """
    try:
        import CSF
    except ImportError:
        raise missing_extra(
            "cloth-simulation-filter", "lidar", "finding ground points without classes"
        ) from None
    mask = np.zeros(planes.shape[1:], bool)
    rows, cols = np.nonzero(np.isfinite(planes[0]))
    if len(rows) < 3:
        return mask
    x, y = (cols + planes[2, rows, cols]) * gsd, -(rows + planes[1, rows, cols]) * gsd
    cloth = CSF.CSF()
    cloth.params.bSloopSmooth = True
    cloth.params.cloth_resolution = max(1.0, 2 * gsd)
    cloth.params.rigidness = 2
    cloth.params.class_threshold = 0.5
    cloth.setPointCloud(np.column_stack((x, y, planes[0, rows, cols])).astype(np.float64))
    ground, others = CSF.VecInt(), CSF.VecInt()
    with _silent():
        cloth.do_filtering(ground, others, False)
    chosen = np.array(ground, np.int64)
    mask[rows[chosen], cols[chosen]] = True
    return mask


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Discard what the library prints on the process's standard output."""
    saved = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(sink)
