"""One consistent surface from windows whose heights are relative, each about its own middle.

Every window gets an offset, and where something absolute lies beneath also a scale, so that all
agree where they overlap: a robust least-squares problem over the whole raster, solved by conjugate
gradients. Pure functions on arrays.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Values

Indices = npt.NDArray[np.int64]

#: How much a prior's pixel counts against one of an overlap: it is coarse.
_PRIOR = 0.1
#: Pull of scales towards 1, and of offsets towards 0, against one overlapping pixel.
_STIFF, _LOOSE = 1.0, 1e-6
_ROUNDS, _STEPS, _ENOUGH = 6, 3000, 1e-8
#: Scales of windows on a prior. Below, relief would vanish or turn upside down; above, noise grows.
SCALES = (0.05, 20.0)
#: How much a scale at a bound is held there, against the rest of its window's equations.
_HOLD = 1e6


@dataclass(frozen=True)
class Pairs:
    """Heights of two windows at common pixels.

    Attributes
    ----------
    first, second
        int64 (pairs,): window numbers.
    place
        int64 (samples,): which pair a sample belongs to.
    a, b
        float64 (samples,): its height in the first and in the second window.
    """

    first: Indices
    second: Indices
    place: Indices
    a: Values
    b: Values


@dataclass(frozen=True)
class Anchored:
    """Heights of windows at pixels whose absolute height is known.

    Attributes
    ----------
    window
        int64 (samples,).
    a, z
        float64 (samples,): the window's height, and the known one in metres.
    """

    window: Indices
    a: Values
    z: Values


@dataclass(frozen=True)
class Adjustment:
    """``scale`` · height + ``offset`` for every window.

    Attributes
    ----------
    places
        Number of each window, by its first row and column.
    scales, offsets
        float64 (windows,).
    before, after
        Median absolute difference of windows where they overlap, in their unit.
    absolute
        Heights are metres above what the prior is above.
    """

    places: Mapping[tuple[int, int], int]
    scales: Values
    offsets: Values
    before: float
    after: float
    absolute: bool

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """Tell for each window whether its scale had to be held at a bound."""
        return (self.scales <= SCALES[0]) | (self.scales >= SCALES[1])

    def apply(self, row: int, column: int, values: Array, count: int) -> Array:
        """Return a window's heights (first ``count`` planes) and uncertainties on the level."""
        number = self.places[row, column]
        scale = self.scales[number]
        found = values * np.float32(scale)
        found[:count] += np.float32(self.offsets[number])
        if self.held[number]:
            # Here the network disagrees with the prior: flattened relief is no certain relief.
            found[count:] = values[count:] * np.float32(max(1.0, scale))
        return np.asarray(found, np.float32)


def pair_up(
    windows: Mapping[tuple[int, int], int],
    samples: list[tuple[Indices, Indices, Array]],
    size: int,
) -> Pairs:
    """Find the common samples of all windows that overlap.

    Parameters
    ----------
    windows
        Number of each window, by its first row and column.
    samples
        For each window the rows and columns of its lattice, and float32 (rows, columns) heights,
        NaN where unknown; lattices of all windows are parts of one.
    size
        Side of a window.
    """
    rows = sorted({row for row, _ in windows})
    columns = sorted({column for _, column in windows})
    firsts: list[int] = []
    seconds: list[int] = []
    places: list[npt.NDArray[np.int64]] = []
    a: list[Array] = []
    b: list[Array] = []
    for (row, column), number in windows.items():
        for other in _after(row, column, rows, columns, size):
            second = windows.get(other)
            if second is None:
                continue
            here, there = _common(samples[number], samples[second])
            known = np.isfinite(here) & np.isfinite(there)
            if not known.any():
                continue
            places.append(np.full(int(known.sum()), len(firsts)))
            firsts.append(number)
            seconds.append(second)
            a.append(here[known])
            b.append(there[known])
    empty = np.empty(0)
    return Pairs(
        np.array(firsts, np.int64),
        np.array(seconds, np.int64),
        np.concatenate([*places, empty]).astype(np.int64),
        np.concatenate([*a, empty]).astype(np.float64),
        np.concatenate([*b, empty]).astype(np.float64),
    )


def _after(
    row: int, column: int, rows: list[int], columns: list[int], size: int
) -> Iterable[tuple[int, int]]:
    """Yield where the windows lie that overlap one and come after it."""
    below = rows[bisect_left(rows, row) : bisect_left(rows, row + size)]
    beside = columns[bisect_right(columns, column - size) : bisect_left(columns, column + size)]
    for r in below:
        for c in beside:
            if r > row or c > column:
                yield r, c


def _common(
    one: tuple[Indices, Indices, Array], two: tuple[Indices, Indices, Array]
) -> tuple[Array, Array]:
    _, r1, r2 = np.intersect1d(one[0], two[0], return_indices=True)
    _, c1, c2 = np.intersect1d(one[1], two[1], return_indices=True)
    return one[2][np.ix_(r1, c1)], two[2][np.ix_(r2, c2)]


def solve(
    pairs: Pairs, anchors: Anchored | None, count: int, *, scaled: bool
) -> tuple[Values, Values]:
    """Return the scales and offsets that make windows agree.

    Parameters
    ----------
    count
        Number of windows.
    scaled
        Find scales too; without anything absolute they stay 1. They are bounded by ``SCALES``.
    """
    unit = float(np.std(np.concatenate([pairs.a, pairs.b]))) if pairs.a.size else 1.0
    unit = unit if unit > 0 else 1.0
    if anchors is not None and anchors.z.size:
        middle = float(np.median(anchors.z))
    else:
        anchors, middle = None, 0.0
    known = 2 if scaled and anchors is not None else 1
    system = _System(pairs, anchors, count, known, unit, middle)
    found = system.settled(np.zeros((count, known)))
    if known == 1:
        return np.ones(count), found[:, 0] * unit + middle
    # Bounding some moves their neighbours.
    while system.hold(found):
        found = system.settled(found)
    return np.clip(1 + found[:, 1], *SCALES), found[:, 0] * unit + middle


class _System:
    """The normal equations, in units of the heights' spread, reweighted round by round."""

    def __init__(
        self,
        pairs: Pairs,
        anchors: Anchored | None,
        count: int,
        known: int,
        unit: float,
        middle: float,
    ) -> None:
        self.pairs, self.anchors, self.count, self.known = pairs, anchors, count, known
        self.a, self.b = pairs.a / unit, pairs.b / unit
        #: Scales less 1 that are held at a bound; NaN for those that are free.
        self.bound = np.full(count, np.nan)
        self.u, self.v = self._terms(self.a), self._terms(self.b)
        if anchors is not None:
            self.h, self.z = anchors.a / unit, (anchors.z - middle) / unit
            self.w = self._terms(self.h)

    def _terms(self, heights: Values) -> Values:
        ones = np.ones_like(heights)
        return np.stack([ones, heights][: self.known], axis=1)

    def settled(self, found: Values) -> Values:
        """Return the unknowns after rounds of reweighting, beginning with some."""
        for _ in range(_ROUNDS):
            fresh = self.solved(found)
            moved = float(np.abs(fresh - found).max()) if found.size else 0.0
            found = fresh
            if moved < 1e-4:
                break
        return found

    def hold(self, found: Values) -> bool:
        """Hold scales at the bounds that they have crossed; tell whether there are new ones."""
        low, high = (bound - 1 for bound in SCALES)
        crossed = np.isnan(self.bound) & ((found[:, 1] < low) | (found[:, 1] > high))
        self.bound[crossed] = np.clip(found[crossed, 1], low, high)
        return bool(crossed.any())

    def solved(self, found: Values) -> Values:
        """Return the unknowns after one round, weighted by what the last ones leave over."""
        pairs, k = self.pairs, self.known
        one, two = pairs.first[pairs.place], pairs.second[pairs.place]
        gap = self.a - self.b
        left = gap + (self.u * found[one]).sum(1) - (self.v * found[two]).sum(1)
        weight = _huber(left)
        blocks = np.zeros((self.count, k, k))
        right = np.zeros((self.count, k))
        between = np.zeros((len(pairs.first), k, k))
        np.add.at(blocks, one, _outer(self.u, self.u, weight))
        np.add.at(blocks, two, _outer(self.v, self.v, weight))
        np.add.at(between, pairs.place, _outer(self.u, self.v, weight))
        np.add.at(right, one, -self.u * (weight * gap)[:, None])
        np.add.at(right, two, self.v * (weight * gap)[:, None])
        if self.anchors is not None:
            number = self.anchors.window
            missing = self.z - self.h
            weight = _PRIOR * _huber(missing - (self.w * found[number]).sum(1))
            np.add.at(blocks, number, _outer(self.w, self.w, weight))
            np.add.at(right, number, self.w * (weight * missing)[:, None])
        blocks[:, range(k), range(k)] += [_LOOSE, _STIFF][:k]
        held = np.flatnonzero(np.isfinite(self.bound))
        if held.size:
            weight = _HOLD * (1 + blocks[held, 1, 1])
            blocks[held, 1, 1] += weight
            right[held, 1] += weight * self.bound[held]
        return _conjugate_gradients(blocks, between, pairs.first, pairs.second, right, found)


def _outer(u: Values, v: Values, weight: Values) -> Values:
    return np.asarray(u[:, :, None] * v[:, None, :] * weight[:, None, None])


def _huber(left: Values) -> Values:
    """Return weights that fall off for what is further than 1.5 spreads from agreeing."""
    if not left.size:
        return left
    reach = 1.5 * max(1.4826 * float(np.median(np.abs(left))), 1e-9)
    return np.asarray(np.minimum(1, reach / np.maximum(np.abs(left), 1e-12)))


def _conjugate_gradients(
    blocks: Values, between: Values, first: Indices, second: Indices, right: Values, begin: Values
) -> Values:
    """Solve with the blocks on the diagonal as preconditioner."""

    def times(x: Values) -> Values:
        y = np.einsum("nij,nj->ni", blocks, x)
        np.subtract.at(y, first, np.einsum("pij,pj->pi", between, x[second]))
        np.subtract.at(y, second, np.einsum("pji,pj->pi", between, x[first]))
        return np.asarray(y)

    inverse = np.linalg.inv(blocks)
    x = begin.copy()
    rest = right - times(x)
    z = np.einsum("nij,nj->ni", inverse, rest)
    along, size = z.copy(), float((rest * z).sum())
    enough = _ENOUGH**2 * max(float((right * np.einsum("nij,nj->ni", inverse, right)).sum()), 1e-30)
    for _ in range(_STEPS):
        if size <= enough:
            break
        image = times(along)
        step = size / float((along * image).sum())
        x += step * along
        rest -= step * image
        z = np.einsum("nij,nj->ni", inverse, rest)
        fresh = float((rest * z).sum())
        along = z + fresh / size * along
        size = fresh
    return x


def mismatch(pairs: Pairs, scales: Values, offsets: Values) -> float:
    """Return the median absolute difference of windows where they overlap."""
    if not pairs.a.size:
        return 0.0
    one, two = pairs.first[pairs.place], pairs.second[pairs.place]
    gap = scales[one] * pairs.a + offsets[one] - scales[two] * pairs.b - offsets[two]
    return float(np.median(np.abs(gap)))
