"""Errors by class: slope, aspect, height above ground, land cover, steps, voids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Mask
from demiurge.errors import DataError
from demiurge.evaluation.columns import Column, Columns
from demiurge.evaluation.metrics import ErrorStatistics, statistics_of

Codes = npt.NDArray[np.uint8]

#: Slopes of the reference in degrees, and metres above the ground, that classes begin at.
SLOPES = (0, 5, 15, 30, 45)
ABOVE = (-1, 1, 3, 10, 20)
VOIDS = "voids of the baseline"
#: Classes of fewer pixels tell nothing.
_FEWEST = 50
_MOST_COVERS = 200
_NONE = 255


class Stratum(NamedTuple):
    """Statistics of one class; ``baseline`` on the same pixels, None where it has none."""

    surface: ErrorStatistics
    baseline: ErrorStatistics | None

    def as_dict(self) -> dict[str, dict[str, float | int]]:
        """Return the figures by role and name."""
        found = {"surface": self.surface.as_dict()}
        if self.baseline is not None:
            found["baseline"] = self.baseline.as_dict()
        return found


@dataclass(frozen=True)
class _Division:
    """Classes that exclude each other: their names, and how codes come from a column."""

    column: str
    names: list[str]
    codes: Callable[[Column], Codes]


def strata(columns: Columns, sun: float | None = None) -> dict[str, Stratum]:
    """Return statistics of surface and baseline by class, on pixels where both have heights.

    In voids of the baseline there is the surface alone.

    Parameters
    ----------
    columns
        As :func:`demiurge.evaluation.collect.gather` fills them.
    sun
        Azimuth of the sun in degrees clockwise from north; slopes are then told apart by how
        they lie to it, else by where they face.
    """
    based = "baseline" in columns.names
    shared = known(columns, "surface")
    found: dict[str, Stratum] = {}
    if based:
        void = ~known(columns, "baseline")
        here = shared & void
        if here.sum() >= _FEWEST:
            found[VOIDS] = Stratum(_of(columns, "surface", here, int(void.sum())), None)
        shared &= ~void
        del void
    for division in _divisions(columns, sun):
        codes = np.concatenate([division.codes(p) for p in columns.parts(division.column)])
        for number, name in enumerate(division.names):
            here = codes == number
            count = int(here.sum())
            here &= shared
            if here.sum() < _FEWEST:
                continue
            other = _of(columns, "baseline", here, count) if based else None
            found[name] = Stratum(_of(columns, "surface", here, count), other)
    # Voids come last, as they always have.
    if VOIDS in found:
        found[VOIDS] = found.pop(VOIDS)
    return found


def known(columns: Columns, name: str) -> Mask:
    """Tell which pixels have a value."""
    return np.concatenate([np.isfinite(part) for part in columns.parts(name)])


def _of(columns: Columns, name: str, here: Mask, count: int) -> ErrorStatistics:
    """Return statistics of a column, which is in memory no longer than that takes."""
    return statistics_of(columns.read(name), here, count)


def _divisions(columns: Columns, sun: float | None) -> Iterator[_Division]:
    names = [f"slope {a}° to {b}°" for a, b in zip(SLOPES, (*SLOPES[1:], 90), strict=True)]
    yield _Division("slope", names, _between(SLOPES))
    if sun is None:
        yield _Division("aspect", [f"facing {d}" for d in _QUARTERS], _quarters)
    else:
        names = ["facing the sun", "across the sun", "facing away from the sun"]
        yield _Division("aspect", names, lambda aspects: _to_the_sun(aspects, sun))
    if "above" in columns.names:
        ends = (*(str(m) for m in ABOVE[1:]), "")
        names = [
            f"{low} to {high} m above ground" if high else f"more than {low} m above ground"
            for low, high in zip(ABOVE, ends, strict=True)
        ]
        names[0] = "on the ground, within 1 m"
        yield _Division("above", names, _between(ABOVE))
    yield _Division(
        "step", ["away from strong steps", "within 2 px of strong steps"], lambda codes: codes
    )
    if "landcover" in columns.names:
        numbers = _covers(columns.parts("landcover"))
        names = [f"land cover {number:g}" for number in numbers]
        yield _Division("landcover", names, lambda cover: _numbered(cover, numbers))


_QUARTERS = ("north", "east", "south", "west")


def _between(starts: tuple[int, ...]) -> Callable[[Column], Codes]:
    def codes(values: Column) -> Codes:
        found = np.searchsorted(np.array(starts, np.float32), values, "right").astype(np.int16) - 1
        found[np.isnan(values) | (found < 0)] = _NONE
        return found.astype(np.uint8)

    return codes


def _quarters(aspects: Column) -> Codes:
    return _coded((aspects + np.float32(45)) % np.float32(360) // np.float32(90), aspects)


def _to_the_sun(aspects: Column, sun: float) -> Codes:
    off = np.abs((aspects - np.float32(sun) + np.float32(180)) % np.float32(360) - np.float32(180))
    return _coded(np.searchsorted(np.array([60, 120], np.float32), off), aspects)


def _coded(numbers: Column, values: Column) -> Codes:
    found = np.where(np.isnan(values), _NONE, np.nan_to_num(numbers))
    return np.asarray(found, np.uint8)


def _covers(parts: Iterator[Column]) -> Column:
    numbers: Column = np.empty(0, np.float32)
    for part in parts:
        numbers = np.union1d(numbers, part[np.isfinite(part)])
        if numbers.size > _MOST_COVERS:
            raise DataError(
                f"the land cover has {numbers.size} different values and more, which are no "
                "classes",
                "give a raster of class numbers",
            )
    return numbers


def _numbered(cover: Column, numbers: Column) -> Codes:
    return _coded(np.searchsorted(numbers, cover), cover)
