"""Ground surfaces: triangulation of ground points, and the choice of ground points by a filter."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from demiurge.arrays import Array, Mask, Values
from demiurge.errors import missing_extra


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
    """
    from scipy.spatial import Delaunay, QhullError

    shape = planes.shape[1:]
    result = np.full(shape, np.nan, np.float32)
    rows, cols = np.nonzero(np.isfinite(planes[0]))
    if len(rows) < 3:
        return result
    z = planes[0, rows, cols].astype(np.float64)
    points = np.column_stack((cols + planes[2, rows, cols], rows + planes[1, rows, cols]))
    points = points.astype(np.float64)
    try:
        mesh = Delaunay(points)
    except QhullError:  # all points on a line
        return result
    corners = points[mesh.simplices]
    sides = corners - np.roll(corners, 1, axis=1)
    short = (sides**2).sum(axis=2).max(axis=1) <= longest**2
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    places = np.column_stack((x.ravel(), y.ravel()))
    found = mesh.find_simplex(places)
    known = np.flatnonzero((found >= 0) & short[found])
    found = found[known]
    result.flat[known] = _interpolated(places[known], corners[found], z[mesh.simplices[found]])
    return result


def _interpolated(places: Values, corners: Values, z: Values) -> Values:
    """Return the height of planes through three points, float64 (n,)."""
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, i].T for i in range(3))
    x, y = places.T
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = ((y1 - y2) * (x - x2) + (x2 - x1) * (y - y2)) / area
        b = ((y2 - y0) * (x - x2) + (x0 - x2) * (y - y2)) / area
    heights = a * z[:, 0] + b * z[:, 1] + (1 - a - b) * z[:, 2]
    return np.where(np.isfinite(heights), heights, np.nan)


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
