"""No data that a file does not declare.

Heights that the earth does not have and a few values in common use are taken as no data, with a
note. Any other value that stands far apart from all heights around it is refused: only the user
knows what it means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.errors import UsageError
from demiurge.layers import Kind, Layer, recognise
from demiurge.scene.grid import sample_windows
from demiurge.scene.options import NoData
from demiurge.scene.validity import HUGE, Validity, clean, read_stored

#: Stored values that are no data in every layer but masks and classes.
USUAL = (-9999.0, -10000.0, -32768.0, -32767.0, -99999.0)
#: Stored values that are often no data, but can be heights.
DOUBTFUL = (-999.0, -99.0)

#: What is said of pixels that the user calls no data: nothing.
_GIVEN = ""

#: Metres that a doubtful value must be apart from every other height.
_DOUBTFUL_GAP = 10.0
#: The same for any repeated value below all others, and above them, where towers are.
_LOW_GAP, _HIGH_GAP = 100.0, 1000.0
#: Metres from 0 to its neighbours that are refused, and that are told.
_ZERO_GAP, _TOLD_GAP = 50.0, 10.0
#: A gap is no slope if it is so many times what nearly all other neighbours differ by.
_STEEPER = 3.0
#: How many pixels hold a repeated value at least.
_REPEATS = 3
#: Least share of pixels that are not 0: less is a bridge or a mast over water.
_LAND = 0.2
#: From what share on zeros of an image are told, and how much brighter than they, in spreads, their
#: neighbours are.
_COLLAR, _EDGE = 0.01, 0.25
#: Pixels a side that are looked at when a file is opened.
_LOOK, _IMAGE_LOOK = 2048, 1024


@dataclass(frozen=True)
class Level:
    """A value that stands apart: as stored, in how many pixels, metres to its neighbours."""

    value: float
    count: int
    gap: float

    def __str__(self) -> str:
        many = "1 pixel holds" if self.count == 1 else f"{self.count} pixels hold"
        return f"{many} exactly {self.value:.7g}, at least {self.gap:.0f} m from all others"


@dataclass(frozen=True)
class Look:
    """What a look at a file found.

    Attributes
    ----------
    level
        A value to refuse, or None.
    remarks
        What is taken as no data, or may be, in sentences.
    dirty
        Whether the file holds no data that it does not declare.
    """

    level: Level | None = None
    remarks: tuple[str, ...] = ()
    dirty: bool = False


def for_layers(nodata: NoData | None, names: Collection[str]) -> dict[str, Sequence[float]]:
    """Return the no-data values by the names that a command reads.

    Raises
    ------
    UsageError
        If a name is none of these.
    """
    found = {}
    for name, values in (nodata or {}).items():
        known = name if name in names else recognise(name)
        if known is None or known not in names:
            raise UsageError(
                f"--nodata {name}: no such layer is read", "there is " + ", ".join(names)
            )
        found[known] = values
    return found


def usual(layer: Layer) -> tuple[float, ...]:
    """Return the stored values that are no data in a layer although no file declares them."""
    return () if layer.kind in (Kind.MASK, Kind.CLASS) else USUAL


def look(dataset: Any, band: int, layer: Layer, rule: Validity, role: str) -> Look:
    """Look at a file before it is used: at all of a small one, at patches all over a large one.

    Parameters
    ----------
    rule
        What is no data in the band.
    role
        What ``--nodata`` calls the layer.
    """
    from rasterio.errors import RasterioError

    if layer.kind in (Kind.MASK, Kind.CLASS):
        return Look()
    most = _IMAGE_LOOK if layer.kind is Kind.IMAGE else _LOOK
    windows = [window for row in sample_windows(dataset.shape, most) for window in row]
    parts, counts, total = [], dict[str, int](), 0
    try:
        for window in windows:
            stored = read_stored(dataset, band, window)
            told = clean(stored.copy(), dataset, band, window, rule.as_declared())
            known = clean(stored.copy(), dataset, band, window, rule)
            _count(counts, stored, told, known, rule)
            total += stored.size
            parts.append(known)
    except RasterioError:
        return Look()  # the fault is reported where the pixels are really read
    about = "" if len(windows) == 1 else " looked at"
    told_of = {what: count for what, count in counts.items() if what != _GIVEN}
    remarks = [
        f"{n} of {total} pixels{about} {what}: they count as no data" for what, n in told_of.items()
    ]
    level = None
    if layer.kind is Kind.HEIGHT:
        found = [level_apart(part, rule) for part in parts]
        level = max((f for f in found if f), key=lambda f: f.count, default=None)
        above_ground = layer.name == "truth_height"  # whose ground is 0
        if level is None and not above_ground:
            level = _zeros(parts, rule, remarks, role)
    elif layer.kind is Kind.IMAGE:
        _collar(parts, remarks, role)
    return Look(level, tuple(remarks), bool(counts))


def _count(
    counts: dict[str, int], stored: Array, told: Array, known: Array, rule: Validity
) -> None:
    """Count what is no data though the file does not say so."""
    found = dict[str, Mask]()
    there = np.isfinite(told)
    void = there & ~np.isfinite(known)
    for value in rule.undeclared:
        here = void & (stored == np.float32(value))
        what = f"hold {value:g}, which the file does not declare" if value in USUAL else _GIVEN
        found[what] = found[what] | here if what in found else here
        void = void & ~here
    if rule.limits is not None:
        low, high = rule.limits
        found[f"lie outside {low:g} to {high:g} m"] = void
    huge = np.isfinite(stored) & (np.abs(stored) >= HUGE)
    for value in rule.declared:
        huge &= stored != np.float32(value)
    found["hold huge numbers that the file does not declare"] = huge
    for what, here in found.items():
        count = int(np.count_nonzero(here))
        if count:
            counts[what] = counts.get(what, 0) + count


def level_apart(heights: Array, rule: Validity) -> Level | None:
    """Return a value of a window that is most likely no data, or None.

    Water does not count, for its shores are low somewhere; nor do roofs and towers.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, NaN for known no data.
    rule
        What turned stored values into these.
    """
    low, high = np.fmin.reduce(heights, axis=None), np.fmax.reduce(heights, axis=None)
    for value in DOUBTFUL:
        level = rule.value(value)
        if low <= level <= high and low < high:
            here = heights == level
            gap = _distance(heights, here, level) if here.any() else 0.0
            if gap >= _DOUBTFUL_GAP:
                return Level(value, int(here.sum()), gap)
    for level, least in ((low, _LOW_GAP), (high, _HIGH_GAP)):
        here = heights == level
        count = int(np.count_nonzero(here))
        if high - low < least or not _REPEATS <= count <= np.isfinite(heights).sum() / 2:
            continue
        gap = _distance(heights, here, level)
        if gap >= least and gap >= _STEEPER * _slope([heights], level):
            return Level(_stored(level, rule), count, gap)
    return None


def _distance(heights: Array, here: Mask, level: np.float32) -> float:
    """Return how far a level is from the nearest other height."""
    return float(np.fmin.reduce(np.abs(heights[~here] - level)))


def _stored(level: np.float32, rule: Validity) -> float:
    """Return the stored value of a level."""
    plain = (rule.scale, rule.offset) == (1.0, 0.0)
    return float(level) if plain else round((float(level) - rule.offset) / rule.scale, 6)


def _zeros(parts: list[Array], rule: Validity, remarks: list[str], role: str) -> Level | None:
    """Return exact zeros beside which all heights are far away; remark on them where less far."""
    zero = rule.value(0)
    known = np.concatenate([part[np.isfinite(part)] for part in parts])
    away = np.concatenate([_jumps(part, zero) for part in parts])
    count = int(np.count_nonzero(known == zero))
    if count < _REPEATS or not away.size:
        return None
    steep = _STEEPER * _slope(parts, zero)
    gap = float(np.percentile(away, 5))
    if gap >= max(_ZERO_GAP, steep) and count <= (1 - _LAND) * known.size:
        return Level(0.0, count, gap)
    nearest = float(np.abs(known[known != zero] - zero).min())
    if gap >= max(_TOLD_GAP, steep) or nearest >= _TOLD_GAP / 2 or _outstanding(known, zero):
        remarks.append(
            f"{count / known.size:.1%} of its heights are exactly 0: if that is no data, add "
            f"--nodata {role}=0"
        )
    return None


def _outstanding(known: Array, level: np.float32) -> bool:
    """Tell whether a value is repeated far more often than any other."""
    values, counts = np.unique(known[:: max(1, known.size // 100_000)], return_counts=True)
    others = counts[values != level]
    count = int(counts.sum() - others.sum())
    return bool(count > 0.01 * counts.sum() and count > 10 * others.max(initial=0))


def _collar(parts: list[Array], remarks: list[str], role: str) -> None:
    """Remark on areas of exact zeros with sharp edges in an image."""
    zero = np.float32(0)
    known = np.concatenate([part[np.isfinite(part)] for part in parts])
    bright = known[known != 0]
    away = np.concatenate([_jumps(part, zero) for part in parts])
    if not bright.size or bright.min() < 0 or not away.size:
        return
    share = 1 - bright.size / known.size
    within = sum(int(np.count_nonzero(part[:, 1:][part[:, :-1] == 0] == 0)) for part in parts)
    beside = sum(int(np.count_nonzero(part[:, :-1] == 0)) for part in parts)
    low, high = np.percentile(bright, (10, 90))
    if share >= _COLLAR and within >= 0.9 * beside and np.median(away) >= _EDGE * (high - low):
        remarks.append(
            f"{share:.1%} of it is exactly 0, with sharp edges: if that is no data, add "
            f"--nodata {role}=0"
        )


def _slope(parts: list[Array], level: np.float32) -> float:
    """Return by how many metres nearly all neighbours differ at most, a level left out."""
    found = []
    for part in parts:
        for a, b in _neighbours(part):
            found.append(np.abs(b - a)[(a != level) & (b != level)])
    away = np.concatenate(found)
    away = away[np.isfinite(away)]
    return float(np.percentile(away, 95)) if away.size else 0.0


def _jumps(part: Array, level: np.float32) -> Array:
    """Return by how many metres the neighbours of a level differ from it."""
    found = [np.abs(b - a)[(a == level) != (b == level)] for a, b in _neighbours(part)]
    away = np.concatenate(found)
    return np.asarray(away[np.isfinite(away)], np.float32)


def _neighbours(part: Array) -> Iterator[tuple[Array, Array]]:
    yield part[:, :-1], part[:, 1:]
    yield part[:-1], part[1:]
