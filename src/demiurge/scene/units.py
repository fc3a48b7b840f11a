"""Units of lengths: what a CRS's axes and a band's unit text are in metres."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from demiurge.errors import DataError

_FOOT = 0.3048
_US_FOOT = 1200 / 3937

#: Texts that say nothing of the unit; heights are then taken as metres.
_SILENT = {"", "unknown", "unspecified", "undefined", "none", "null", "n/a", "na", "1", "-", "nan"}
#: Lengths by factor to metres; a unit text's first word is looked up here.
_NAMES = {
    1.0: "m metre metres meter meters metro metros metri mètre mètres mtr mts masl m.a.s.l",
    _FOOT: "ft foot feet ift pie pies pied pieds",
    _US_FOOT: "ftus us-ft usft sft ussurveyfoot",
    0.1: "dm decimetre decimetres decimeter decimeters",
    0.01: "cm centimetre centimetres centimeter centimeters",
    0.001: "mm millimetre millimetres millimeter millimeters",
    1000.0: "km kilometre kilometres kilometer kilometers",
    0.9144: "yd yard yards",
}
_WORDS = {word: factor for factor, names in _NAMES.items() for word in names.split()}
_US = re.compile(r"\b(us|u\.s\.)[ _-]*(survey)?[ _-]*(foot|feet|ft)\b|\bsurvey[ _-]*(foot|feet)\b")
#: What may follow a unit: what heights are above, in brackets or after a word.
_TAIL = re.compile(
    r"^\s*($|[(\[,;]|(above|over|a\.?s\.?l|amsl|msl|wrt|relative|height|navd|egm)\b)"
)


def says_nothing(text: str | None) -> bool:
    """Tell whether a unit text says nothing.

    >>> says_nothing("unspecified"), says_nothing("ft")
    (True, False)
    """
    return (text or "").strip().lower() in _SILENT


def unit_factor(text: str | None) -> float | None:
    """Return how many metres a unit is; 1 where nothing is said, None for what is not known.

    >>> unit_factor("metres above EGM96"), unit_factor("ft"), unit_factor("1"), unit_factor("m/s")
    (1.0, 0.3048, 1.0, None)
    """
    if says_nothing(text):
        return 1.0
    plain = " ".join((text or "").strip().lower().replace("_", " ").split())
    plain = plain.removeprefix("[").removesuffix("]").strip()
    if _US.search(plain):
        return _US_FOOT
    plain = re.sub(r"^international ", "", plain)
    match = re.match(r"(m\.a\.s\.l|us-ft|[^\W\d]+)\.?", plain)
    if match is None or match[1] not in _WORDS or not _TAIL.match(plain[match.end() :]):
        return None
    return _WORDS[match[1]]


def axis_factor(crs: Any) -> float | None:
    """Return how many metres the horizontal axes of a projected CRS (odc-geo, pyproj) count.

    None for degrees, and where the two axes differ.
    """
    axes = _proj(crs).axis_info[:2]
    if not _proj(crs).is_projected or len(axes) < 2:
        return None
    first, second = (float(axis.unit_conversion_factor) for axis in axes)
    return first if abs(first - second) < 1e-9 else None


def vertical_factor(crs: Any) -> float | None:
    """Return how many metres the vertical axis of a CRS counts; None where it has none."""
    proj = _proj(crs)
    parts = [part for part in proj.sub_crs_list if part.is_vertical]
    axes = parts[0].axis_info if parts else proj.axis_info[2:3]
    return float(axes[0].unit_conversion_factor) if axes else None


def height_factor(where: str | Path, crs: Any, text: str | None = "") -> float:
    """Return how many metres a height of 1 is.

    Parameters
    ----------
    where
        What errors name: a file, with its band.
    crs
        Its CRS (odc-geo or pyproj), or None.
    text
        The unit that a band or column says; it counts unless it says nothing.

    Raises
    ------
    DataError
        If the unit is not known, band and CRS contradict each other, or nothing is said of
        heights under a CRS in feet.
    """
    said = unit_factor(text)
    if said is None and (text or "").strip().lower() == "relative":
        raise DataError(
            f"{where}: heights are relative, not metres",
            "make them anew with ground points: demiurge generate --points gcp.csv",
        )
    if said is None:
        raise DataError(
            f"{where}: heights are in '{(text or '').strip()}', a unit that is not known here",
            "state it with gdal_edit.py -units m, after converting the values if need be",
        )
    vertical = None if crs is None else vertical_factor(crs)
    if vertical is not None:
        if says_nothing(text):
            return vertical
        if abs(vertical / said - 1) > 1e-3:
            raise DataError(
                f"{where}: says '{(text or '').strip()}', but heights of its CRS are in "
                f"{unit_name(vertical)}",
                "correct one of them, with gdal_edit.py -units or -a_srs",
            )
        return vertical  # the more exact of the two: feet are of several kinds
    across = None if crs is None else axis_factor(crs)
    if says_nothing(text) and across is not None and abs(across - 1) > 1e-3:
        raise DataError(
            f"{where}: its CRS is in {unit_name(across)} and nothing says whether heights are",
            "state their unit with gdal_edit.py -units m (or ft, and convert them to metres)",
        )
    return said


def unit_name(factor: float) -> str:
    """Return the name of a unit of so many metres."""
    known = {1.0: "metres", _FOOT: "feet", _US_FOOT: "US survey feet", 0.01: "centimetres"}
    near = min(known, key=lambda value: abs(value / factor - 1))
    return known[near] if abs(near / factor - 1) < 1e-7 else f"units of {factor:g} m"


def require_metres(where: str | Path, crs: Any, text: str | None) -> None:
    """Raise unless a raster's heights are in metres.

    Raises
    ------
    DataError
        With the command that converts them.
    """
    factor = height_factor(where, crs, text)
    if abs(factor - 1) > 1e-9:
        said = f"'{(text or '').strip()}'" if not says_nothing(text) else unit_name(factor)
        raise DataError(
            f"{where}: heights must be in metres, these are in {said}",
            f"convert them, for example with gdal_calc.py -A IN.tif --outfile OUT.tif "
            f"--calc 'A*{factor:.10g}'; then state the unit with gdal_edit.py -units m",
        )


def _proj(crs: Any) -> Any:
    return getattr(crs, "proj", crs)
