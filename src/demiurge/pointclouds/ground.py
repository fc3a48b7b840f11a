"""Ground surfaces: triangulation of ground points, and the choice of ground points by a filter."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator

import numpy as np

from demiurge.arrays import Array, Mask, Values
from demiurge.errors import missing_extra

#: Distance in pixels below which two points are one.
_SNAP = 1e-6
#: Diagonal of a pixel, with room for rounding; first margin in pixels that is tried.
_PIXEL, _LEAST_MARGIN = 1.5, 8


def triangulated(planes: Array, longest: float, inner: tuple[slice, slice]) -> Array:
    """Interpolate ground points linearly within the triangles of their Delaunay triangulation.

    Parameters
    ----------
    planes
        float32 (3, rows, columns): height, and position within the pixel; NaN without a point.
    longest
        Longest side of a triangle in pixels; longer ones have no data.
    inner
        Rows and columns of the result; the points around them only shape its triangles.

    Returns
    -------
    float32 (rows, columns) of ``inner``: heights at the centres of pixels; NaN outside the
    triangles.

    Raises
    ------
    ResourceError
        If the library that triangulates is not installed.
    """
    try:
        import startinpy
    except ImportError:
        raise missing_extra("startinpy", "lidar", "triangulating ground points") from None

    shape = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
    result = np.full(shape, np.nan, np.float32)
    needed, widest = _needed(np.isfinite(planes[0]), inner)
    planes, top, left = planes[(slice(None), *needed)], needed[0].start, needed[1].start
    rows, cols = np.nonzero(np.isfinite(planes[0]))
    if len(rows) < 3:
        return result
    points = np.empty((len(rows), 3))
    points[:, 0] = cols + planes[2, rows, cols] + (left - inner[1].start)
    points[:, 1] = rows + planes[1, rows, cols] + (top - inner[0].start)
    points[:, 2] = planes[0, rows, cols]
    mesh = startinpy.DT()
    mesh.snap_tolerance = _SNAP
    mesh.insert(points, insertionstrategy="BBox")
    if mesh.number_of_triangles() == 0:  # all points on a line
        return result
    row, col = np.mgrid[: shape[0], : shape[1]] + 0.5
    places = np.column_stack((col.ravel(), row.ravel()))
    result.flat[:] = mesh.interpolate({"method": "TIN"}, places)
    if 2 * widest > longest:
        result[_within_long(mesh.points[:, :2][mesh.triangles], longest, shape)] = np.nan
    return result


def _needed(known: Mask, inner: tuple[slice, slice]) -> tuple[tuple[slice, slice], float]:
    """Return the rows and columns whose points shape the triangles over the inner pixels.

    The circle through the corners of a triangle contains no point. If no empty circle with its
    centre within ``m`` pixels of the inner pixels has a radius of ``m``, the circles of all
    triangles over them are centred there: otherwise the part of such a circle that is towards the
    triangle would contain an empty one of that radius. Circles of slivers along an edge of the
    array may be centred outside; there, all points along the edge are kept.

    Returns
    -------
    Rows and columns, and the largest radius in pixels; infinity if an edge is among them.
    """
    from scipy.ndimage import distance_transform_edt

    full = slice(0, known.shape[0]), slice(0, known.shape[1])
    if not known.any():
        return full, math.inf
    radius = distance_transform_edt(~known) + _PIXEL  # a point lies anywhere in its pixel
    margin, widest = _LEAST_MARGIN, math.inf
    while widest >= margin:
        around = _around(inner, margin, known.shape)
        widest = float(radius[around].max())
        rows, cols = _around(inner, math.ceil(margin + widest), known.shape)
        if (rows, cols) == full:
            return full, math.inf
        margin *= 2
    at_edge = [
        part.start == 0 or part.stop == n for part, n in zip((rows, cols), known.shape, strict=True)
    ]
    needed = full[0] if at_edge[1] else rows, full[1] if at_edge[0] else cols
    return needed, math.inf if any(at_edge) else widest


def _around(inner: tuple[slice, slice], margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, cols = (
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(inner, shape, strict=True)
    )
    return rows, cols


def _within_long(corners: Values, longest: float, shape: tuple[int, ...]) -> Mask:
    """Return the pixels whose centre lies in a triangle with a side longer than ``longest``.

    Scan lines: every triangle covers an interval of columns in each row; the sum of its starts and
    ends along the row counts the triangles over a pixel.
    """
    squares = [
        ((corners[:, i] - corners[:, j]) ** 2).sum(axis=1) for i, j in ((0, 1), (1, 2), (2, 0))
    ]
    long = corners[np.maximum.reduce(squares) > longest**2]
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
