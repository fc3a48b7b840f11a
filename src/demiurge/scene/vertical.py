"""Vertical reference and unit of heights, from CRSs and from unit texts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from demiurge.errors import DataError
from demiurge.scene.crs import proj_of
from demiurge.scene.spec import Vertical

_FOOT = 0.3048
_US_FOOT = 1200 / 3937

#: Texts that specify no unit; heights are then in metres.
_UNSPECIFIED = {
    *("", "unknown", "unspecified", "undefined", "none", "null", "n/a", "na", "1", "-", "nan"),
}
#: Names of units by factor to metres. The first word of a unit text is looked up here.
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
#: Text allowed after a unit: the vertical reference, in brackets or after a preposition.
_TAIL = re.compile(
    r"^\s*($|[(\[,;]|(above|over|a\.?s\.?l|amsl|msl|wrt|relative|height|navd|egm)\b)"
)


def vertical_of(crs: Any) -> Vertical:
    """Return the vertical reference that a CRS (odc-geo or pyproj) declares.

    Heights of a compound CRS are orthometric unless the name of its vertical part says
    ellipsoidal. Heights of a three-dimensional CRS are ellipsoidal. A two-dimensional CRS
    declares no vertical reference.

    >>> import pyproj
    >>> str(vertical_of(pyproj.CRS("EPSG:4326+5773")))
    'orthometric (EGM96 height)'
    """
    proj = proj_of(crs)
    for part in proj.sub_crs_list:
        if part.is_vertical:
            name = part.name
            kind = "ellipsoidal" if "ellipsoid" in name.lower() else "orthometric"
            return Vertical(reference=kind, datum=name)
    if len(proj.axis_info) == 3:
        datum = proj.ellipsoid.name if proj.ellipsoid is not None else ""
        return Vertical(reference="ellipsoidal", datum=datum)
    return Vertical()


def read_vertical(text: str) -> Vertical:
    """Return the vertical reference that a text of :class:`Vertical` states; else unknown.

    >>> read_vertical("orthometric (EGM2008 height)").datum
    'EGM2008 height'
    """
    match = re.fullmatch(r"(ellipsoidal|orthometric)(?: \((.*)\))?", text.strip())
    if match is None:
        return Vertical()
    kind: Literal["ellipsoidal", "orthometric"] = (
        "ellipsoidal" if match[1] == "ellipsoidal" else "orthometric"
    )
    return Vertical(reference=kind, datum=match[2] or "")


def agree(named: dict[str, Vertical]) -> Vertical:
    """Return the vertical reference that all height layers share.

    Layers with an unknown reference adopt the known one.

    Parameters
    ----------
    named
        Vertical reference by file or layer name.

    Raises
    ------
    DataError
        If two known references differ.
    """
    known = {name: v for name, v in named.items() if v.reference != "unknown"}
    if not known:
        return Vertical()
    (first, reference), *rest = known.items()
    for name, other in rest:
        different_datum = (
            reference.reference == "orthometric"
            and reference.datum
            and other.datum
            and reference.datum != other.datum
        )
        if other.reference != reference.reference or different_datum:
            raise DataError(
                f"heights of {first} are {reference}, those of {name} are {other}",
                "transform them to one vertical reference with demiurge prepare --to-vertical",
            )
    return reference


def is_unspecified(text: str | None) -> bool:
    """Return whether a unit text specifies no unit.

    >>> is_unspecified("unspecified"), is_unspecified("ft")
    (True, False)
    """
    return (text or "").strip().lower() in _UNSPECIFIED


def unit_factor(text: str | None) -> float | None:
    """Return the factor from a unit of length to metres.

    Returns
    -------
    1 for an unspecified unit, None for an unknown one.

    >>> unit_factor("metres above EGM96"), unit_factor("ft"), unit_factor("1"), unit_factor("m/s")
    (1.0, 0.3048, 1.0, None)
    """
    if is_unspecified(text):
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
    """Return the factor from the horizontal axes of a projected CRS to metres.

    None for a geographic CRS, and if the two axes differ.
    """
    proj = proj_of(crs)
    axes = proj.axis_info[:2]
    if not proj.is_projected or len(axes) < 2:
        return None
    first, second = (float(axis.unit_conversion_factor) for axis in axes)
    return first if abs(first - second) < 1e-9 else None


def vertical_factor(crs: Any) -> float | None:
    """Return the factor from the vertical axis of a CRS to metres; None without such an axis."""
    proj = proj_of(crs)
    parts = [part for part in proj.sub_crs_list if part.is_vertical]
    axes = parts[0].axis_info if parts else proj.axis_info[2:3]
    return float(axes[0].unit_conversion_factor) if axes else None


def height_factor(where: str | Path, crs: Any, text: str | None = "") -> float:
    """Return the factor from the heights of a raster band to metres.

    Parameters
    ----------
    where
        The file and band, for error messages.
    crs
        CRS of the raster (odc-geo or pyproj), or None.
    text
        Unit text of the band.

    Raises
    ------
    DataError
        If the unit is unknown, if band and CRS contradict each other, or if the CRS is in feet
        and the unit of heights is unspecified.
    """
    unit = (text or "").strip()
    factor = unit_factor(text)
    if factor is None and unit.lower() == "relative":
        raise DataError(
            f"{where}: heights are relative, not metres",
            "create the surface again with ground points: demiurge generate --points gcp.csv",
        )
    if factor is None:
        raise DataError(
            f"{where}: the unit of heights, '{unit}', is unknown",
            "set the unit with gdal_edit.py -units m, after converting the values if necessary",
        )
    vertical = None if crs is None else vertical_factor(crs)
    if vertical is not None:
        if not is_unspecified(text) and abs(vertical / factor - 1) > 1e-3:
            raise DataError(
                f"{where}: the unit of heights is '{unit}', but heights of its CRS are in "
                f"{unit_name(vertical)}",
                "correct one of them with gdal_edit.py -units or -a_srs",
            )
        return vertical  # a CRS distinguishes the kinds of feet; a unit text may not
    across = None if crs is None else axis_factor(crs)
    if is_unspecified(text) and across is not None and abs(across - 1) > 1e-3:
        raise DataError(
            f"{where}: its CRS is in {unit_name(across)} and the unit of heights is unspecified",
            "set the unit with gdal_edit.py -units m (or ft, then convert the values to metres)",
        )
    return factor


def unit_name(factor: float) -> str:
    """Return the name of a unit of length from its factor to metres."""
    known = {1.0: "metres", _FOOT: "feet", _US_FOOT: "US survey feet", 0.01: "centimetres"}
    near = min(known, key=lambda value: abs(value / factor - 1))
    return known[near] if abs(near / factor - 1) < 1e-7 else f"units of {factor:g} m"


def require_metres(where: str | Path, crs: Any, text: str | None) -> None:
    """Raise unless the heights of a raster band are in metres.

    Raises
    ------
    DataError
        With the command that converts them.
    """
    factor = height_factor(where, crs, text)
    if abs(factor - 1) > 1e-9:
        unit = unit_name(factor) if is_unspecified(text) else f"'{(text or '').strip()}'"
        raise DataError(
            f"{where}: heights are in {unit}, not in metres",
            f"convert them, for example with gdal_calc.py -A IN.tif --outfile OUT.tif "
            f"--calc 'A*{factor:.10g}'; then set the unit with gdal_edit.py -units m",
        )
