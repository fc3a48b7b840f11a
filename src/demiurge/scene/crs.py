"""The one door to coordinate transforms: what PROJ and GDAL raise becomes a sentence."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, UsageError

#: Metres of a CRS may differ from metres on the ground by this share.
TRUE_SCALE = 0.01
#: Where a CRS is asked for by name, its scale may be off by this; beyond, it is refused.
WORST_SCALE = 0.05


def proj_of(crs: Any) -> Any:
    """Return the pyproj CRS of an odc-geo or pyproj CRS, or of the name of a known one."""
    return _known(crs) if isinstance(crs, str) else getattr(crs, "proj", crs)


@lru_cache(maxsize=32)
def _known(name: str) -> Any:
    from pyproj import CRS

    return CRS(name)


@lru_cache(maxsize=32)
def parse_crs(text: str, example: str = "EPSG:32633") -> Any:
    """Return the pyproj CRS that a text names.

    Raises
    ------
    UsageError
        If it names none, or one without a place on a globe.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS(text)
    except CRSError:
        raise UsageError(f"'{text}' is no CRS", f"write it as {example}") from None
    if _placeless(crs):
        raise UsageError(f"'{text}' is a CRS without place on the globe", f"choose e.g. {example}")
    return crs


def require_crs(where: str, crs: Any) -> None:
    """Raise unless a raster's CRS is one that pixels can be brought to others from.

    Raises
    ------
    DataError
        For local, engineering, geocentric and purely vertical CRSs.
    """
    proj = proj_of(crs)
    if _placeless(proj):
        raise DataError(
            f"{where}: its CRS '{proj.name}' is a local one, which says nothing of the place",
            "set the true one, for example with gdal_edit.py -a_srs EPSG:32633",
        )


@lru_cache(maxsize=32)
def _geodetic(proj: Any) -> Any:
    return proj.geodetic_crs


@lru_cache(maxsize=32)
def _placeless(proj: Any) -> bool:
    return proj.geodetic_crs is None or not (proj.is_projected or proj.is_geographic)


def is_degrees(crs: Any) -> bool:
    """Tell whether a CRS has longitudes and latitudes."""
    return bool(proj_of(crs).is_geographic)


def on_earth(crs: Any) -> bool:
    """Tell whether a CRS is of the earth, by the size of its ellipsoid."""
    ellipsoid = proj_of(crs).ellipsoid
    return ellipsoid is not None and 6.3e6 < ellipsoid.semi_major_metre < 6.45e6


@lru_cache(maxsize=128)
def _transformer(source: Any, target: Any) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def transform(x: Any, y: Any, source: Any, target: Any) -> tuple[Values, Values]:
    """Bring coordinates from one CRS (odc-geo or pyproj) to another, x before y.

    Returns
    -------
    float64 of the input's shape; infinite where there is no way.

    Raises
    ------
    DataError
        If the two CRSs have nothing to do with each other.
    """
    from pyproj.exceptions import CRSError, ProjError

    first, second = proj_of(source), proj_of(target)
    try:
        move = _transformer(first, second)
        found = move.transform(np.asarray(x, np.float64), np.asarray(y, np.float64))
    except (ProjError, CRSError) as error:
        raise _no_way(first, second, error) from None
    return np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)


def _no_way(first: Any, second: Any, error: Exception) -> DataError:
    if not _placeless(first) and not _placeless(second) and on_earth(first) != on_earth(second):
        return DataError(
            f"'{first.name}' and '{second.name}' are on different celestial bodies",
            "give rasters of one body, warped to one projected CRS in metres",
        )
    reason = str(error).split("\n", maxsplit=1)[0].strip().rstrip(".")
    return DataError(
        f"there is no transformation from '{first.name}' to '{second.name}' ({reason})",
        "warp the rasters to one CRS with gdalwarp",
    )


def unwrapped(longitude: Any, near: float) -> Values:
    """Return longitudes in degrees moved by whole turns to within 180 of one of them."""
    values = np.asarray(longitude, np.float64)
    turns = np.zeros_like(values)
    np.floor((values - near + 180) / 360, out=turns, where=np.isfinite(values))
    return values - 360 * turns


def lonlat(x: float, y: float, crs: Any) -> tuple[float, float]:
    """Return longitude (−180 to 180) and latitude of a point, on its own datum; NaN if none."""
    lon, lat = transform([x], [y], crs, _geodetic(proj_of(crs)))
    if not (math.isfinite(lon[0]) and math.isfinite(lat[0])):
        return math.nan, math.nan
    return float(unwrapped(lon[0], 0.0)), float(lat[0])


def ground_scale(x: float, y: float, crs: Any) -> float:
    """Return how many units of a metric CRS one metre on the ground is, at a point.

    Of the two axes the one that is further from 1. 1 where the point is outside of what the CRS
    can tell.
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


def wrapped(crs: Any, centre: float) -> str:
    """Return a CRS in degrees, for GDAL, whose longitudes lie about a centre, not about 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names and areas are lost, datums are not
        text = proj_of(crs).geodetic_crs.to_proj4()
    return f"{text.replace('+type=crs', '').strip()} +lon_wrap={centre:.10g}"
