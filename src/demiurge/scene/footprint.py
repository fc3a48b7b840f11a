"""Footprints, scales and windows of grids across CRSs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError
from demiurge.scene.crs import (
    TRUE_SCALE,
    ground_scale,
    is_degrees,
    lonlat,
    on_earth,
    proj_of,
    transform,
    unwrapped,
)
from demiurge.scene.grid import Bounds, Window, at, is_metric, north_up, window_grid


def is_plain(grid: GeoBox, most: float = TRUE_SCALE) -> bool:
    """Return whether a grid is north-up with square pixels in metres, to a scale error ``most``."""
    upright = north_up(grid)
    same = upright is not None and upright.affine == grid.affine
    return bool(same and is_metric(grid.crs) and is_true(grid, most))


def utm_of(grid: GeoBox) -> Any:
    """Return the WGS 84 / UTM (or universal polar stereographic) CRS at the centre of a grid.

    odc-geo's ``CRS.utm`` has no polar zones, takes the western zone at a zone boundary, and
    searches the PROJ database for 0.3 s in each call.

    Raises
    ------
    DataError
        If the grid is on another body, or its centre is outside the domain of its CRS.
    """
    from odc.geo.crs import CRS

    name = proj_of(grid.crs).name
    if not on_earth(grid.crs):
        raise DataError(
            f"'{name}' is not a projected CRS in metres and not on the Earth",
            "warp the raster to a projected CRS of that body in metres with gdalwarp",
        )
    lon, lat = lonlat(*centre(grid), grid.crs)
    if not (math.isfinite(lon) and -90 <= lat <= 90):
        raise DataError(
            f"the centre of the raster is outside the domain of its CRS '{name}'",
            "check CRS and geotransform with gdalinfo",
        )
    if lat > 84:
        return CRS("EPSG:5041")
    if lat < -80:
        return CRS("EPSG:5042")
    zone = min(int((lon + 180) // 6), 59) + 1
    return CRS(f"EPSG:{(32600 if lat >= 0 else 32700) + zone}")


def metric_crs(grid: GeoBox) -> Any:
    """Return the CRS of a grid if its metres are metres on the ground, else the UTM zone."""
    return grid.crs if is_metric(grid.crs) and is_true(grid) else utm_of(grid)


def centre(grid: GeoBox) -> tuple[float, float]:
    """Return the coordinates of the centre of a grid."""
    return at(grid.affine, grid.shape[1] / 2, grid.shape[0] / 2)


def scale_of(grid: GeoBox) -> float:
    """Return the scale of a metric CRS at the centre of a grid: units per metre on the ground."""
    return ground_scale(*centre(grid), grid.crs)


def ground_pixel(grid: GeoBox, crs: Any = None) -> float:
    """Return the size of a grid's central pixel in a metric CRS, or in metres on the ground."""
    a = grid.affine
    x, y = centre(grid)
    if crs is None:
        crs = metric_crs(grid)
    xs, ys = transform([x, x + a.a, x + a.b], [y, y + a.d, y + a.e], grid.crs, crs)
    area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
    size = math.sqrt(abs(float(area)))
    if not (size > 0 and math.isfinite(size)):
        raise DataError(
            f"a raster is outside the domain of '{proj_of(grid.crs).name}'",
            "check its CRS and extent with gdalinfo",
        )
    return size


def is_true(grid: GeoBox, most: float = TRUE_SCALE) -> bool:
    """Return whether metres of a grid's CRS are metres on the ground, to a scale error ``most``."""
    return abs(math.log(scale_of(grid))) <= math.log1p(most)


def bounds_in(grid: GeoBox, crs: Any, near: float | None = None) -> Bounds:
    """Return the bounds of a grid's footprint in another CRS.

    The interior is sampled as well: in polar projections, extremes are not on the outline.

    Parameters
    ----------
    near
        For a CRS in degrees, the longitude next to which the bounds are unwrapped; they may
        exceed ±180°. If None, the centre of the footprint is within ±180°.

    Raises
    ------
    DataError
        If there is no transformation between the CRSs.
    """
    same = proj_of(crs) == proj_of(grid.crs)
    samples = 2 if same else _SAMPLES
    rows, columns = np.meshgrid(
        np.linspace(0, grid.shape[0], samples), np.linspace(0, grid.shape[1], samples)
    )
    a = grid.affine
    xs, ys = a.a * columns + a.b * rows + a.c, a.d * columns + a.e * rows + a.f
    if same:
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
    x, y = transform(xs, ys, grid.crs, crs)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise DataError(
            f"a raster is outside the domain of '{proj_of(crs).name}'",
            "check its CRS and extent with gdalinfo",
        )
    if is_degrees(crs):
        middle = x[_SAMPLES // 2, _SAMPLES // 2]
        if not math.isfinite(middle):
            middle = float(x[known][0])
        x = unwrapped(x, float(unwrapped(middle, 0.0 if near is None else near)))
    x, y = x[known], y[known]
    box = float(x.min()), float(y.min()), float(x.max()), float(y.max())
    return _with_poles(grid, crs, box) if is_degrees(crs) else box


#: Points along each side of a footprint that is transformed to another CRS.
_SAMPLES = 21


def _with_poles(grid: GeoBox, crs: Any, box: Bounds) -> Bounds:
    """Extend bounds in degrees to all longitudes if the footprint contains a pole."""
    left, bottom, right, top = box
    for latitude in (90.0, -90.0):
        x, y = transform([0.0], [latitude], crs, grid.crs)
        if not (np.isfinite(x[0]) and np.isfinite(y[0])) or is_degrees(grid.crs):
            continue
        column, row = at(~grid.affine, float(x[0]), float(y[0]))
        if 0 <= row <= grid.shape[0] and 0 <= column <= grid.shape[1]:
            bottom, top = min(bottom, latitude), max(top, latitude)
            middle = (left + right) / 2
            left, right = middle - 180, middle + 180
    return left, bottom, right, top


#: For row, then for column in the pixels of one grid: the value at the corner of another grid, and
#: its change per row and per column of that grid.
Lattice = tuple[tuple[float, float, float], tuple[float, float, float]]


def lattice(source: GeoBox, target: GeoBox) -> Lattice:
    """Return the affine map from the pixels of a target grid to those of a source grid.

    It is exact at three corners of the target.
    """
    inverse = ~source.affine
    rows, columns = target.shape
    corners = [at(target.affine, col, row) for col, row in ((0, 0), (columns, 0), (0, rows))]
    across, up = zip(*corners, strict=True)
    x, y = transform(across, up, target.crs, source.crs)
    if is_degrees(source.crs):
        first = float(unwrapped(x[0], centre(source)[0]))
        x = unwrapped(x, first)
    (c0, r0), (c1, r1), (c2, r2) = (at(inverse, *place) for place in zip(x, y, strict=True))
    return (
        (r0, (r2 - r0) / rows, (r1 - r0) / columns),
        (c0, (c2 - c0) / rows, (c1 - c0) / columns),
    )


def pixel_ratio(source: GeoBox, target: GeoBox) -> float:
    """Return target pixels per source pixel along an axis, at the centre of the target."""
    row, col = target.shape[0] // 2, target.shape[1] // 2
    central = window_grid(target, Window(row, col, 1, 1))
    (_, rr, rc), (_, cr, cc) = lattice(source, central)
    area = abs(rr * cc - rc * cr)
    return 1 / math.sqrt(area) if area > 0 and math.isfinite(area) else 1.0


def source_window(source: GeoBox, target: GeoBox, margin: int = 0) -> Window | None:
    """Return the window of one grid that contains another's footprint, or None if disjoint.

    odc-geo's ``compute_reproject_roi`` returns the same windows for most footprints, but raises
    for those that contain a pole and loses columns of those that cross the seam of a global grid.

    Parameters
    ----------
    margin
        Pixels added on every side before clipping to the source grid.
    """
    box = _footprint(source, target, margin)
    first_col, last_col = max(0, box.col), min(source.shape[1], box.col + box.width)
    if spans_globe(source) and (box.col < 0 or box.col + box.width > source.shape[1]):
        first_col, last_col = 0, int(source.shape[1])  # on both sides of the seam
    if box.height <= 0 or last_col <= first_col:
        return None
    return Window(box.row, first_col, box.height, last_col - first_col)


def window_across_seam(source: GeoBox, target: GeoBox, margin: int = 0) -> Window | None:
    """Return the window of a footprint that crosses the seam of a global grid.

    Its columns exceed the grid on one side; they stand for the columns 360° away. None for other
    grids and footprints.
    """
    if not spans_globe(source):
        return None
    box = _footprint(source, target, margin)
    across = box.col < 0 or box.col + box.width > source.shape[1]
    if not across or box.height <= 0 or box.width >= source.shape[1]:
        return None
    return box


def spans_globe(grid: GeoBox) -> bool:
    """Return whether a grid in degrees spans 360° of longitude."""
    if not is_degrees(grid.crs) or grid.affine.b or grid.affine.d:
        return False
    return bool(abs(abs(grid.affine.a) * grid.shape[1] - 360) < abs(grid.affine.a) / 2)


def _footprint(source: GeoBox, target: GeoBox, margin: int) -> Window:
    """Return the window of a target's footprint, clipped to the rows of the source."""
    near = centre(source)[0] if is_degrees(source.crs) else None
    left, bottom, right, top = bounds_in(target, source.crs, near)
    inverse = ~source.affine
    corners = [at(inverse, x, y) for x in (left, right) for y in (bottom, top)]
    columns, rows = [c for c, _ in corners], [r for _, r in corners]
    row, col = max(0, math.floor(min(rows)) - margin), math.floor(min(columns)) - margin
    height = min(source.shape[0], math.ceil(max(rows)) + margin) - row
    return Window(row, col, height, math.ceil(max(columns)) + margin - col)


def moved_grid(grid: GeoBox, window: Window) -> GeoBox:
    """Return the grid of a window that may exceed the given grid."""
    from affine import Affine

    a = grid.affine
    left, top = at(a, window.col, window.row)
    return GeoBox((window.height, window.width), Affine(a.a, a.b, left, a.d, a.e, top), grid.crs)
