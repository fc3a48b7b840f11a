"""Block adjustment: one consistent surface from windows of relative heights.

Each window gets an offset, and with a prior also a scale, so that all windows agree where they
overlap. The unknowns of all windows are solved together, as a robust sparse least-squares problem.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from demiurge.arrays import Array, Indices, Mask, Values
from demiurge.errors import DataError
from demiurge.predict.heights.saved import load_arrays, save_arrays
from demiurge.predict.heights.solver import SCALES, Overlaps, PriorSamples, mismatch, solve
from demiurge.scene.grid import Window

#: Samples across the overlap of two neighbours.
_ACROSS = 4
#: Share of windows with inverted relief above which the result is meaningless.
_INVERTED = 0.8


class Samples(NamedTuple):
    """Heights of one window on a lattice that all windows share.

    Attributes
    ----------
    rows, columns
        int (rows,) and (columns,): positions in the raster.
    heights
        float32 (rows, columns), NaN for no data.
    """

    rows: Indices
    columns: Indices
    heights: Array


@dataclass(frozen=True)
class Adjustment:
    """``scale`` · height + ``offset`` for every window.

    Attributes
    ----------
    windows
        Number of each window, by its first row and column.
    scales, offsets
        float64 (windows,).
    before, after
        Median absolute difference of overlapping windows, in the unit of the heights.
    absolute
        Adjusted heights are metres in the prior's vertical reference.
    """

    windows: Mapping[tuple[int, int], int]
    scales: Values
    offsets: Values
    before: float
    after: float
    absolute: bool

    @property
    def at_bound(self) -> Mask:
        """Return bool (windows,): the scale is at a bound of ``SCALES``."""
        return (self.scales <= SCALES[0]) | (self.scales >= SCALES[1])

    def apply(self, row: int, column: int, values: Array, count: int) -> Array:
        """Return adjusted heights and uncertainties of a window.

        Parameters
        ----------
        row, column
            First row and column of the window.
        values
            float32 (planes, height, width): ``count`` planes of heights, then uncertainties.
        """
        number = self.windows[row, column]
        scale = self.scales[number]
        adjusted = values * np.float32(scale)
        adjusted[:count] += np.float32(self.offsets[number])
        if self.at_bound[number]:
            # Network and prior disagree: flattened relief does not make it more certain.
            adjusted[count:] = values[count:] * np.float32(max(1.0, scale))
        return np.asarray(adjusted, np.float32)

    def require_agreement(self, scene: str, bundle: str) -> None:
        """Raise DataError if the relief of nearly all windows is inverted against the prior.

        Parameters
        ----------
        scene, bundle
            Names for the message.
        """
        if self.absolute and np.mean(self.scales <= SCALES[0]) > _INVERTED:
            raise DataError(
                f"{scene}: the relief that bundle '{bundle}' sees in the image runs against the "
                "prior nearly everywhere",
                "check that image and prior show the same place, or use a bundle that sees the "
                "prior",
            )

    def save(self, path: Path, key: str) -> None:
        """Write the adjustment to a file, for an interrupted run to resume with."""
        save_arrays(
            path,
            key,
            windows=np.array(list(self.windows), np.int64).reshape(-1, 2),
            scales=self.scales,
            offsets=self.offsets,
            mismatch=np.array([self.before, self.after]),
            absolute=self.absolute,
        )


def load_adjustment(path: Path, key: str) -> Adjustment | None:
    """Read a saved adjustment; None if there is none with this key."""
    saved = load_arrays(path, key)
    if saved is None:
        return None
    before, after = saved["mismatch"]
    return Adjustment(
        {(int(r), int(c)): i for i, (r, c) in enumerate(saved["windows"])},
        saved["scales"],
        saved["offsets"],
        float(before),
        float(after),
        bool(saved["absolute"]),
    )


def adjust(
    windows: Iterable[tuple[Window, Array, Array | None]], size: int, overlap: int
) -> Adjustment:
    """Return the adjustment of windows.

    Parameters
    ----------
    windows
        Position in the raster; float32 (height, width) relative heights, NaN for no data; and
        float32 (height, width) heights of the prior in metres, NaN for no data. Either all
        windows have a prior, or none: the adjusted heights are absolute, or still relative.
    size
        Side of a window in pixels.
    overlap
        Minimum overlap of neighbours in pixels.
    """
    step = max(1, overlap // _ACROSS)
    numbers: dict[tuple[int, int], int] = {}
    samples: list[Samples] = []
    priors: list[Array] = []
    for window, heights, prior in windows:
        rows = _lattice(window.row, window.height, step)
        columns = _lattice(window.col, window.width, step)
        inside = np.ix_(rows - window.row, columns - window.col)
        numbers[window.row, window.col] = len(samples)
        samples.append(Samples(rows, columns, heights[inside]))
        if prior is not None:
            priors.append(prior[inside])
    overlaps = find_overlaps(numbers, samples, size)
    known = _prior_samples(samples, priors) if priors else None
    scales, offsets = solve(overlaps, known, len(samples))
    count = len(samples)
    return Adjustment(
        numbers,
        scales,
        offsets,
        mismatch(overlaps, np.ones(count), np.zeros(count)),
        mismatch(overlaps, scales, offsets),
        bool(priors),
    )


def _lattice(first: int, length: int, step: int) -> Indices:
    return np.arange(-(-first // step) * step, first + length, step)


def _prior_samples(samples: list[Samples], priors: list[Array]) -> PriorSamples:
    both = [np.isfinite(s.heights) & np.isfinite(p) for s, p in zip(samples, priors, strict=True)]
    return PriorSamples(
        np.repeat(np.arange(len(samples)), [int(b.sum()) for b in both]),
        np.concatenate([s.heights[b] for s, b in zip(samples, both, strict=True)]).astype(float),
        np.concatenate([p[b] for p, b in zip(priors, both, strict=True)]).astype(float),
    )


def find_overlaps(
    windows: Mapping[tuple[int, int], int], samples: Sequence[Samples], size: int
) -> Overlaps:
    """Return the common samples of all overlapping windows.

    Parameters
    ----------
    windows
        Number of each window, by its first row and column.
    size
        Side of a window in pixels.
    """
    rows = sorted({row for row, _ in windows})
    columns = sorted({column for _, column in windows})
    firsts: list[int] = []
    seconds: list[int] = []
    a: list[Array] = []
    b: list[Array] = []
    for (row, column), first in windows.items():
        for other in _later_overlapping(row, column, rows, columns, size):
            second = windows.get(other)
            if second is None:
                continue
            here, there = _common(samples[first], samples[second])
            known = np.isfinite(here) & np.isfinite(there)
            if known.any():
                firsts.append(first)
                seconds.append(second)
                a.append(here[known])
                b.append(there[known])
    empty = np.empty(0)
    return Overlaps(
        np.array(firsts, np.intp),
        np.array(seconds, np.intp),
        np.repeat(np.arange(len(a)), [part.size for part in a]),
        np.concatenate([*a, empty]).astype(np.float64),
        np.concatenate([*b, empty]).astype(np.float64),
    )


def _later_overlapping(
    row: int, column: int, rows: list[int], columns: list[int], size: int
) -> Iterator[tuple[int, int]]:
    """Yield the positions of windows that overlap one, each pair of windows once."""
    below = rows[bisect_left(rows, row) : bisect_left(rows, row + size)]
    across = columns[bisect_right(columns, column - size) : bisect_left(columns, column + size)]
    for r in below:
        for c in across:
            if r > row or c > column:
                yield r, c


def _common(one: Samples, two: Samples) -> tuple[Array, Array]:
    """Return the heights of both windows at their common lattice points."""
    _, r1, r2 = np.intersect1d(one.rows, two.rows, return_indices=True)
    _, c1, c2 = np.intersect1d(one.columns, two.columns, return_indices=True)
    return one.heights[np.ix_(r1, c1)], two.heights[np.ix_(r2, c2)]
