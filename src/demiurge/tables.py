"""Tables of ground points and of sites: CSV, PNEZD, lists of ground control points, GeoPackage."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError

_LON, _LAT = ("lon", "long", "lng", "longitude", "x_longitude"), ("lat", "latitude", "y_latitude")
#: Column names of x and of y that belong together.
_PAIRS = (
    (
        ("x", "point_x", "x_coord", "coord_x", "geo_x"),
        ("y", "point_y", "y_coord", "coord_y", "geo_y"),
    ),
    (_LON, _LAT),
    (
        ("easting", "east", "e", "x_easting", "x_east"),
        ("northing", "north", "n", "y_northing", "y_north"),
    ),
)
_Z = (
    *("z", "height", "elevation", "elev", "h", "alt", "altitude", "ele", "point_z", "z_coord"),
    *("coord_z", "geo_z", "z_altitude", "h_te_best_fit", "h_li", "h_mean"),
)
#: A unit at the end of a column name: in brackets, or after an underscore or a space.
_BRACKETS = re.compile(r"^(.*?)\s*[\[(]\s*([^\])]+?)\s*[\])]$")
_SUFFIX = re.compile(r"^(.*?)[ _](m|metres?|meters?|ft|feet|us_?ft|ftus)$")
_UTM = re.compile(r"^WGS ?84\s+UTM\s+(\d{1,2})\s*([NS])$", re.IGNORECASE)
_CRS = re.compile(r"(EPSG:\d+(\+\d+)?$|\+proj=|PROJCS\[|GEOGCS\[|PROJCRS\[|COMPD)", re.IGNORECASE)


@dataclass(frozen=True)
class PointTable:
    """Points as a file stores them.

    Attributes
    ----------
    x, y, z
        float64 (count,); NaN for missing values. Heights are in ``unit``.
    crs
        Text of the CRS; empty if the file declares none.
    unit
        Unit of heights that the file declares, or empty.
    notes
        Assumptions made, one sentence each.
    """

    x: Values
    y: Values
    z: Values
    crs: str = ""
    unit: str = ""
    notes: tuple[str, ...] = ()


def height_column(names: Sequence[str]) -> tuple[int, str] | None:
    """Return the index of the column of heights, and the unit in its name.

    >>> height_column(["id", "Altitude (m)"]), height_column(["POINT_X", "elev_ft"])
    ((1, 'm'), (1, 'ft'))
    """
    plain = [_plain(name) for name in names]
    for wanted in _Z:
        for index, (name, unit) in enumerate(plain):
            if name == wanted:
                return index, unit
    return None


def read_point_table(path: Path) -> PointTable:
    """Read points from a text file.

    A header names the columns (x, y, z; lon, lat, height; easting, northing, elevation; …).
    Without a header, five columns are point, northing, easting, elevation and description
    (PNEZD). A CRS in the first line marks a list of ground control points: x, y, z and their
    pixels.

    Raises
    ------
    DataError
        If the file is empty, lacks these columns, or contains text in place of a number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "give a CSV file") from None
    lines = [(n, line) for n, line in enumerate(text, 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty", "give a CSV file with columns x, y, z")
    crs = _crs_line(lines[0][1])
    rest = [(n, line) for n, line in lines[1:] if not line.lstrip().startswith("#")]
    if crs:
        return _control_points(path, rest, crs)
    head = lines[0][1].lstrip("# \t")
    delimiter = _delimiter(head)
    names = _split(head, delimiter)
    columns = _header(names)
    if columns is not None:
        (x_index, y_index, degrees), (z_index, unit) = columns
        rows = _Rows(path, rest, delimiter, len(names))
        values = rows.numbers((x_index, y_index, z_index))
        return PointTable(*values, "EPSG:4326" if degrees else "", unit)
    if len(names) >= 4 and all(_is_number(name, delimiter) for name in names[1:4]):
        rows = _Rows(path, [lines[0], *rest], delimiter)
        y, x, z = rows.numbers((1, 2, 3))
        return PointTable(x, y, z, notes=(
            f"{path.name} has no header: its columns are read as point, northing, easting, "
            "elevation, description (PNEZD)",
        ))  # fmt: skip
    raise DataError(
        f"{path}: has no columns for x, y and height (its columns: {', '.join(names)[:80]})",
        "name them x, y, z or lon, lat, height in the first line",
    )


def read_records(path: Path) -> list[dict[str, str]]:
    """Read a table of texts from a CSV file with a header or from a GeoPackage.

    Returns
    -------
    One dict per row, by column name in lower case. Of a GeoPackage, the first table and its
    text columns alone.

    Raises
    ------
    DataError
        If the file is no such table.
    """
    if path.suffix.lower() == ".gpkg":
        return _geopackage_records(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            return [
                {k.strip().lower(): (v or "").strip() for k, v in row.items() if k}
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: is not a CSV table", "give CSV or GeoPackage") from None


def _geopackage_records(path: Path) -> list[dict[str, str]]:
    try:
        with open_geopackage(path) as base:
            table = base.execute(
                "SELECT table_name FROM gpkg_contents WHERE data_type IN ('features','attributes')"
            ).fetchone()
            if table is None:
                raise DataError(f"{path}: contains no table", "add a table with one row per site")
            cursor = base.execute(f'SELECT * FROM "{table[0]}"')
            names = [entry[0].lower() for entry in cursor.description]
            return [
                {k: v for k, v in zip(names, row, strict=True) if isinstance(v, str)}
                for row in cursor
            ]
    except sqlite3.Error as error:
        raise DataError(
            f"{path}: is not a GeoPackage ({error})", "give CSV or GeoPackage"
        ) from None


@contextmanager
def open_geopackage(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage for reading with SQLite; no file is created.

    Raises
    ------
    sqlite3.Error
        If it cannot be opened.
    """
    # Only a URI opens read-only. `as_uri` escapes characters such as `#`, which would end it.
    address = f"{path.absolute().as_uri()}?mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        # Without `immutable`, SQLite creates files next to a database in WAL mode.
        address += "&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as base:
        yield base


def _control_points(path: Path, lines: list[tuple[int, str]], crs: str) -> PointTable:
    """Read a list of ground control points, which repeats a point for each image showing it."""
    rows = _Rows(path, lines, _delimiter(lines[0][1]) if lines else None)
    x, y, z = rows.numbers((0, 1, 2))
    first = np.unique(np.stack([x, y, z], axis=1), axis=0, return_index=True)[1]
    keep = np.sort(first)
    return PointTable(x[keep], y[keep], z[keep], crs)


def _plain(name: str) -> tuple[str, str]:
    """Split a column name into its normalised name and its unit."""
    text = name.strip().strip("\"'").lower()
    unit = ""
    match = _BRACKETS.match(text)
    if match:
        text, unit = match[1], match[2]
    text = re.sub(r"[^a-z0-9]+", "_", text).strip("_")
    match = None if unit or text in _Z else _SUFFIX.match(text)
    if match and match[1] in _Z:
        text, unit = match[1], match[2].replace("us_ft", "us-ft").replace("usft", "us-ft")
    return text, unit


def _header(names: Sequence[str]) -> tuple[tuple[int, int, bool], tuple[int, str]] | None:
    """Return the columns of x and y, whether they are degrees, and the column of heights."""
    plain = [_plain(name)[0] for name in names]
    heights = height_column(names)
    for wanted_x, wanted_y in _PAIRS:
        x = next((plain.index(name) for name in wanted_x if name in plain), None)
        y = next((plain.index(name) for name in wanted_y if name in plain), None)
        if x is not None and y is not None and heights is not None:
            return (x, y, wanted_x is _LON), heights
    return None


def _crs_line(line: str) -> str:
    """Return the text of the CRS that a line consists of; empty if it is none."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    text = line.strip()
    match = _UTM.match(text)
    if match:
        text = f"EPSG:{(32600 if match[2].upper() == 'N' else 32700) + int(match[1])}"
    elif text.upper() in ("WGS84", "WGS 84"):
        text = "EPSG:4326"
    elif not _CRS.match(text):
        return ""
    try:
        CRS(text)
    except CRSError:
        return ""
    return text


def _delimiter(line: str) -> str | None:
    """Return the column separator of a line; None for blanks.

    The comma is tried last, since it may be a decimal comma.
    """
    return next((d for d in (";", "\t", ",") if d in line), None)


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [text.strip() for text in next(csv.reader([line], delimiter=delimiter))]


def _is_number(text: str, delimiter: str | None) -> bool:
    try:
        float(text if delimiter == "," else text.replace(",", "."))
    except ValueError:
        return False
    return True


class _Rows:
    """Rows of a text table, with line numbers for error messages."""

    def __init__(
        self,
        path: Path,
        lines: Sequence[tuple[int, str]],
        delimiter: str | None,
        columns: int | None = None,
    ) -> None:
        self.path, self.delimiter = path, delimiter
        self.rows = [(number, _split(line, delimiter)) for number, line in lines]
        for number, row in self.rows:
            if columns is not None and any(row[columns:]):
                raise DataError(
                    f"{path}: line {number} has {len(row)} values for {columns} columns",
                    "if decimals are written with commas, separate columns with semicolons",
                )

    def numbers(self, columns: Sequence[int]) -> tuple[Values, Values, Values]:
        """Return three columns as float64; NaN for empty values."""
        texts = [[self._text(number, row, c) for c in columns] for number, row in self.rows]
        commas = self.delimiter != "," and any("," in text for row in texts for text in row)
        if commas and any("." in text for row in texts for text in row):
            raise DataError(
                f"{self.path}: its numbers contain both points and commas",
                "use one decimal separator and no thousands separators",
            )
        values = np.full((len(texts), 3), np.nan)
        for index, row in enumerate(texts):
            for column, text in enumerate(row):
                number = text.replace(",", ".") if commas else text or "nan"
                try:
                    values[index, column] = float(number)
                except ValueError:
                    raise DataError(
                        f"{self.path}: line {self.rows[index][0]} contains '{text}', which is not "
                        "a number",
                        "correct the file",
                    ) from None
        x, y, z = values.T
        return x, y, z

    def _text(self, number: int, row: Sequence[str], column: int) -> str:
        if column >= len(row):
            raise DataError(
                f"{self.path}: line {number} has only {len(row)} values", "correct the file"
            )
        return row[column]
