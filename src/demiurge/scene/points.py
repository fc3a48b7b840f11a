"""Ground points with known heights: CSV, GeoPackage, LAS."""

from __future__ import annotations

import csv
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.errors import DataError, ResourceError, missing_extra
from demiurge.scene.crs import parse_crs, transform
from demiurge.scene.geopackage import opened

Values = npt.NDArray[np.float64]

_X = ("x", "lon", "longitude", "easting", "east", "e")
_Y = ("y", "lat", "latitude", "northing", "north", "n")
_Z = ("z", "height", "elevation", "h", "alt", "altitude", "h_te_best_fit", "h_li", "h_mean")
_DEGREES = ("lon", "longitude")


@dataclass(frozen=True)
class GroundPoints:
    """Points on the ground.

    Attributes
    ----------
    x, y
        float64 (count,), in the CRS.
    z
        float64 (count,), metres.
    crs
        A pyproj CRS, or None where the file does not tell.
    """

    x: Values
    y: Values
    z: Values
    crs: Any = None

    def in_crs(self, crs: Any) -> GroundPoints:
        """Return the points in another pyproj CRS; those that tell none are taken to be in it."""
        if self.crs is None or self.crs == crs:
            return GroundPoints(self.x, self.y, self.z, crs)
        x, y = transform(self.x, self.y, self.crs, crs)
        return GroundPoints(x, y, self.z, crs)


def read_points(path: str | Path, crs: str | None = None) -> GroundPoints:
    """Read ground points.

    Parameters
    ----------
    path
        CSV (columns such as x, y, z or lon, lat, height), GeoPackage of points (heights as third
        coordinate or as a column), LAS or LAZ.
    crs
        The points' CRS, where the file does not tell it or tells it wrong.

    Raises
    ------
    ResourceError, DataError, UsageError
        If it is missing or not understood.
    """
    place = Path(path)
    if not place.exists():
        raise ResourceError(f"{path}: there is no such file", "check the path")
    suffix = place.suffix.lower()
    if suffix in (".las", ".laz"):
        found = _las(place)
    elif suffix == ".gpkg":
        found = _geopackage(place)
    else:
        found = _csv(place)
    known = np.isfinite(found.x) & np.isfinite(found.y) & np.isfinite(found.z)
    if not known.any():
        raise DataError(f"{path}: holds no point with a height", "look into the file")
    told = parse_crs(crs, "EPSG:4326") if crs else found.crs
    return GroundPoints(found.x[known], found.y[known], found.z[known], told)


def _csv(path: Path) -> GroundPoints:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.read(4096)
            file.seek(0)
            delimiter = max(",;\t", key=sample.count) if any(d in sample for d in ",;\t") else " "
            rows = list(csv.reader(file, delimiter=delimiter, skipinitialspace=True))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "give a CSV file") from None
    if not rows:
        raise DataError(f"{path}: is empty", "give a CSV with columns x, y, z")
    names = [name.strip().lower() for name in rows[0]]
    places = [_column(names, wanted) for wanted in (_X, _Y, _Z)]
    if any(p is None for p in places):
        raise DataError(
            f"{path}: has no columns for x, y and height (it has: {', '.join(names)[:80]})",
            "name them x, y, z or lon, lat, height in the first line",
        )
    try:
        table = np.array([[float(row[p] or "nan") for p in places] for row in rows[1:] if row])  # type: ignore[index]
    except (ValueError, IndexError):
        raise DataError(f"{path}: holds something that is no number", "mend the file") from None
    table = table.reshape(-1, 3)
    degrees = names[places[0] or 0] in _DEGREES
    x, y, z = table.T
    return GroundPoints(x, y, z, parse_crs("EPSG:4326", "EPSG:4326") if degrees else None)


def _column(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _las(path: Path) -> GroundPoints:
    try:
        import laspy
    except ImportError:
        raise missing_extra("laspy", "lidar", "LAS and LAZ") from None
    try:
        cloud = laspy.read(path)
    except Exception as error:  # laspy raises what its decoders do
        raise DataError(f"{path}: is no LAS file that can be read ({error})") from None
    x, y, z = (np.asarray(getattr(cloud, axis), np.float64) for axis in "xyz")
    return GroundPoints(x, y, z, cloud.header.parse_crs())


def _geopackage(path: Path) -> GroundPoints:
    """Read the first layer of points, with SQLite alone."""
    try:
        with opened(path) as base:
            found = base.execute(
                "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns "
                "WHERE geometry_type_name IN ('POINT', 'GEOMETRY')"
            ).fetchone()
            if found is None:
                raise DataError(f"{path}: holds no layer of points", "give one of type POINT")
            table, column, srs = found
            names = [row[1] for row in base.execute(f'PRAGMA table_info("{table}")')]
            place = _column([n.lower() for n in names], _Z)
            height = "NULL" if place is None else f'"{names[place]}"'
            rows = base.execute(f'SELECT "{column}", {height} FROM "{table}"').fetchall()
            crs = base.execute(
                "SELECT definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs,)
            ).fetchone()
    except sqlite3.Error as error:
        raise DataError(f"{path}: is no GeoPackage ({error})") from None
    points = np.array([(*_point(blob, path), z) for blob, z in rows if blob], object)
    table_ = np.array([[x, y, z if h is None else h] for x, y, z, h in points], np.float64)
    known = crs is not None and crs[0] not in (None, "", "undefined")
    x, y, z = table_.reshape(-1, 3).T
    return GroundPoints(x, y, z, parse_crs(crs[0], "EPSG:4326") if known else None)


def _point(blob: bytes, path: Path) -> tuple[float, float, float]:
    """Return x, y and z (NaN without one) of a GeoPackage point."""
    envelope = (blob[3] >> 1) & 7
    start = 8 + {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}.get(envelope, 0)
    order = "<" if blob[start] == 1 else ">"
    (kind,) = struct.unpack_from(f"{order}I", blob, start + 1)
    with_z = kind in (1001, 3001) or bool(kind & 0x80000000)
    if kind not in (1, 1001, 2001, 3001, 0x80000001):
        raise DataError(f"{path}: holds geometries that are no points", "give a layer of POINT")
    values = struct.unpack_from(f"{order}{3 if with_z else 2}d", blob, start + 5)
    return values[0], values[1], values[2] if with_z else float("nan")
