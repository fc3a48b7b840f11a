"""Bare earth: eroded fractal heights with cliffs, terraces, river beds and snow."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from demiurge.arrays import Array, Mask
from demiurge.simulation.erosion import erode, route_water
from demiurge.simulation.filters import blur, quantile, slope_tangent, subsample
from demiurge.simulation.fractal import (
    coarse_noise,
    fading_patches,
    fractal,
    octave_noise,
    random_window,
    refinements,
    upsample,
    warp,
)
from demiurge.simulation.settings import TerrainSettings

#: Erosion runs on grids of this many cells a side; finer relief is fractal.
_EROSION_SIDES = (100, 400)
#: Factor on the number of erosion steps per doubling of the grid: finer grids cost four times as
#: much, and the large rivers already have their beds.
_STEPS_PER_DOUBLING = 0.35
#: Displacement of valleys after erosion, as a share of the land's side.
_MEANDERING = 0.006
#: Rivers are routed on a grid of at most this many cells a side.
_ROUTED_SIDE = 400
#: Least share of the area that drains through a cell of a river.
_RIVER_SHARE = 0.004


@dataclass(frozen=True)
class BareEarth:
    """Bare-earth heights and surface masks.

    Attributes
    ----------
    heights
        float32 (rows, columns) in metres; water is level across a river and falls along it.
    water, gravel, snow
        bool masks of that shape.
    """

    heights: Array
    water: Mask
    gravel: Mask
    snow: Mask


def make_bare_earth(
    shape: tuple[int, int],
    gsd: float,
    settings: TerrainSettings,
    rng: np.random.Generator,
    real_heights: Array | None = None,
    source_gsd: float = 0.0,
) -> BareEarth:
    """Simulate bare earth, or complete real heights.

    Parameters
    ----------
    shape, gsd
        Rows and columns, and the pixel size in metres.
    real_heights
        float32 heights of a real place in metres. Only detail finer than ``source_gsd`` and snow
        are added.
    source_gsd
        Pixel size in metres of the file of the real heights.
    """
    none = np.zeros(shape, bool)
    if real_heights is not None:
        heights = add_detail(real_heights, gsd, source_gsd, rng, settings.detail)
        snow = _snow_mask(heights, gsd, settings.snow, rng)
        return BareEarth(heights, none, none, snow)
    relief = settings.relief_over(max(shape) * gsd)
    heights = make_heights(shape, relief, settings.roughness, settings.erosion, rng)
    if settings.valleys != 1:
        heights = widen_valleys(heights, relief, settings.valleys)
    if settings.cliffs:
        step = float(np.clip(0.3 * relief, 4, 60))
        heights = add_steps(heights, step, 9.0, settings.cliffs, rng)
    if settings.terraces:
        heights = add_steps(heights, settings.terrace_height, 6.0, settings.terraces, rng)
    land = BareEarth(heights, none, none, none)
    if settings.river:
        land = carve_rivers(heights, gsd, settings.river, rng)
    snow = _snow_mask(land.heights, gsd, settings.snow, rng)
    if not snow.any():
        return land
    smooth = smooth_snow(land.heights, snow, gsd)
    return BareEarth(smooth, land.water & ~snow, land.gravel & ~snow, snow)


def make_heights(
    shape: tuple[int, int],
    relief: float,
    hurst: float,
    steps: int,
    rng: np.random.Generator,
) -> Array:
    """Return eroded fractal heights: float32 metres, the lowest about 0.

    Parameters
    ----------
    shape
        Rows and columns.
    relief
        Range of heights in metres between the 1st and 99th percentile.
    hurst
        Hurst exponent of the fractal; larger is smoother.
    steps
        Erosion steps on the coarsest grid, fewer on finer ones; 0 disables erosion.
    """
    heights = coarse_noise(shape, rng)
    for index in range(1, refinements(shape) + 1):
        heights = upsample(heights)
        heights = _refined(heights, hurst, index, rng)
        side = max(heights.shape)
        if steps and _EROSION_SIDES[0] <= side <= _EROSION_SIDES[1]:
            share = _STEPS_PER_DOUBLING ** int(np.log2(side / _EROSION_SIDES[0]))
            eroded = erode(heights, max(4, round(steps * share)), rng)
            # Uplift: keep the range of heights.
            heights = (eroded - eroded.mean()) * np.float32(heights.std() / max(eroded.std(), 1e-9))
            # Routing in eight directions digs straight valleys; bend them.
            heights = warp(heights, _MEANDERING * side, rng)
    return scale_to_relief(random_window(heights, shape, rng), relief)


def _refined(heights: Array, hurst: float, index: int, rng: np.random.Generator) -> Array:
    """Add the noise of a refinement; after erosion, less on gentle slopes and valley floors."""
    noise = octave_noise(heights.shape, hurst, index, rng)
    if max(heights.shape) <= _EROSION_SIDES[1]:
        return heights + noise
    slope = slope_tangent(heights, 1.0)
    typical = max(float(slope[::4, ::4].mean()), 1e-9)
    weight = np.minimum(np.float32(0.1) + slope * np.float32(0.2 / typical), np.float32(0.4))
    return np.asarray(heights + noise * weight, np.float32)


def scale_to_relief(heights: Array, relief: float) -> Array:
    """Scale heights so that their 1st and 99th percentiles are 0 and ``relief`` metres."""
    low, high = np.percentile(subsample(heights), (1, 99))
    return np.asarray((heights - low) * np.float32(relief / max(high - low, 1e-9)), np.float32)


def widen_valleys(heights: Array, relief: float, exponent: float) -> Array:
    """Return heights with flat low ground and steep summits, or the reverse below 1.

    The order of heights and so the courses of rivers stay.

    Parameters
    ----------
    heights
        float32 metres; 0 and ``relief`` stay.
    """
    share = heights / np.float32(relief)
    raised = np.sign(share) * np.abs(share) ** np.float32(exponent)
    return np.asarray(raised * np.float32(relief), np.float32)


def add_detail(
    heights: Array, gsd: float, source_gsd: float, rng: np.random.Generator, factor: float = 1.0
) -> Array:
    """Add relief finer than the source's pixels, extrapolated from the source's roughness.

    Parameters
    ----------
    heights
        float32 in metres, upsampled from a coarser grid.
    gsd, source_gsd
        Pixel size of the heights, and of their source, in metres.
    factor
        Factor on the amplitude.
    """
    lag = max(1, round(source_gsd / gsd))
    if factor == 0 or lag < 2 or min(heights.shape) <= 2 * lag:
        return heights
    curvature = heights[lag:-lag:4] * 2 - heights[: -2 * lag : 4] - heights[2 * lag :: 4]
    roughness = float(1.4826 * np.median(np.abs(curvature - np.median(curvature))))
    detail = fractal((heights.shape[0], heights.shape[1]), 0.85, rng)
    detail -= blur(detail, lag / 2)
    deviation = max(float(detail[::4, ::4].std()), 1e-9)
    amplitude = np.float32(factor * 0.15 * roughness / deviation)
    return np.asarray(heights + detail * amplitude, np.float32)


def add_steps(
    heights: Array, step: float, sharpness: float, share: float, rng: np.random.Generator
) -> Array:
    """Turn slopes into steps (cliffs, terraces) in patches that cover a share of the area.

    Parameters
    ----------
    step
        Height of a step in metres.
    sharpness
        Slope of a riser over the original slope.
    """
    shape = (heights.shape[0], heights.shape[1])
    # Risers deviate from the contour lines, as strata and terrace walls do.
    offset = fractal(shape, 1.0, rng) * np.float32(0.35)
    position = heights / np.float32(step) + offset
    level = np.floor(position)
    riser = position - level
    riser -= np.float32(0.5)
    riser *= np.float32(sharpness)
    riser += np.float32(0.5)
    np.clip(riser, 0, 1, out=riser)
    riser = riser * riser * (3 - 2 * riser)
    # Treads keep 12 % of the slope.
    level += np.float32(0.88) * riser + np.float32(0.12) * (position - level)
    change = level * np.float32(step) - heights
    change -= np.float32(change.mean())
    return np.asarray(heights + change * fading_patches(shape, share, rng), np.float32)


def _snow_mask(heights: Array, gsd: float, share: float, rng: np.random.Generator) -> Mask:
    """Return the snow cover: high ground that is not too steep."""
    shape = (heights.shape[0], heights.shape[1])
    if share <= 0:
        return np.zeros(shape, bool)
    deviation = float(heights[::4, ::4].std())
    score = heights + fractal(shape, 0.8, rng) * np.float32(0.25 * deviation)
    steepness = blur(slope_tangent(blur(heights, 2 / gsd), gsd), 2 / gsd)
    score -= np.float32(deviation) * np.clip(steepness - np.float32(0.8), 0, 2) * 4
    return np.asarray(score > quantile(score, 1 - share))


def smooth_snow(heights: Array, snow: Mask, gsd: float) -> Array:
    """Fill the ground under snow to a smooth surface; the depth decreases at the edge."""
    weight = blur(snow.astype(np.float32), max(3 / gsd, 1.0))
    wide = blur(heights, max(6 / gsd, 2.0))
    depth = np.maximum(wide - heights, np.float32(-0.3))
    return np.asarray(heights + weight * depth, np.float32)


def carve_rivers(heights: Array, gsd: float, width: float, rng: np.random.Generator) -> BareEarth:
    """Cut river beds along the drainage lines.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres.
    gsd
        Pixel size in metres.
    width
        Width of the bed of the largest river in metres. Other widths follow the square root of
        the drained area (hydraulic geometry, Leopold and Maddock 1953, USGS Professional Paper
        252).
    """
    shape = (heights.shape[0], heights.shape[1])
    bed = river_beds(heights, gsd, width, rng)
    if not bed.any():
        none = np.zeros(shape, bool)
        return BareEarth(heights, none, none, none)
    outside, inside = (metres_from(mask, gsd) for mask in (bed, ~bed))
    # The water level is the local mean of the bed: it falls along the river.
    sigma = max(1.2 * width / gsd, 2.0)
    weight = bed.astype(np.float32)
    level = blur(heights * weight, sigma) / np.maximum(blur(weight, sigma), np.float32(1e-6))
    level -= np.float32(0.08 * width**0.5)
    bank = np.clip(1 - outside / np.float32(2.5 * width), 0, 1)
    bank = bank * bank * (3 - 2 * bank)
    lower = np.minimum(heights, level + np.float32(0.02) * outside)
    carved = heights + bank * (lower - heights)
    bars = fractal(shape, 0.6, rng)
    wet = bed & (inside > np.float32(0.15 * width) * (1 + bars))
    gravel = bed & ~wet
    carved = np.where(wet, level, np.where(gravel, level + np.float32(0.2), carved))
    return BareEarth(np.asarray(carved, np.float32), wet, gravel, np.zeros(shape, bool))


def river_beds(heights: Array, gsd: float, width: float, rng: np.random.Generator) -> Mask:
    """Return the mask of river beds; those narrower than half a pixel are left out."""
    shape = heights.shape
    factor = max(1, -(-max(shape) // _ROUTED_SIDE))
    small = cv2.resize(
        heights, (shape[1] // factor, shape[0] // factor), interpolation=cv2.INTER_AREA
    )
    flow = route_water(np.asarray(small, np.float32), rng)
    river = flow.drained > _RIVER_SHARE * flow.drained.size
    position = np.stack(np.divmod(np.arange(flow.drained.size), small.shape[1]), axis=1) + 0.5
    position += rng.uniform(-0.35, 0.35, position.shape)
    _smooth_courses(position, flow.receiver, river, 6)
    position *= np.array([shape[0] / small.shape[0], shape[1] / small.shape[1]])
    mask = np.zeros(shape, np.uint8)
    widths = width / gsd * np.sqrt(flow.drained / flow.drained.max())
    for i in np.flatnonzero(river & (flow.receiver >= 0) & (widths >= 0.5)):
        (r0, c0), (r1, c1) = position[i], position[flow.receiver[i]]
        ends = [(round(16 * c), round(16 * r)) for r, c in ((r0, c0), (r1, c1))]
        cv2.line(mask, ends[0], ends[1], 1, max(1, round(widths[i])), cv2.LINE_8, 4)
    return mask.astype(bool)


def metres_from(mask: Mask, gsd: float) -> Array:
    """Return the distance of each pixel from a mask in metres, float32."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance, np.float32) * np.float32(gsd)


@njit(cache=True)
def _smooth_courses(position, receiver, river, times):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Smooth river courses in place; routing in eight directions makes them angular."""
    for _ in range(times):
        sums = position.copy()
        count = np.ones(receiver.size)
        for i in range(receiver.size):
            j = receiver[i]
            if river[i] and j >= 0:
                sums[i] += position[j]
                count[i] += 1
                sums[j] += position[i]
                count[j] += 1
        for i in range(receiver.size):
            if river[i]:
                position[i] = sums[i] / count[i]
