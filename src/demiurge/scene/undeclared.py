"""Detection of no-data values that a file does not declare.

Impossible heights and a few common no-data values become no data, with a note. Any other value far
from all neighbouring heights is an error, because only the user knows what it means.
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

#: Stored values that are no data in every layer except masks and classes.
COMMON = (-9999.0, -10000.0, -32768.0, -32767.0, -99999.0)
#: Stored values that are often no data, but may be heights.
AMBIGUOUS = (-999.0, -99.0)

#: Key of pixels that the user declares as no data; they get no note.
_GIVEN = ""

#: Least distance in metres of an ambiguous value from all other heights to be an error.
_AMBIGUOUS_GAP = 10.0
#: The same for any repeated value below all others, and above all others, where towers are.
_LOW_GAP, _HIGH_GAP = 100.0, 1000.0
#: Least distance in metres of 0 from its neighbours for an error, and for a note.
_ZERO_GAP, _NOTE_GAP = 50.0, 10.0
#: Least ratio of a gap to the differences of nearly all other neighbours; less is a slope.
_STEEPER = 3.0
#: Minimum number of pixels with a repeated value.
_REPEATS = 3
#: Minimum share of pixels other than 0; fewer may be a bridge or a mast over water.
_LAND = 0.2
#: Minimum share of zeros in an image for a note, and minimum brightness of their neighbours as a
#: share of the range of brightness.
_BORDER, _EDGE = 0.01, 0.25
#: Side in pixels of the sample of heights, and of images, when a file is opened.
_SAMPLE, _IMAGE_SAMPLE = 2048, 1024


@dataclass(frozen=True)
class SuspectValue:
    """A value that is probably no data.

    Attributes
    ----------
    value
        As stored.
    count
        Number of pixels.
    gap
        Least distance to other heights in metres.
    """

    value: float
    count: int
    gap: float

    def __str__(self) -> str:
        many = "1 pixel is" if self.count == 1 else f"{self.count} pixels are"
        return f"{many} exactly {self.value:.7g}, at least {self.gap:.0f} m from all others"


@dataclass(frozen=True)
class Inspection:
    """Result of the inspection of a file.

    Attributes
    ----------
    suspect
        A value that needs a decision of the user, or None.
    remarks
        Values that are or may be no data, one sentence each.
    dirty
        Whether the file contains no data that it does not declare.
    """

    suspect: SuspectValue | None = None
    remarks: tuple[str, ...] = ()
    dirty: bool = False


def for_layers(nodata: NoData | None, names: Collection[str]) -> dict[str, Sequence[float]]:
    """Return the no-data values by the names of the layers that a command reads.

    Raises
    ------
    UsageError
        If a name is not among ``names``.
    """
    by_layer = {}
    for name, values in (nodata or {}).items():
        known = name if name in names else recognise(name)
        if known is None or known not in names:
            raise UsageError(
                f"--nodata {name}: no such layer is read", "the layers are " + ", ".join(names)
            )
        by_layer[known] = values
    return by_layer


def common_nodata(layer: Layer) -> tuple[float, ...]:
    """Return the common no-data values of a layer, which files may fail to declare."""
    return () if layer.kind in (Kind.MASK, Kind.CLASS) else COMMON


def inspect(dataset: Any, band: int, layer: Layer, rule: Validity, role: str) -> Inspection:
    """Inspect a band before use: all pixels of a small file, a sample of a large one.

    Parameters
    ----------
    rule
        Validity rule of the band.
    role
        Name of the layer in ``--nodata``.
    """
    from rasterio.errors import RasterioError

    if layer.kind in (Kind.MASK, Kind.CLASS):
        return Inspection()
    most = _IMAGE_SAMPLE if layer.kind is Kind.IMAGE else _SAMPLE
    windows = [window for row in sample_windows(dataset.shape, most) for window in row]
    parts, counts, total = [], dict[str, int](), 0
    try:
        for window in windows:
            stored = read_stored(dataset, band, window)
            declared = clean(stored.copy(), dataset, band, window, rule.as_declared())
            known = clean(stored.copy(), dataset, band, window, rule)
            _count(counts, stored, declared, known, rule)
            total += stored.size
            parts.append(known)
    except RasterioError:
        return Inspection()  # reading the pixels later raises the error
    sampled = "" if len(windows) == 1 else "sampled "
    remarks = [
        f"{n} of {total} {sampled}pixels {what}: they are read as no data"
        for what, n in counts.items()
        if what != _GIVEN
    ]
    suspect = None
    if layer.kind is Kind.HEIGHT:
        suspects = [isolated_value(part, rule) for part in parts]
        suspect = max((s for s in suspects if s), key=lambda s: s.count, default=None)
        above_ground = layer.name == "truth_height"  # 0 is the ground
        if suspect is None and not above_ground:
            suspect = _zeros(parts, rule, remarks, role)
    elif layer.kind is Kind.IMAGE:
        _zero_border(parts, remarks, role)
    return Inspection(suspect, tuple(remarks), bool(counts))


def _count(
    counts: dict[str, int], stored: Array, declared: Array, known: Array, rule: Validity
) -> None:
    """Count the pixels of undeclared no data, by description.

    Parameters
    ----------
    declared, known
        Values with NaN for declared no data, and for all no data.
    """
    masks = dict[str, Mask]()
    void = np.isfinite(declared) & ~np.isfinite(known)
    for value in rule.undeclared:
        here = void & (stored == np.float32(value))
        what = f"are {value:g}, which the file does not declare" if value in COMMON else _GIVEN
        masks[what] = masks[what] | here if what in masks else here
        void = void & ~here
    if rule.limits is not None:
        low, high = rule.limits
        masks[f"are outside {low:g} to {high:g} m"] = void
    huge = np.isfinite(stored) & (np.abs(stored) >= HUGE)
    for value in rule.declared:
        huge &= stored != np.float32(value)
    masks["are huge numbers that the file does not declare"] = huge
    for what, here in masks.items():
        count = int(np.count_nonzero(here))
        if count:
            counts[what] = counts.get(what, 0) + count


def isolated_value(heights: Array, rule: Validity) -> SuspectValue | None:
    """Return a value of a window that is probably no data, or None.

    Water, roofs and towers do not qualify: shores are low, and roofs and towers are too low.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, NaN for known no data.
    rule
        Validity rule that converted the stored values.
    """
    low, high = np.fmin.reduce(heights, axis=None), np.fmax.reduce(heights, axis=None)
    for value in AMBIGUOUS:
        level = rule.value(value)
        if low <= level <= high and low < high:
            here = heights == level
            gap = _distance(heights, here, level) if here.any() else 0.0
            if gap >= _AMBIGUOUS_GAP:
                return SuspectValue(value, int(here.sum()), gap)
    for level, least in ((low, _LOW_GAP), (high, _HIGH_GAP)):
        here = heights == level
        count = int(np.count_nonzero(here))
        if high - low < least or not _REPEATS <= count <= np.isfinite(heights).sum() / 2:
            continue
        gap = _distance(heights, here, level)
        if gap >= least and gap >= _STEEPER * _slope([heights], level):
            return SuspectValue(_stored(level, rule), count, gap)
    return None


def _distance(heights: Array, here: Mask, level: np.float32) -> float:
    """Return the distance of a value from the nearest other height."""
    return float(np.fmin.reduce(np.abs(heights[~here] - level)))


def _stored(level: np.float32, rule: Validity) -> float:
    """Return the stored value of a height."""
    plain = (rule.scale, rule.offset) == (1.0, 0.0)
    return float(level) if plain else round((float(level) - rule.offset) / rule.scale, 6)


def _zeros(
    parts: list[Array], rule: Validity, remarks: list[str], role: str
) -> SuspectValue | None:
    """Return zeros far from all neighbouring heights; add a remark for zeros less far away."""
    zero = rule.value(0)
    known = np.concatenate([part[np.isfinite(part)] for part in parts])
    steps = np.concatenate([_steps(part, zero) for part in parts])
    count = int(np.count_nonzero(known == zero))
    if count < _REPEATS or not steps.size:
        return None
    steep = _STEEPER * _slope(parts, zero)
    gap = float(np.percentile(steps, 5))
    if gap >= max(_ZERO_GAP, steep) and count <= (1 - _LAND) * known.size:
        return SuspectValue(0.0, count, gap)
    nearest = float(np.abs(known[known != zero] - zero).min())
    if gap >= max(_NOTE_GAP, steep) or nearest >= _NOTE_GAP / 2 or _frequent(known, zero):
        remarks.append(
            f"{count / known.size:.1%} of its heights are exactly 0: if they are no data, add "
            f"--nodata {role}=0"
        )
    return None


def _frequent(known: Array, level: np.float32) -> bool:
    """Return whether a value is far more frequent than any other."""
    values, counts = np.unique(known[:: max(1, known.size // 100_000)], return_counts=True)
    others = counts[values != level]
    count = int(counts.sum() - others.sum())
    return bool(count > 0.01 * counts.sum() and count > 10 * others.max(initial=0))


def _zero_border(parts: list[Array], remarks: list[str], role: str) -> None:
    """Add a remark for areas of zeros with sharp edges in an image."""
    zero = np.float32(0)
    known = np.concatenate([part[np.isfinite(part)] for part in parts])
    bright = known[known != 0]
    steps = np.concatenate([_steps(part, zero) for part in parts])
    if not bright.size or bright.min() < 0 or not steps.size:
        return
    share = 1 - bright.size / known.size
    within = sum(int(np.count_nonzero(part[:, 1:][part[:, :-1] == 0] == 0)) for part in parts)
    zeros = sum(int(np.count_nonzero(part[:, :-1] == 0)) for part in parts)
    low, high = np.percentile(bright, (10, 90))
    if share >= _BORDER and within >= 0.9 * zeros and np.median(steps) >= _EDGE * (high - low):
        remarks.append(
            f"{share:.1%} of its pixels are exactly 0, with sharp edges: if they are no data, add "
            f"--nodata {role}=0"
        )


def _slope(parts: list[Array], level: np.float32) -> float:
    """Return the 95th percentile of height differences of neighbours, except those of a value."""
    steps = np.concatenate(
        [np.abs(b - a)[(a != level) & (b != level)] for part in parts for a, b in _neighbours(part)]
    )
    steps = steps[np.isfinite(steps)]
    return float(np.percentile(steps, 95)) if steps.size else 0.0


def _steps(part: Array, level: np.float32) -> Array:
    """Return the differences of a value from its neighbours in metres."""
    steps = np.concatenate(
        [np.abs(b - a)[(a == level) != (b == level)] for a, b in _neighbours(part)]
    )
    return np.asarray(steps[np.isfinite(steps)], np.float32)


def _neighbours(part: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the pixels and their neighbours to the right, then below."""
    yield part[:, :-1], part[:, 1:]
    yield part[:-1], part[1:]
