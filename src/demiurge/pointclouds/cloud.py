"""A point cloud: what its header declares, with the checks that all formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from demiurge.errors import DataError
from demiurge.scene.crs import is_degrees, parse_crs, require_crs
from demiurge.scene.grid import Bounds
from demiurge.scene.points import las_unit, las_vertical
from demiurge.scene.spec import Vertical
from demiurge.scene.vertical import (
    axis_factor,
    unit_factor,
    unit_name,
    vertical_factor,
    vertical_of,
)

#: Units of heights on the command line.
HeightUnit = Literal["m", "ft", "us-ft"]
#: Records of points that are held at once.
CHUNK = 500_000
#: Coarsest coordinates: a scale in metres.
_COARSEST = 1.0
_DEGREE = 111_320.0
#: Largest share of points outside the bounds of the header.
_STRAYS = 0.01
_WEB_MERCATOR = 3857


@dataclass(frozen=True)
class PointFrame:
    """CRS and heights of a cloud.

    Attributes
    ----------
    crs
        Horizontal CRS (pyproj).
    vertical
        Vertical reference of the heights.
    factor
        Factor from stored heights to metres.
    notes
        What is assumed or converted, one sentence each.
    """

    crs: Any
    vertical: Vertical
    factor: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cloud:
    """A file or service of points.

    Attributes
    ----------
    name
        Path or URL.
    frame
        CRS and heights.
    bounds
        Bounds of the header, in the horizontal CRS.
    points
        Number of points that the header declares.
    colour
        Whether points have RGB values.
    read
        Yields records of laspy within bounds (in the horizontal CRS; None for all points).
        Formats without an index yield all points.
    key
        Equal for two copies of a file.
    """

    name: str
    frame: PointFrame
    bounds: Bounds
    points: int
    colour: bool
    read: Callable[[Bounds | None], Iterator[Any]]
    key: tuple[Any, ...] = ()


def las_frame(
    name: str, header: Any, source_crs: str | None, height_unit: HeightUnit | None
) -> PointFrame:
    """Return CRS and heights that a LAS header declares.

    Raises
    ------
    DataError
        If the header declares no CRS and none is given, or leaves the unit of heights open.
    """
    try:
        declared = header.parse_crs()
    except Exception as error:  # the exceptions of pyproj and laspy have no common base
        if source_crs is None:
            raise DataError(f"{name}: its CRS cannot be parsed ({error})", _crs_cure()) from None
        declared = None
    vertical = las_vertical(header)
    if declared is not None and vertical is not None and not declared.is_compound:
        from pyproj.crs import CompoundCRS

        declared = CompoundCRS(f"{declared.name} + {vertical.name}", [declared, vertical])
    return frame_of(name, declared, las_unit(header), source_crs, height_unit)


def frame_of(
    name: str,
    declared: Any,
    unit: str,
    source_crs: str | None,
    height_unit: HeightUnit | None,
) -> PointFrame:
    """Return CRS and heights of a cloud.

    Parameters
    ----------
    declared
        The declared CRS (pyproj), or None.
    unit
        Declared unit of heights, or empty.
    source_crs, height_unit
        CRS for clouds that declare none, and unit of heights, from the command line.

    Raises
    ------
    DataError
        As for :func:`las_frame`.
    """
    if declared is None:
        if source_crs is None:
            raise DataError(f"{name}: declares no CRS", _crs_cure())
        declared = parse_crs(source_crs, "EPSG:2154")
    require_crs(name, declared)
    horizontal = next((p for p in declared.sub_crs_list if not p.is_vertical), declared)
    if len(horizontal.axis_info) == 3:
        horizontal = horizontal.to_2d()
    factor, notes = _height_factor(name, declared, horizontal, unit, height_unit)
    if abs(factor - 1) > 1e-9:
        notes = [*notes, f"heights of {name} are converted from {unit_name(factor)} to metres"]
    return PointFrame(horizontal, vertical_of(declared), factor, tuple(notes))


def _crs_cure() -> str:
    return "give it with --source-crs, such as EPSG:2154, or EPSG:2249+6360 with the CRS of heights"


def _height_factor(
    name: str, declared: Any, horizontal: Any, unit: str, given: HeightUnit | None
) -> tuple[float, list[str]]:
    """Return the factor from stored heights to metres, and notes on it."""
    if given is not None:
        return unit_factor(given) or 1.0, []
    vertical, stated = vertical_factor(declared), unit_factor(unit) if unit else None
    if vertical is not None and stated is not None and abs(vertical / stated - 1) > 1e-9:
        raise DataError(
            f"{name}: its CRS gives heights in {unit_name(vertical)}, its key of units in "
            f"{unit_name(stated)}",
            "say which one is correct with --height-unit m, ft or us-ft",
        )
    if vertical is not None or stated is not None:
        return (vertical if vertical is not None else stated) or 1.0, []
    across = axis_factor(horizontal)
    reprojected = horizontal.to_epsg() == _WEB_MERCATOR
    if across is None or reprojected or abs(across - 1) > 1e-3:
        what = "degrees" if across is None else unit_name(across)
        what = "web Mercator, into which data are reprojected," if reprojected else what
        raise DataError(
            f"{name}: its CRS is in {what} and declares no unit of heights",
            "give it with --height-unit m, ft or us-ft",
        )
    note = f"{name} declares no unit of heights: metres are assumed, as for its coordinates"
    return 1.0, [note]


def las_bounds(name: str, header: Any, crs: Any) -> Bounds:
    """Return the horizontal bounds of a LAS header.

    Raises
    ------
    DataError
        If bounds or scales are not usable.
    """
    low, high = np.asarray(header.mins, np.float64), np.asarray(header.maxs, np.float64)
    scales = np.asarray(header.scales, np.float64)
    unit = _DEGREE if is_degrees(crs) else axis_factor(crs) or 1.0
    usable = np.isfinite(scales).all() and (scales > 0).all()
    if not usable or scales[:2].max() * unit > _COARSEST or scales[2] > _COARSEST / 0.3:
        text = ", ".join(f"{scale:g}" for scale in scales)
        raise DataError(
            f"{name}: the scales of its coordinates are {text}",
            "the header is damaged; download the file again",
        )
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
        raise DataError(
            f"{name}: the bounds of its header are not valid", "repair them with lasinfo -repair"
        )
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def require_within(name: str, outside: int, total: int) -> None:
    """Raise if too many points are outside the bounds that a header declares.

    Raises
    ------
    DataError
        If they are more than one per cent.
    """
    if outside > _STRAYS * total:
        raise DataError(
            f"{name}: {outside} of {total} points are outside the bounds of its header",
            "repair the header with lasinfo -repair",
        )
