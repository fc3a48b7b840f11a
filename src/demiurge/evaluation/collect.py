"""One pass over the rasters of a comparison: errors and class variables of every pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.evaluation.align import AlignedRasters
from demiurge.evaluation.columns import Column, Columns
from demiurge.evaluation.consistency import Moments
from demiurge.evaluation.inputs import BLOCK
from demiurge.evaluation.slopes import SlopeErrors, SlopeSums, near_steps
from demiurge.progress import Advance
from demiurge.raster.terrain import Gradient, aspect, gradient, slope
from demiurge.scene.grid import Window, blocks, grown, pixel_size
from demiurge.threads import map_ordered

#: Pixels around a block that its slopes and steps depend on.
_HALO = 4
_THREADS = 2

#: Lowest and highest height.
Range = tuple[float, float]


@dataclass
class Collected:
    """Results of the pass in addition to the columns.

    Attributes
    ----------
    count
        Pixels where the reference has a height.
    slopes
        Errors of slope and aspect, by role.
    ranges
        Lowest and highest height, by role; used to detect constant rasters.
    moments
        Joint moments of heights and reference, by role; used to detect heights in feet.
    """

    count: int = 0
    slopes: dict[str, SlopeErrors] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)


@dataclass(frozen=True)
class _BlockResult:
    """Results of one block."""

    pixels: float
    columns: dict[str, Column]
    slopes: dict[str, SlopeSums]
    ranges: dict[str, Range]
    moments: dict[str, Moments]


def collect(rasters: AlignedRasters, columns: Columns, advance: Advance) -> Collected:
    """Read the rasters block by block where the reference has heights.

    Fills the columns: the height error in metres by role of each surface; ``slope`` and
    ``aspect`` of the reference in degrees; ``step``, 1 near strong steps of the reference; and,
    if given, ``landcover``, ``above`` (metres above the ground) and ``uncertainty``.
    """
    collected = Collected()
    sums = {role: SlopeSums() for role in rasters.surfaces}
    shape = (int(rasters.grid.shape[0]), int(rasters.grid.shape[1]))
    windows = blocks(shape, BLOCK)
    work = partial(_block, rasters, shape)
    for block in map_ordered(work, windows, _THREADS):
        collected.count += len(block.columns["slope"])
        columns.add(block.columns)
        for role, part in block.slopes.items():
            sums[role].add(part)
        for role, (low, high) in block.ranges.items():
            before = collected.ranges.get(role, (low, high))
            collected.ranges[role] = (min(low, before[0]), max(high, before[1]))
        for role, moments in block.moments.items():
            collected.moments.setdefault(role, Moments()).merge(moments)
        advance(block.pixels / 1e6)
    collected.slopes = {role: part.errors() for role, part in sums.items() if part.slopes}
    return collected


def _block(rasters: AlignedRasters, shape: tuple[int, int], window: Window) -> _BlockResult:
    grid, gsd = rasters.grid, pixel_size(rasters.grid)
    wide = grown(window, _HALO, shape)
    row, col = window.row - wide.row, window.col - wide.col
    inner = (slice(row, row + window.height), slice(col, col + window.width))
    around = rasters.reference.read(grid, wide)
    known = np.isfinite(around[inner])
    if rasters.mask is not None:
        known &= rasters.mask.read(grid, window) > 0
    slopes = _cropped(gradient(around, gsd), inner, known)
    truth = around[inner][known]
    columns: dict[str, Column] = {
        "slope": slope(slopes),
        "aspect": aspect(slopes),
        "step": near_steps(around, gsd)[inner][known].astype(np.uint8),
    }
    gradients: dict[str, Gradient] = {}
    moments: dict[str, Moments] = {}
    ranges = _range("reference", truth)
    for role, surface in rasters.surfaces.items():
        heights = surface.read(grid, wide)
        gradients[role] = _cropped(gradient(heights, gsd), inner, known)
        here = heights[inner][known]
        ranges |= _range(role, here)
        moments[role] = Moments.of(here, truth)
        columns[role] = here - truth
    if rasters.uncertainty is not None:
        columns["uncertainty"] = rasters.uncertainty.read(grid, window)[known]
    if rasters.landcover is not None:
        columns["landcover"] = rasters.landcover.read(grid, window)[known]
    if rasters.ground is not None:
        columns["above"] = truth - rasters.ground.read(grid, window)[known]
    sums = _slope_sums(slopes, gradients)
    return _BlockResult(window.height * window.width, columns, sums, ranges, moments)


def _cropped(gradients: Gradient, inner: tuple[slice, slice], known: Mask) -> Gradient:
    return Gradient(gradients.down[inner][known], gradients.across[inner][known])


def _range(role: str, heights: Array) -> dict[str, Range]:
    known = heights[np.isfinite(heights)]
    return {role: (float(known.min()), float(known.max()))} if known.size else {}


def _slope_sums(reference: Gradient, surfaces: Mapping[str, Gradient]) -> dict[str, SlopeSums]:
    """Compare slopes where those of the reference and of all surfaces are known."""
    known: Mask = np.isfinite(reference.across) & np.isfinite(reference.down)
    for own in surfaces.values():
        known &= np.isfinite(own.across) & np.isfinite(own.down)
    kept = Gradient(reference.down[known], reference.across[known])
    return {
        role: SlopeSums.of(kept, Gradient(own.down[known], own.across[known]))
        for role, own in surfaces.items()
    }
