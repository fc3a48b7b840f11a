"""Ground points with known heights, from text files, GeoPackage and LAS."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, ResourceError
from demiurge.scene import icesat2
from demiurge.scene.crs import parse_crs, transform
from demiurge.scene.vertical import (
    axis_factor,
    is_unspecified,
    unit_factor,
    unit_name,
    vertical_factor,
)
from demiurge.tables import PointTable, height_column, open_geopackage, read_point_table

#: LAS record of GeoTIFF keys; its keys for the vertical CRS and its unit; the code that stands
#: for no EPSG code.
_GEOTIFF, _VERTICAL, _VERTICAL_UNITS, _USER_DEFINED = 34735, 4096, 4099, 32767
_UNIT_CODES = {9001: "m", 9002: "ft", 9003: "us-ft"}
_UNIT_CURE = (
    "name both CRSs with --points-crs, as EPSG:2249+5703 for metres or EPSG:2249+6360 for feet"
)


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
        A pyproj CRS, or None if unknown.
    notes
        Assumptions and conversions, one sentence each.
    """

    x: Values
    y: Values
    z: Values
    crs: Any = None
    notes: tuple[str, ...] = ()

    def in_crs(self, crs: Any) -> GroundPoints:
        """Return the points in another pyproj CRS; points without a CRS are assumed to be in it."""
        if self.crs is None or self.crs == crs:
            return replace(self, crs=crs)
        x, y = transform(self.x, self.y, self.crs, crs)
        return GroundPoints(x, y, self.z, crs, self.notes)


def read_points(path: str | Path, crs: str | None = None) -> GroundPoints:
    """Read ground points; heights in feet are converted to metres, with a note.

    Parameters
    ----------
    path
        CSV (columns such as x, y, z or lon, lat, height), PNEZD, a list of ground control points
        with its CRS in the first line, GeoPackage of points (heights as third coordinate or as a
        column), LAS, LAZ, or an ICESat-2 granule (ATL06, ATL08).
    crs
        CRS of the points if the file declares none or a wrong one. A compound CRS, such as
        EPSG:2249+6360, also sets the unit of heights.

    Raises
    ------
    ResourceError
        If the file does not exist.
    DataError
        If the file cannot be read, contains no heights, or leaves the unit of heights open.
    UsageError
        If ``crs`` is not a CRS.
    """
    file = Path(path)
    if not file.exists():
        raise ResourceError(f"{path}: there is no such file", "check the path")
    table, declared = _read(file)
    known = np.isfinite(table.x) & np.isfinite(table.y) & np.isfinite(table.z)
    if not known.any():
        raise DataError(f"{path}: contains no point with a height", "check the file")
    used = parse_crs(crs) if crs else declared
    factor = _height_factor(path, used, declared, table.unit)
    notes = table.notes
    if factor != 1:
        notes = (*notes, f"heights of {file.name} are converted from {unit_name(factor)} to metres")
    return GroundPoints(table.x[known], table.y[known], table.z[known] * factor, used, notes)


def _read(path: Path) -> tuple[PointTable, Any]:
    """Return the points of a file and its CRS as pyproj CRS, or None."""
    suffix = path.suffix.lower()
    if suffix in (".las", ".laz"):
        return _las(path)
    if suffix == ".gpkg":
        return _geopackage(path)
    table = icesat2.read_icesat2(path) if suffix in icesat2.SUFFIXES else read_point_table(path)
    return table, parse_crs(table.crs) if table.crs else None


def _height_factor(path: str | Path, used: Any, declared: Any, unit: str) -> float:
    """Return the factor from heights to metres.

    Parameters
    ----------
    used, declared
        The CRS in effect, and the one that the file declares, or None.
    unit
        Unit of heights that the file declares, or empty.
    """
    factor = unit_factor(unit)
    if factor is None:
        raise DataError(
            f"{path}: the unit of heights, '{unit}', is unknown",
            "convert them to metres and name the column z",
        )
    vertical = None if used is None else vertical_factor(used)
    if not is_unspecified(unit):
        if vertical is not None and abs(vertical / factor - 1) > 1e-3:
            raise DataError(
                f"{path}: the unit of heights is '{unit}', but heights of its CRS are in "
                f"{unit_name(vertical)}",
                "correct the file, or set the CRS with --points-crs",
            )
        return factor if vertical is None else vertical
    if vertical is not None:
        return vertical
    return _factor_without_vertical(path, used, declared)


def _factor_without_vertical(path: str | Path, used: Any, declared: Any) -> float:
    """Return the factor if neither the file nor the CRS in effect specifies a vertical unit."""
    across = 1.0 if used is None else axis_factor(used) or 1.0
    before = None if declared is None else vertical_factor(declared)
    if before is not None and (used == declared or abs(before - across) < 1e-9):
        return before
    if before is not None and abs(before - 1) > 1e-9:
        raise DataError(
            f"{path}: heights of its CRS are in {unit_name(before)}, and --points-crs has no "
            "vertical part",
            _UNIT_CURE,
        )
    if abs(across - 1) > 1e-3:
        raise DataError(
            f"{path}: its CRS is in {unit_name(across)} and the unit of heights is unspecified",
            _UNIT_CURE,
        )
    return 1.0


def _las(path: Path) -> tuple[PointTable, Any]:
    import laspy

    try:
        cloud = laspy.read(path)
    except Exception as error:  # laspy lets the exceptions of its decoders through
        raise DataError(
            f"{path}: cannot be read as LAS ({error})", "check the file with lasinfo"
        ) from None
    x, y, z = (np.asarray(getattr(cloud, axis), np.float64) for axis in "xyz")
    return PointTable(x, y, z, unit=las_unit(cloud.header)), _las_crs(path, cloud.header)


def _las_crs(path: Path, header: Any) -> Any:
    try:
        return header.parse_crs()
    except Exception as error:  # the exceptions of pyproj and laspy have no common base
        raise DataError(
            f"{path}: its CRS cannot be parsed ({error})", "set it with --points-crs"
        ) from None


def las_vertical(header: Any) -> Any:
    """Return the vertical CRS (pyproj) in the GeoTIFF keys of a LAS file, or None."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    code = _geotiff_keys(header).get(_VERTICAL, 0)
    if not 0 < code < _USER_DEFINED:
        return None
    try:
        crs = CRS.from_epsg(code)
    except CRSError:
        return None
    return crs if crs.is_vertical else None


def _geotiff_keys(header: Any) -> dict[int, int]:
    return {
        key.id: key.value_offset
        for record in header.vlrs
        if record.record_id == _GEOTIFF
        for key in getattr(record, "geo_keys", ())
    }


def las_unit(header: Any) -> str:
    """Return the unit of heights in the GeoTIFF keys of a LAS file."""
    keys = _geotiff_keys(header)
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


def _geopackage(path: Path) -> tuple[PointTable, Any]:
    """Read the first point layer of a GeoPackage."""
    try:
        with open_geopackage(path) as base:
            geometry = base.execute(
                "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns "
                "WHERE geometry_type_name IN ('POINT', 'GEOMETRY')"
            ).fetchone()
            if geometry is None:
                raise DataError(f"{path}: contains no point layer", "add a layer of type POINT")
            table, column, srs = geometry
            names = [row[1] for row in base.execute(f'PRAGMA table_info("{table}")')]
            heights = height_column(names)
            height = "NULL" if heights is None else f'"{names[heights[0]]}"'
            rows = base.execute(f'SELECT "{column}", {height} FROM "{table}"').fetchall()
            crs = base.execute(
                "SELECT definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs,)
            ).fetchone()
    except sqlite3.Error as error:
        raise DataError(f"{path}: is not a GeoPackage ({error})", "check it with ogrinfo") from None
    points = np.array([(*_point(blob, path), z) for blob, z in rows if blob], object)
    values = np.array([[x, y, z if h is None else h] for x, y, z, h in points], np.float64)
    x, y, z = values.reshape(-1, 3).T
    from_column = heights is not None and any(h is not None for *_, h in points)
    unit = heights[1] if heights is not None and from_column else ""
    known = crs is not None and crs[0] not in (None, "", "undefined")
    return PointTable(x, y, z, unit=unit), parse_crs(crs[0], "EPSG:4326") if known else None


def _point(blob: bytes, path: Path) -> tuple[float, float, float]:
    """Decode x, y and z (NaN if absent) of a GeoPackage point."""
    envelope = (blob[3] >> 1) & 7
    start = 8 + {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}.get(envelope, 0)
    order = "<" if blob[start] == 1 else ">"
    (kind,) = struct.unpack_from(f"{order}I", blob, start + 1)
    with_z = kind in (1001, 3001) or bool(kind & 0x80000000)
    if kind not in (1, 1001, 2001, 3001, 0x80000001):
        raise DataError(
            f"{path}: contains geometries that are not points", "give a layer of type POINT"
        )
    values = struct.unpack_from(f"{order}{3 if with_z else 2}d", blob, start + 5)
    return values[0], values[1], values[2] if with_z else float("nan")
