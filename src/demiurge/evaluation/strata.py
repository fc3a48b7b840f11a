"""Error statistics by class: slope, aspect, height above ground, land cover, steps, voids."""

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

#: Lower limits of the classes of slope in degrees and of height above the ground in metres.
SLOPES = (0, 5, 15, 30, 45)
ABOVE = (-1, 1, 3, 10, 20)
VOIDS = "voids of the baseline"
#: Least number of pixels of a reported class.
_FEWEST = 50
_MOST_COVERS = 200
#: Code of pixels without a class.
_NONE = 255


class Stratum(NamedTuple):
    """Statistics of one class; ``baseline`` is on the same pixels, or None if it has no height."""

    surface: ErrorStatistics
    baseline: ErrorStatistics | None

    def as_dict(self) -> dict[str, dict[str, float | int]]:
        """Return the statistics by role and name."""
        content = {"surface": self.surface.as_dict()}
        if self.baseline is not None:
            content["baseline"] = self.baseline.as_dict()
        return content


@dataclass(frozen=True)
class _Division:
    """Disjoint classes of one column: their names, and a function from values to codes."""

    column: str
    names: list[str]
    codes: Callable[[Column], Codes]


def strata(columns: Columns, sun: float | None = None) -> dict[str, Stratum]:
    """Return statistics of surface and baseline by class, on pixels where both have heights.

    The class of the baseline's voids has statistics of the surface only.

    Parameters
    ----------
    columns
        As filled by :func:`demiurge.evaluation.collect.collect`.
    sun
        Azimuth of the sun in degrees clockwise from north. If given, slopes are classed by
        their illumination instead of by aspect.
    """
    based = "baseline" in columns.names
    shared = known(columns, "surface")
    classes: dict[str, Stratum] = {}
    if based:
        void = ~known(columns, "baseline")
        here = shared & void
        if here.sum() >= _FEWEST:
            classes[VOIDS] = Stratum(_of(columns, "surface", here, int(void.sum())), None)
        shared &= ~void
        del void
    for division in _divisions(columns, sun):
        codes = np.concatenate([division.codes(c) for c in columns.chunks(division.column)])
        for number, name in enumerate(division.names):
            here = codes == number
            count = int(here.sum())
            here &= shared
            if here.sum() < _FEWEST:
                continue
            other = _of(columns, "baseline", here, count) if based else None
            classes[name] = Stratum(_of(columns, "surface", here, count), other)
    if VOIDS in classes:  # listed last
        classes[VOIDS] = classes.pop(VOIDS)
    return classes


def known(columns: Columns, name: str) -> Mask:
    """Return which pixels of a column have a value."""
    return np.concatenate([np.isfinite(chunk) for chunk in columns.chunks(name)])


def _of(columns: Columns, name: str, here: Mask, count: int) -> ErrorStatistics:
    """Return statistics of a column; it stays in memory only during the call."""
    return statistics_of(columns.read(name), here, count)


def _divisions(columns: Columns, sun: float | None) -> Iterator[_Division]:
    names = [f"slope {a}° to {b}°" for a, b in zip(SLOPES, (*SLOPES[1:], 90), strict=True)]
    yield _Division("slope", names, _between(SLOPES))
    if sun is None:
        yield _Division("aspect", [f"facing {d}" for d in _QUARTERS], _quarters)
    else:
        names = ["facing the sun", "across the sun", "facing away from the sun"]
        yield _Division("aspect", names, lambda aspects: _by_light(aspects, sun))
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
        numbers = _covers(columns.chunks("landcover"))
        names = [f"land cover {number:g}" for number in numbers]
        yield _Division("landcover", names, lambda cover: _numbered(cover, numbers))


_QUARTERS = ("north", "east", "south", "west")


def _between(starts: tuple[int, ...]) -> Callable[[Column], Codes]:
    def codes(values: Column) -> Codes:
        index = np.searchsorted(np.array(starts, np.float32), values, "right").astype(np.int16) - 1
        index[np.isnan(values) | (index < 0)] = _NONE
        return index.astype(np.uint8)

    return codes


def _quarters(aspects: Column) -> Codes:
    return _coded((aspects + np.float32(45)) % np.float32(360) // np.float32(90), aspects)


def _by_light(aspects: Column, sun: float) -> Codes:
    off = np.abs((aspects - np.float32(sun) + np.float32(180)) % np.float32(360) - np.float32(180))
    return _coded(np.searchsorted(np.array([60, 120], np.float32), off), aspects)


def _coded(numbers: Column, values: Column) -> Codes:
    codes = np.where(np.isnan(values), _NONE, np.nan_to_num(numbers))
    return np.asarray(codes, np.uint8)


def _covers(chunks: Iterator[Column]) -> Column:
    """Return the class numbers of a land cover."""
    numbers: Column = np.empty(0, np.float32)
    for chunk in chunks:
        numbers = np.union1d(numbers, chunk[np.isfinite(chunk)])
        if numbers.size > _MOST_COVERS:
            raise DataError(
                f"the land cover has {numbers.size} or more different values, which are no classes",
                "give a raster of class numbers",
            )
    return numbers


def _numbered(cover: Column, numbers: Column) -> Codes:
    return _coded(np.searchsorted(numbers, cover), cover)
