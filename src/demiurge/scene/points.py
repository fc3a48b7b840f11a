"""Ground points with known heights: CSV, GeoPackage, LAS."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, ResourceError
from demiurge.scene.crs import parse_crs, transform
from demiurge.scene.geopackage import opened
from demiurge.scene.tables import Table, height_column, read_table
from demiurge.scene.units import (
    axis_factor,
    says_nothing,
    unit_factor,
    unit_name,
    vertical_factor,
)

#: GeoTIFF keys in LAS files: their record, the vertical CRS, its unit, codes of that; and a code
#: for what is no EPSG code.
_GEOTIFF, _VERTICAL, _VERTICAL_UNITS, _USER_DEFINED = 34735, 4096, 4099, 32767
_UNIT_CODES = {9001: "m", 9002: "ft", 9003: "us-ft"}


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
    notes
        What was assumed or converted, in sentences.
    """

    x: Values
    y: Values
    z: Values
    crs: Any = None
    notes: tuple[str, ...] = ()

    def in_crs(self, crs: Any) -> GroundPoints:
        """Return the points in another pyproj CRS; those that tell none are taken to be in it."""
        if self.crs is None or self.crs == crs:
            return replace(self, crs=crs)
        x, y = transform(self.x, self.y, self.crs, crs)
        return GroundPoints(x, y, self.z, crs, self.notes)


def read_points(path: str | Path, crs: str | None = None) -> GroundPoints:
    """Read ground points; heights in feet are brought to metres, with a note.

    Parameters
    ----------
    path
        CSV (columns such as x, y, z or lon, lat, height), PNEZD, a list of ground control points
        with its CRS in the first line, GeoPackage of points (heights as third coordinate or as a
        column), LAS or LAZ.
    crs
        The points' CRS, where the file does not tell it or tells it wrong. A compound one, as
        EPSG:2249+6360, also tells the unit of heights.

    Raises
    ------
    ResourceError, DataError, UsageError
        If it is missing or not understood, or its CRS is in feet and nothing says whether heights
        are.
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
        found = read_table(place)
    known = np.isfinite(found.x) & np.isfinite(found.y) & np.isfinite(found.z)
    if not known.any():
        raise DataError(f"{path}: holds no point with a height", "look into the file")
    told = parse_crs(crs) if crs else found.crs
    factor = _height_factor(path, told, found.crs, found.unit)
    notes = found.notes
    if factor != 1:
        notes = (*notes, f"heights of {place.name} are in {unit_name(factor)}: brought to metres")
    return GroundPoints(found.x[known], found.y[known], found.z[known] * factor, told, notes)


def _height_factor(path: str | Path, told: Any, own: Any, unit: str) -> float:
    """Return how many metres a height of 1 is.

    Parameters
    ----------
    told, own
        The CRS that counts, and the file's own, or None.
    unit
        What the file says of heights alone.
    """
    cure = "tell both with --points-crs, as EPSG:2249+5703 for metres or EPSG:2249+6360 for feet"
    said = unit_factor(unit)
    if said is None:
        raise DataError(
            f"{path}: heights are in '{unit}', a unit that is not known here",
            "convert them to metres, and call the column z",
        )
    vertical = None if told is None else vertical_factor(told)
    if not says_nothing(unit):
        if vertical is not None and abs(vertical / said - 1) > 1e-3:
            raise DataError(
                f"{path}: says '{unit}', but heights of its CRS are in {unit_name(vertical)}",
                "correct the file, or tell the CRS with --points-crs",
            )
        return said if vertical is None else vertical
    if vertical is not None:
        return vertical
    across = 1.0 if told is None else axis_factor(told) or 1.0
    before = None if own is None else vertical_factor(own)
    if before is not None and (told == own or abs(before - across) < 1e-9):
        return before
    if before is not None and abs(before - 1) > 1e-9:
        raise DataError(
            f"{path}: heights of its own CRS are in {unit_name(before)}, and --points-crs says "
            "nothing of them",
            cure,
        )
    if abs(across - 1) > 1e-3:
        raise DataError(
            f"{path}: its CRS is in {unit_name(across)} and nothing says whether heights are", cure
        )
    return 1.0


def _las(path: Path) -> Table:
    import laspy

    try:
        cloud = laspy.read(path)
    except Exception as error:  # laspy raises what its decoders do
        raise DataError(f"{path}: is no LAS file that can be read ({error})") from None
    x, y, z = (np.asarray(getattr(cloud, axis), np.float64) for axis in "xyz")
    return Table(x, y, z, _las_crs(path, cloud.header), _las_unit(cloud.header))


def _las_crs(path: Path, header: Any) -> Any:
    try:
        return header.parse_crs()
    except Exception as error:  # pyproj's and laspy's share no base
        raise DataError(
            f"{path}: its CRS is not understood ({error})", "tell it with --points-crs"
        ) from None


def _las_unit(header: Any) -> str:
    """Return the unit of heights that the GeoTIFF keys of a LAS file tell."""
    keys = {
        key.id: key.value_offset
        for record in header.vlrs
        if record.record_id == _GEOTIFF
        for key in getattr(record, "geo_keys", ())
    }
    if keys.get(_VERTICAL_UNITS) in _UNIT_CODES:
        return _UNIT_CODES[keys[_VERTICAL_UNITS]]
    if not 0 < keys.get(_VERTICAL, 0) < _USER_DEFINED:
        return ""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        axis = CRS.from_epsg(keys[_VERTICAL]).axis_info[-1]
    except CRSError:
        return ""
    return {"US survey foot": "us-ft", "foot": "ft", "metre": "m"}.get(axis.unit_name, "")


def _geopackage(path: Path) -> Table:
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
            heights = height_column(names)
            height = "NULL" if heights is None else f'"{names[heights[0]]}"'
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
    from_column = heights is not None and any(h is not None for *_, h in points)
    unit = heights[1] if heights is not None and from_column else ""
    return Table(x, y, z, parse_crs(crs[0], "EPSG:4326") if known else None, unit)


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
