"""Dimensions, CRS and transform of xarray objects, through rioxarray's accessors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from affine import Affine

from demiurge.arrays import Values
from demiurge.errors import DataError, UsageError, missing_extra

#: Names of the dimensions of rows and columns, in lower case.
_ROWS_COLUMNS = (
    ("y", "x"),
    ("lat", "lon"),
    ("latitude", "longitude"),
    ("northing", "easting"),
)
#: Largest deviation of a coordinate from even spacing, in pixels.
_UNEVEN = 0.02
#: Largest difference of coordinates from those of the stored transform, in pixels.
_SAME = 1e-3
#: Largest change in pixels by rounding of coordinates to 12 digits.
_ROUNDING = 1e-6


def require_rioxarray() -> None:
    """Import rioxarray, which adds the accessor ``rio``.

    Raises
    ------
    ResourceError
        If it is not installed.
    """
    try:
        import rioxarray  # noqa: F401
    except ImportError:
        raise missing_extra("rioxarray", "xarray", "reading arrays of xarray") from None


def rows_and_columns(array: Any, name: str) -> tuple[Any, Any]:
    """Return the names of the dimensions of rows and columns: y and x, or latitude and longitude.

    Raises
    ------
    UsageError
        If the array has no such dimensions.
    """
    known = {str(dim).lower(): dim for dim in array.dims}
    for rows, columns in _ROWS_COLUMNS:
        if rows in known and columns in known:
            return known[rows], known[columns]
    try:
        return array.rio.y_dim, array.rio.x_dim
    except Exception:  # rioxarray's error has no common base with others
        pass
    if len(array.dims) == 2 and not any(dim in array.coords for dim in array.dims):
        return array.dims[0], array.dims[1]
    raise UsageError(
        f"{name}: none of its dimensions ({', '.join(map(str, array.dims))}) are rows and columns",
        "name them y and x, for example with .rename(row='y', col='x')",
    )


def crs_of(array: Any, name: str) -> Any:
    """Return the CRS (rasterio) of an array; None without one.

    Raises
    ------
    DataError
        If it is invalid.
    """
    from pyproj.exceptions import CRSError as ProjError
    from rasterio.errors import CRSError

    try:
        return array.rio.crs
    except (CRSError, ProjError) as error:
        raise DataError(
            f"{name}: its CRS is not valid ({str(error).splitlines()[0].rstrip('.')})",
            'set it, for example with .rio.write_crs("EPSG:32633")',
        ) from None


def transform_of(array: Any, rows: Any, columns: Any, name: str) -> Affine:
    """Return the transform from pixels to the CRS; the identity if nothing defines it.

    The coordinates define it, as they follow slices. The stored ``GeoTransform`` replaces them
    where both have the same pixels, because it has no rounding errors.

    Raises
    ------
    DataError
        If the coordinates are not evenly spaced, or there are too few.
    """
    stored = _stored(array)
    if columns not in array.coords or rows not in array.coords:
        return Affine.identity() if stored is None else stored
    if stored is not None and (stored.b or stored.d):
        raise DataError(
            f"{name}: has a rotated transform and coordinates of rows and columns",
            "remove the coordinates with .drop_vars, or the transform",
        )
    x0, dx = _axis(array, columns, name, None if stored is None else (stored.c, stored.a))
    y0, dy = _axis(array, rows, name, None if stored is None else (stored.f, stored.e))
    return Affine(dx, 0, x0, 0, dy, y0)


def _stored(array: Any) -> Affine | None:
    """Return the ``GeoTransform`` of the grid mapping."""
    try:
        text = array.coords[array.rio.grid_mapping].attrs["GeoTransform"]
        return Affine.from_gdal(*(float(part) for part in str(text).split()))
    except (KeyError, ValueError, TypeError):
        return None


def _axis(
    array: Any, dim: Any, name: str, stored: tuple[float, float] | None
) -> tuple[float, float]:
    """Return the outer edge of the first pixel, and the step from pixel to pixel.

    Parameters
    ----------
    stored
        Edge and step of the stored transform.
    """
    values = np.asarray(array[dim].values, np.float64)
    if len(values) > 1:
        step = _step(values, dim, name)
    elif stored is not None:
        step = stored[1]
    else:
        raise DataError(
            f"{name}: has only one value of '{dim}', so its pixel size is not known",
            "set it with .rio.write_transform",
        )
    edge = float(values[0]) - step / 2
    if stored is not None:
        origin, size = stored
        offset = (edge - origin) / size
        even = abs(abs(step / size) - 1) * len(values) <= _SAME
        if even and abs(offset - round(offset)) <= _SAME:
            return origin + round(offset) * size, math.copysign(size, step)
    return _rounded(edge, step, len(values))


def _step(values: Values, dim: Any, name: str) -> float:
    """Return the mean step of coordinates; raise unless they are evenly spaced."""
    step = float(values[-1] - values[0]) / (len(values) - 1)
    even = values[0] + step * np.arange(len(values))
    if not (math.isfinite(step) and step and np.abs(values - even).max() <= _UNEVEN * abs(step)):
        raise DataError(
            f"{name}: its coordinates '{dim}' are not evenly spaced",
            "bring it to a regular grid, for example with .interp or .rio.reproject",
        )
    return step


def _rounded(edge: float, step: float, count: int) -> tuple[float, float]:
    """Remove rounding errors of coordinates: 12 digits, where that moves no pixel."""
    near, size = float(f"{edge:.12g}"), float(f"{step:.12g}")
    moved = max(abs(near - edge), abs(size - step) * count)
    return (near, size) if moved <= _ROUNDING * abs(step) else (edge, step)
