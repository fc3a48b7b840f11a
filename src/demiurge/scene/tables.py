"""Ground points from text: CSV with a header, PNEZD, and lists of ground control points."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Values
from demiurge.errors import DataError, UsageError
from demiurge.scene.crs import parse_crs

_LON, _LAT = ("lon", "long", "lng", "longitude", "x_longitude"), ("lat", "latitude", "y_latitude")
#: Names of columns that go together.
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
#: A unit at the end of a column's name: in brackets, or after a line or space.
_BRACKETS = re.compile(r"^(.*?)\s*[\[(]\s*([^\])]+?)\s*[\])]$")
_SUFFIX = re.compile(r"^(.*?)[ _](m|metres?|meters?|ft|feet|us_?ft|ftus)$")
_UTM = re.compile(r"^WGS ?84\s+UTM\s+(\d{1,2})\s*([NS])$", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Points as a text file has them.

    Attributes
    ----------
    x, y, z
        float64 (count,); NaN where a row has none. Heights in ``unit``.
    crs
        A pyproj CRS, or None where the file has none.
    unit
        What the file says of the unit of heights.
    notes
        What was assumed, in sentences.
    """

    x: Values
    y: Values
    z: Values
    crs: Any = None
    unit: str = ""
    notes: tuple[str, ...] = ()


def height_column(names: Sequence[str]) -> tuple[int, str] | None:
    """Return which of a table's columns holds heights, and the unit that its name tells.

    >>> height_column(["id", "Altitude (m)"]), height_column(["POINT_X", "elev_ft"])
    ((1, 'm'), (1, 'ft'))
    """
    plain = [_plain(name) for name in names]
    for wanted in _Z:
        for place, (name, unit) in enumerate(plain):
            if name == wanted:
                return place, unit
    return None


def read_table(path: Path) -> Table:
    """Read points from a text file.

    A header names the columns (x, y, z; lon, lat, height; easting, northing, elevation; …). Without
    one, rows of five columns are point, northing, easting, elevation and description (PNEZD). A CRS
    in the first line makes it a list of ground control points: x, y, z and their pixels.

    Raises
    ------
    DataError
        If it is empty, or holds no such columns, or something that is no number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "give a CSV file") from None
    told = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if not told:
        raise DataError(f"{path}: is empty", "give a CSV with columns x, y, z")
    crs = _crs_line(told[0][1])
    rest = [(n, line) for n, line in told[1:] if not line.lstrip().startswith("#")]
    if crs is not None:
        rows = _Rows(path, rest, _delimiter(rest[0][1]) if rest else None)
        x, y, z = rows.numbers((0, 1, 2))
        first = np.unique(np.stack([x, y, z], axis=1), axis=0, return_index=True)[1]
        keep = np.sort(first)  # a point is listed once for each image that shows it
        return Table(x[keep], y[keep], z[keep], crs)
    head = told[0][1].lstrip("# \t")
    delimiter = _delimiter(head)
    names = _split(head, delimiter)
    found = _header(names)
    if found is not None:
        (x_place, y_place, degrees), (z_place, unit) = found
        rows = _Rows(path, rest, delimiter, len(names))
        values = rows.numbers((x_place, y_place, z_place))
        return Table(*values, parse_crs("EPSG:4326") if degrees else None, unit)
    if len(names) >= 4 and all(_is_number(text, delimiter) for text in names[1:4]):
        rows = _Rows(path, [told[0], *rest], delimiter)
        y, x, z = rows.numbers((1, 2, 3))
        return Table(x, y, z, notes=(
            f"{path.name} has no header: its columns are taken as point, northing, easting, "
            "elevation, description (PNEZD)",
        ))  # fmt: skip
    raise DataError(
        f"{path}: has no columns for x, y and height (it has: {', '.join(names)[:80]})",
        "name them x, y, z or lon, lat, height in the first line",
    )


def _plain(name: str) -> tuple[str, str]:
    """Return a column's name in small letters without its unit, and the unit."""
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
    """Return the columns of x, y and whether they are degrees, and that of heights; or None."""
    plain = [_plain(name)[0] for name in names]
    heights = height_column(names)
    for wanted_x, wanted_y in _PAIRS:
        x = next((plain.index(name) for name in wanted_x if name in plain), None)
        y = next((plain.index(name) for name in wanted_y if name in plain), None)
        if x is not None and y is not None and heights is not None:
            return (x, y, wanted_x is _LON), heights
    return None


def _crs_line(line: str) -> Any:
    """Return the CRS that a line is, or None."""
    text = line.strip()
    match = _UTM.match(text)
    if match:
        text = f"EPSG:{(32600 if match[2].upper() == 'N' else 32700) + int(match[1])}"
    elif text.upper() in ("WGS84", "WGS 84"):
        text = "EPSG:4326"
    elif not re.match(r"(EPSG:\d+(\+\d+)?$|\+proj=|PROJCS\[|GEOGCS\[|PROJCRS\[|COMPD)", text, re.I):
        return None
    try:
        return parse_crs(text)
    except UsageError:
        return None


def _delimiter(line: str) -> str | None:
    """Return what separates a line's columns; None for blanks.

    A comma counts last: it may be that of decimals.
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
    """Lines of a table, with their numbers for complaints."""

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
                    f"{path}: line {number} has {len(row)} values under {columns} columns",
                    "where decimals have commas, separate columns by semicolons",
                )

    def numbers(self, places: Sequence[int]) -> tuple[Values, Values, Values]:
        """Return three columns as float64; NaN where a value is empty."""
        texts = [[self._text(number, row, p) for p in places] for number, row in self.rows]
        commas = self.delimiter != "," and any("," in text for row in texts for text in row)
        if commas and any("." in text for row in texts for text in row):
            raise DataError(
                f"{self.path}: its numbers have both points and commas", "write decimals one way"
            )
        found = np.full((len(texts), 3), np.nan)
        for index, row in enumerate(texts):
            for column, text in enumerate(row):
                try:
                    found[index, column] = float(
                        text.replace(",", ".") if commas else text or "nan"
                    )
                except ValueError:
                    raise DataError(
                        f"{self.path}: line {self.rows[index][0]} holds '{text}', which is no "
                        "number",
                        "correct the file",
                    ) from None
        x, y, z = found.T
        return x, y, z

    def _text(self, number: int, row: Sequence[str], place: int) -> str:
        if place >= len(row):
            raise DataError(
                f"{self.path}: line {number} has only {len(row)} values", "correct the file"
            )
        return row[place]
