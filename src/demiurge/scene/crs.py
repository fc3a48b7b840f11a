"""Coordinate reference systems and transforms; errors of PROJ become errors of demiurge."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, UsageError

#: Scale error up to which metres of a CRS count as metres on the ground.
TRUE_SCALE = 0.01
#: Largest scale error of a CRS that the user names.
WORST_SCALE = 0.05


def proj_of(crs: Any) -> Any:
    """Return the pyproj CRS of an odc-geo CRS, a pyproj CRS, or a valid name."""
    return _known(crs) if isinstance(crs, str) else getattr(crs, "proj", crs)


@lru_cache(maxsize=32)
def _known(name: str) -> Any:
    from pyproj import CRS

    return CRS(name)


@lru_cache(maxsize=32)
def parse_crs(text: str, example: str = "EPSG:32633") -> Any:
    """Return the pyproj CRS that a text names.

    Parameters
    ----------
    text
        EPSG code, WKT or PROJ string.
    example
        A valid text for error messages.

    Raises
    ------
    UsageError
        If the text is no CRS, or the CRS is local, engineering, geocentric or vertical.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS(text)
    except CRSError:
        raise UsageError(f"'{text}' is not a CRS", f"write it as {example}") from None
    if _placeless(crs):
        raise UsageError(
            f"'{text}' is a CRS without a position on the globe", f"choose for example {example}"
        )
    return crs


def require_crs(where: str, crs: Any) -> None:
    """Raise unless pixels can be transformed from a raster's CRS to others.

    Raises
    ------
    DataError
        For local, engineering, geocentric and purely vertical CRSs.
    """
    proj = proj_of(crs)
    if _placeless(proj):
        raise DataError(
            f"{where}: its CRS '{proj.name}' is local and defines no position on the globe",
            "set the correct CRS, for example with gdal_edit.py -a_srs EPSG:32633",
        )


@lru_cache(maxsize=32)
def _geodetic(proj: Any) -> Any:
    return proj.geodetic_crs


@lru_cache(maxsize=32)
def _placeless(proj: Any) -> bool:
    return proj.geodetic_crs is None or not (proj.is_projected or proj.is_geographic)


def is_degrees(crs: Any) -> bool:
    """Return whether a CRS is geographic: longitudes and latitudes in degrees."""
    return bool(proj_of(crs).is_geographic)


def on_earth(crs: Any) -> bool:
    """Return whether a CRS is on the Earth, by the size of its ellipsoid."""
    ellipsoid = proj_of(crs).ellipsoid
    return ellipsoid is not None and 6.3e6 < ellipsoid.semi_major_metre < 6.45e6


@lru_cache(maxsize=128)
def _transformer(source: Any, target: Any) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def transform(x: Any, y: Any, source: Any, target: Any) -> tuple[Values, Values]:
    """Transform coordinates from one CRS (odc-geo or pyproj) to another, x before y.

    Returns
    -------
    float64 of the input's shape; infinite outside the domain of the transformation.

    Raises
    ------
    DataError
        If there is no transformation between the two CRSs.
    """
    from pyproj.exceptions import CRSError, ProjError

    first, second = proj_of(source), proj_of(target)
    try:
        transformer = _transformer(first, second)
        x, y = transformer.transform(np.asarray(x, np.float64), np.asarray(y, np.float64))
    except (ProjError, CRSError) as error:
        raise _no_transformation(first, second, error) from None
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def transform_points(
    points: tuple[Values, Values, Values], source: str, target: str
) -> tuple[Values, Values, Values]:
    """Transform points from one three-dimensional CRS to another, such as EPSG:4979.

    Parameters
    ----------
    points
        float64 (n,) each: x, y and z, or longitude, latitude and height.

    Returns
    -------
    The transformed points, likewise.
    """
    x, y, z = _transformer(source, target).transform(*points)
    return np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(z, np.float64)


def _no_transformation(first: Any, second: Any, error: Exception) -> DataError:
    if not _placeless(first) and not _placeless(second) and on_earth(first) != on_earth(second):
        return DataError(
            f"'{first.name}' and '{second.name}' are on different celestial bodies",
            "give rasters of one body, all in one projected CRS in metres",
        )
    reason = str(error).split("\n", maxsplit=1)[0].strip().rstrip(".")
    return DataError(
        f"there is no transformation from '{first.name}' to '{second.name}' ({reason})",
        "warp the rasters to one CRS with gdalwarp",
    )


def unwrapped(longitude: Any, near: float) -> Values:
    """Return longitudes shifted by multiples of 360° to within 180° of ``near``."""
    values = np.asarray(longitude, np.float64)
    turns = np.zeros_like(values)
    np.floor((values - near + 180) / 360, out=turns, where=np.isfinite(values))
    return values - 360 * turns


def lonlat(x: float, y: float, crs: Any) -> tuple[float, float]:
    """Return longitude (−180 to 180) and latitude of a point on its datum; NaN if undefined."""
    lon, lat = transform([x], [y], crs, _geodetic(proj_of(crs)))
    if not (math.isfinite(lon[0]) and math.isfinite(lat[0])):
        return math.nan, math.nan
    return float(unwrapped(lon[0], 0.0)), float(lat[0])


def ground_scale(x: float, y: float, crs: Any) -> float:
    """Return the scale of a metric CRS at a point: units of the CRS per metre on the ground.

    Of the scales along the two axes, the one farther from 1. 1 outside the domain of the CRS.
    """
    proj = proj_of(crs)
    geodetic = _geodetic(proj)
    half = 500.0
    lon, lat = transform([x - half, x + half, x, x], [y, y, y - half, y + half], proj, geodetic)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return 1.0
    geod = proj.get_geod()
    _, _, ground = geod.inv(lon[[0, 2]], lat[[0, 2]], lon[[1, 3]], lat[[1, 3]])
    scales = [2 * half / float(d) for d in ground if d > 0]
    return max(scales, key=lambda s: abs(math.log(s)), default=1.0)


def true_north(x: float, y: float, crs: Any) -> float:
    """Return the azimuth of true north at a point, in degrees clockwise from grid north.

    An azimuth from true north plus this angle is the azimuth from grid north. The angle is
    the negative meridian convergence. 0 for a CRS without a position on the globe.
    """
    proj = proj_of(crs)
    if _placeless(proj):
        return 0.0
    geodetic, step = _geodetic(proj), 1e-3
    lon, lat = transform([x], [y], proj, geodetic)
    xs, ys = transform([lon[0], lon[0]], [lat[0] - step, lat[0] + step], geodetic, proj)
    angle = math.degrees(math.atan2(xs[1] - xs[0], ys[1] - ys[0]))
    return angle if math.isfinite(angle) else 0.0


def wrapped(crs: Any, centre: float) -> str:
    """Return a geographic CRS for GDAL whose longitudes are centred at a meridian."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # PROJ strings drop names and areas, not datums
        text = proj_of(crs).geodetic_crs.to_proj4()
    return f"{text.replace('+type=crs', '').strip()} +lon_wrap={centre:.10g}"
