"""One pass over all rasters of a comparison: errors and classes of every pixel of the reference."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.evaluation.agreement import Moments
from demiurge.evaluation.columns import Column, Columns
from demiurge.evaluation.judged import BLOCK, Judged
from demiurge.evaluation.shape import (
    Gradient,
    ShapeErrors,
    ShapeSums,
    aspect,
    beside_steps,
    gradient,
    steepness,
)
from demiurge.progress import Advance
from demiurge.scene.grid import Window, blocks, grown, pixel_size
from demiurge.scene.source import Source

T = TypeVar("T")

#: Pixels around a block that its slopes and steps depend on.
_HALO = 4
_THREADS = 2


@dataclass(frozen=True)
class Pair:
    """All rasters of a comparison.

    Attributes
    ----------
    judged
        Heights by role: ``surface``, perhaps ``baseline`` and trivial rivals.
    reference
        Heights they are judged by.
    grid
        The grid of the comparison.
    landcover, ground, mask, spread
        Classes; bare earth under the reference; 0 where nothing is to be compared; the surface's
        own standard deviations in metres.
    """

    judged: Mapping[str, Judged]
    reference: Source
    grid: GeoBox
    landcover: Source | None = None
    ground: Source | None = None
    mask: Source | None = None
    spread: Judged | None = None


@dataclass
class Collected:
    """What the pass found besides the columns.

    Attributes
    ----------
    count
        Pixels where the reference has a height.
    shapes
        Errors of slope and aspect, by role.
    ranges
        Lowest and highest height of surface and reference, to tell constant rasters.
    moments
        Of the heights and the reference, by role, to tell feet from metres.
    """

    count: int = 0
    shapes: dict[str, ShapeErrors] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)


@dataclass(frozen=True)
class _Piece:
    """A block as a thread has made it."""

    pixels: float
    columns: dict[str, Column]
    shapes: dict[str, ShapeSums]
    ranges: dict[str, tuple[float, float]]
    moments: dict[str, Moments]


def collect(pair: Pair, columns: Columns, advance: Advance) -> Collected:
    """Read rasters block by block where the reference has heights.

    Fills the columns with each judged raster's height − reference in metres, by role; ``slope``
    of the reference and ``aspect``, where it faces, both in degrees; ``step``, 1 beside strong
    steps of the reference; and where given ``landcover``, ``above``, metres above the ground, and
    ``spread``.
    """
    found = Collected()
    sums = {role: ShapeSums() for role in pair.judged}
    shape = (int(pair.grid.shape[0]), int(pair.grid.shape[1]))
    for piece in _in_order(lambda window: _piece(pair, window, shape), blocks(shape, BLOCK)):
        found.count += len(piece.columns["slope"])
        columns.add(piece.columns)
        for role, part in piece.shapes.items():
            sums[role].add(part)
        for role, (low, high) in piece.ranges.items():
            before = found.ranges.get(role, (low, high))
            found.ranges[role] = (min(low, before[0]), max(high, before[1]))
        for role, moments in piece.moments.items():
            found.moments.setdefault(role, Moments()).add(moments)
        advance(piece.pixels / 1e6)
    found.shapes = {role: part.errors() for role, part in sums.items() if part.slopes}
    return found


def _in_order(work: Callable[[Window], T], windows: Iterator[Window]) -> Iterator[T]:
    """Do the work in threads, a few windows ahead, and yield it in order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[T]] = deque()
        for window in windows:
            waiting.append(pool.submit(work, window))
            if len(waiting) > 2 * _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _piece(pair: Pair, window: Window, shape: tuple[int, int]) -> _Piece:
    grid, gsd = pair.grid, pixel_size(pair.grid)
    wide = grown(window, _HALO, shape)
    row, col = window.row - wide.row, window.col - wide.col
    inner = (slice(row, row + window.height), slice(col, col + window.width))
    around = pair.reference.read(grid, wide)
    truth = around[inner]
    known = np.isfinite(truth)
    if pair.mask is not None:
        known &= pair.mask.read(grid, window) > 0
    slopes = gradient(around, gsd)
    flat = Gradient(slopes.across[inner][known], slopes.down[inner][known])
    held = truth[known]
    columns: dict[str, Column] = {
        "slope": steepness(flat),
        "aspect": aspect(flat),
        "step": beside_steps(around, gsd)[inner][known].astype(np.uint8),
    }
    theirs: dict[str, Gradient] = {}
    ranges: dict[str, tuple[float, float]] = {}
    moments: dict[str, Moments] = {}
    _note_range(ranges, "reference", held)
    for role, judged in pair.judged.items():
        heights = judged.read(grid, wide)
        own = gradient(heights, gsd)
        theirs[role] = Gradient(own.across[inner][known], own.down[inner][known])
        here = heights[inner][known]
        _note_range(ranges, role, here)
        moments[role] = Moments.of(here, held)
        columns[role] = here - held
    if pair.spread is not None:
        columns["spread"] = pair.spread.read(grid, window)[known]
    if pair.landcover is not None:
        columns["landcover"] = pair.landcover.read(grid, window)[known]
    if pair.ground is not None:
        columns["above"] = held - pair.ground.read(grid, window)[known]
    return _Piece(window.height * window.width, columns, _shapes(flat, theirs), ranges, moments)


def _note_range(ranges: dict[str, tuple[float, float]], role: str, heights: Array) -> None:
    known = heights[np.isfinite(heights)]
    if known.size:
        ranges[role] = (float(known.min()), float(known.max()))


def _shapes(truth: Gradient, found: Mapping[str, Gradient]) -> dict[str, ShapeSums]:
    """Compare slopes where the reference and all that are judged have them."""
    known: Mask = np.isfinite(truth.across) & np.isfinite(truth.down)
    for own in found.values():
        known &= np.isfinite(own.across) & np.isfinite(own.down)
    kept = Gradient(truth.across[known], truth.down[known])
    return {
        role: ShapeSums.of(kept, Gradient(own.across[known], own.down[known]))
        for role, own in found.items()
    }
