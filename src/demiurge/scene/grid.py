"""Grids and windows: arithmetic on odc-geo's GeoBox, in metres.

A grid is a ``GeoBox`` (shape, affine, CRS). Windows are half-open pixel windows in row, column
order. Bounds are ``(left, bottom, right, top)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from odc.geo.roi import roi_pad

from demiurge.errors import UsageError

Bounds = tuple[float, float, float, float]

#: Largest number of pixels of a grid; more indicate a wrong pixel size.
MAX_PIXELS = 10**13


class Window(NamedTuple):
    """A half-open window of pixels: rows ``row … row + height``, columns likewise."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the window as NumPy slices (rows, columns)."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.col, self.col + self.width),
        )


#: Name of the CRS of images without georeference.
LOCAL_NAME = "local frame, not georeferenced"
#: That CRS: metres east and north of the image's south-western corner.
_LOCAL = (
    f'PROJCS["{LOCAL_NAME}",'
    'GEOGCS["WGS 84",DATUM["WGS_1984",'
    'SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",0],'
    'PARAMETER["scale_factor",1],PARAMETER["false_easting",0],PARAMETER["false_northing",0],'
    'UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
)


def local_grid(shape: tuple[int, int], gsd: float) -> GeoBox:
    """Return the grid of an image without georeference, its south-western corner at 0, 0."""
    from affine import Affine

    return GeoBox(shape, Affine(gsd, 0, 0, 0, -gsd, gsd * shape[0]), _LOCAL)


def full_window(grid: GeoBox) -> Window:
    """Return the window that covers the entire grid."""
    return Window(0, 0, grid.shape[0], grid.shape[1])


def blocks(shape: tuple[int, int], size: int) -> Iterator[Window]:
    """Yield windows of at most ``size`` × ``size`` pixels that tile ``shape``, row by row."""
    for row in range(0, shape[0], size):
        for col in range(0, shape[1], size):
            yield Window(row, col, min(size, shape[0] - row), min(size, shape[1] - col))


def sample_windows(shape: tuple[int, int], most: int, size: int = 128) -> list[list[Window]]:
    """Return windows distributed evenly over a raster, edges included, for sampling.

    Returns
    -------
    Rows of windows with at most about ``most`` × ``most`` pixels in all; one window with the
    entire raster if it is no larger.
    """

    def axis(length: int) -> list[tuple[int, int]]:
        if length <= most:
            return [(0, length)]
        count = max(2, most // size)
        starts = [i * (length - size) // (count - 1) for i in range(count)]
        # Aligned with the blocks of tiled files, except the last, which ends at the edge.
        return [(start // size * size, size) for start in starts[:-1]] + [(starts[-1], size)]

    return [[Window(r, c, h, w) for c, w in axis(shape[1])] for r, h in axis(shape[0])]


def wkt(grid: GeoBox) -> str:
    """Return the CRS of a grid as WKT for GDAL."""
    assert grid.crs is not None
    return str(grid.crs.to_wkt())


@lru_cache(maxsize=256)
def epsg_of(crs: Any) -> int | None:
    """Return the EPSG code of a CRS if it is identical with it, else None.

    A search without result takes 0.1 s; results are cached.
    """
    code: int | None = crs.proj.to_epsg(min_confidence=100)
    return code


def crs_name(crs: Any) -> str:
    """Return the EPSG code of a CRS, or its name if it has none, for messages."""
    code = epsg_of(crs)
    return f"EPSG:{code}" if code else str(crs.proj.name)


def pixel_size(grid: GeoBox) -> float:
    """Return the pixel size in metres of a metric grid with square pixels."""
    return float(abs(grid.affine.a))


def north_up(grid: GeoBox) -> GeoBox | None:
    """Return the grid flipped north-up; None if it is rotated or its pixels are not square."""
    from affine import Affine

    a = grid.affine
    if a.b != 0 or a.d != 0 or not math.isclose(abs(a.a), abs(a.e), rel_tol=1e-4):
        return None
    left = a.c if a.a > 0 else a.c + a.a * grid.shape[1]
    top = a.f if a.e < 0 else a.f + a.e * grid.shape[0]
    return GeoBox(grid.shape, Affine(abs(a.a), 0, left, 0, -abs(a.e), top), grid.crs)


def is_metric(crs: Any) -> bool:
    """Return whether a CRS is projected with axes in metres (to a millimetre per metre)."""
    proj = crs.proj
    if not proj.is_projected:
        return False
    return all(abs(axis.unit_conversion_factor - 1) < 1e-3 for axis in proj.axis_info[:2])


def intersection(boxes: list[Bounds]) -> Bounds | None:
    """Return the intersection of all bounds, or None if it is empty."""
    left, bottom = max(b[0] for b in boxes), max(b[1] for b in boxes)
    right, top = min(b[2] for b in boxes), min(b[3] for b in boxes)
    return (left, bottom, right, top) if left < right and bottom < top else None


def union(boxes: list[Bounds]) -> Bounds:
    """Return the smallest bounds that contain all bounds."""
    return (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )


def snapped_grid(
    bounds: Bounds,
    crs: Any,
    gsd: float,
    *,
    inward: bool = False,
    origin: tuple[float, float] = (0.0, 0.0),
) -> GeoBox:
    """Return a north-up grid whose edges are multiples of the pixel size.

    Parameters
    ----------
    bounds
        ``(left, bottom, right, top)`` in the CRS.
    gsd
        Pixel size in CRS units (metres), above 0.
    inward
        Shrink the grid to within the bounds instead of covering them.
    origin
        A corner of a pixel, from which edges are multiples of the pixel size away.

    Raises
    ------
    UsageError
        If the pixel size is not positive, or the grid is empty or exceeds ``MAX_PIXELS``.
    """
    if not (gsd > 0 and math.isfinite(gsd)):
        raise UsageError(f"the pixel size is {gsd} m", "set --gsd to a number above 0")
    x, y = origin
    low, high = (math.ceil, math.floor) if inward else (math.floor, math.ceil)
    slack = -1e-6 if inward else 1e-6  # tolerance for rounding of the edges
    left = x + low((bounds[0] - x) / gsd + slack) * gsd
    bottom = y + low((bounds[1] - y) / gsd + slack) * gsd
    right = x + high((bounds[2] - x) / gsd - slack) * gsd
    top = y + high((bounds[3] - y) / gsd - slack) * gsd
    columns, rows = round((right - left) / gsd), round((top - bottom) / gsd)
    _check_size(rows, columns, gsd)
    box = BoundingBox(left, bottom, right, top, crs)
    return GeoBox.from_bbox(box, shape=(rows, columns), tight=True)


def _check_size(rows: int, columns: int, gsd: float) -> None:
    if columns < 1 or rows < 1:
        raise UsageError(
            f"the pixel size of {gsd:g} m exceeds the area",
            "choose a smaller --gsd or a larger --extent",
        )
    if columns * rows > MAX_PIXELS:
        raise UsageError(
            f"the pixel size of {gsd:g} m gives {columns} × {rows} pixels", "choose a larger --gsd"
        )


def cropped_grid(grid: GeoBox, bounds: Bounds, *, inward: bool = False) -> GeoBox:
    """Return a north-up grid cropped or extended to bounds, with the same phase of pixels.

    A raster on the grid needs no resampling.

    Parameters
    ----------
    bounds
        ``(left, bottom, right, top)`` in the grid's CRS.
    inward
        Shrink the grid to within the bounds instead of covering them.

    Raises
    ------
    UsageError
        If the result is empty or exceeds ``MAX_PIXELS``.
    """
    from affine import Affine

    a = grid.affine
    low, high = (math.ceil, math.floor) if inward else (math.floor, math.ceil)
    slack = -1e-4 if inward else 1e-4  # tolerance for rounding of the edges
    left, right = (bounds[0] - a.c) / a.a, (bounds[2] - a.c) / a.a
    top, bottom = (bounds[3] - a.f) / a.e, (bounds[1] - a.f) / a.e
    col, row = low(left + slack), low(top + slack)
    columns, rows = high(right - slack) - col, high(bottom - slack) - row
    _check_size(rows, columns, a.a)
    affine = Affine(a.a, 0, a.c + col * a.a, 0, a.e, a.f + row * a.e)
    return GeoBox((rows, columns), affine, grid.crs)


def pixel_shift(source: GeoBox, grid: GeoBox) -> tuple[int, int] | None:
    """Return the row and column of a source at the origin of a grid, if their pixels coincide.

    None if they differ by more than a thousandth of a pixel anywhere on the grid.
    """
    a, b = source.affine, grid.affine
    if source.crs != grid.crs:
        return None
    most = 1e-3 * min(math.hypot(a.a, a.d), math.hypot(a.b, a.e))
    side = max(grid.shape)
    if max(abs(a.a - b.a), abs(a.b - b.b), abs(a.d - b.d), abs(a.e - b.e)) * side > most:
        return None
    col, row = at(~a, b.c, b.f)
    if abs(col - round(col)) > 1e-3 or abs(row - round(row)) > 1e-3:
        return None
    return round(row), round(col)


def grown(window: Window, margin: int, shape: tuple[int, int]) -> Window:
    """Return the window with a margin on every side, clipped to a raster's shape."""
    rows, cols = roi_pad(window.slices, margin, shape)
    return Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)


def window_grid(grid: GeoBox, window: Window) -> GeoBox:
    """Return the part of a grid that a window covers."""
    part = grid[window.slices]
    assert isinstance(part, GeoBox)
    return part


def same_grid(a: GeoBox, b: GeoBox) -> bool:
    """Return whether two grids have the same pixels (to a thousandth of a pixel)."""
    if a.shape != b.shape or a.crs != b.crs:
        return False
    tolerance = 1e-3 * max(abs(a.affine.a), abs(a.affine.e), abs(a.affine.b), abs(a.affine.d))
    corners = ((0, 0), (a.shape[1], 0), (0, a.shape[0]))
    return all(
        math.dist(at(a.affine, *corner), at(b.affine, *corner)) <= tolerance for corner in corners
    )


def at(affine: Any, col: float, row: float) -> tuple[float, float]:
    """Return the coordinates of a pixel position; with an inverse affine, the reverse."""
    x = affine.a * col + affine.b * row + affine.c
    y = affine.d * col + affine.e * row + affine.f
    return x, y
