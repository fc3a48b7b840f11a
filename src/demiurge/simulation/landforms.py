"""What makes a land more than a fractal: cliffs, terraces, river beds, smooth snow."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from demiurge.arrays import Array, Mask
from demiurge.simulation.fields import blur, fading, fractal, quantile, slope_of
from demiurge.simulation.settings import TerrainSettings
from demiurge.simulation.terrain import add_detail, drainage, make_terrain

#: Rivers are found on a grid of at most this many cells a side.
_ROUTED = 400
#: The share of the land that must drain through a cell for it to be a river.
_SOURCE = 0.004


@dataclass(frozen=True)
class Land:
    """Bare earth and what it is made of.

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


def make_land(
    shape: tuple[int, int],
    gsd: float,
    settings: TerrainSettings,
    rng: np.random.Generator,
    given: Array | None = None,
    known: float = 0.0,
) -> Land:
    """Make bare earth, or take it as given.

    Parameters
    ----------
    shape, gsd
        Rows and columns, and the pixel size in metres.
    given
        Heights of a real place, float32 in metres, used as they are but for detail finer than
        ``known``, the pixel size of the file that they come from.
    """
    none = np.zeros(shape, bool)
    if given is not None:
        heights = add_detail(given, gsd, known, rng, settings.detail)
        return Land(heights, none, none, _snow(heights, gsd, settings.snow, rng))
    relief = settings.relief_over(max(shape) * gsd)
    heights = make_terrain(shape, relief, settings.roughness, settings.erosion, rng)
    if settings.cliffs:
        step = float(np.clip(0.3 * relief, 4, 60))
        heights = stairs(heights, step, 9.0, settings.cliffs, rng)
    if settings.terraces:
        heights = stairs(heights, settings.terrace_height, 6.0, settings.terraces, rng)
    land = Land(heights, none, none, none)
    if settings.river:
        land = carve_rivers(heights, gsd, settings.river, rng)
    snow = _snow(land.heights, gsd, settings.snow, rng)
    if not snow.any():
        return land
    smooth = smooth_snow(land.heights, snow, gsd)
    return Land(smooth, land.water & ~snow, land.gravel & ~snow, snow)


def stairs(
    heights: Array, step: float, sharpness: float, share: float, rng: np.random.Generator
) -> Array:
    """Turn slopes into treads and risers, in patches that cover a share of the area.

    Parameters
    ----------
    step
        Height of a riser in metres.
    sharpness
        How much steeper a riser is than the slope was.
    """
    shape = (heights.shape[0], heights.shape[1])
    # Risers wander off the contour lines, as strata and terrace walls do.
    bend = fractal(shape, 1.0, rng) * np.float32(0.35)
    place = heights / np.float32(step) + bend
    level = np.floor(place)
    rest = place - level
    rest -= np.float32(0.5)
    rest *= np.float32(sharpness)
    rest += np.float32(0.5)
    np.clip(rest, 0, 1, out=rest)
    rest = rest * rest * (3 - 2 * rest)
    # Treads keep a little of the slope.
    level += np.float32(0.88) * rest + np.float32(0.12) * (place - level)
    change = level * np.float32(step) - heights
    change -= np.float32(change.mean())
    return np.asarray(heights + change * fading(shape, share, rng), np.float32)


def _snow(heights: Array, gsd: float, share: float, rng: np.random.Generator) -> Mask:
    """Return where snow lies: high, and not where it is too steep to hold."""
    shape = (heights.shape[0], heights.shape[1])
    if share <= 0:
        return np.zeros(shape, bool)
    spread = float(heights[::4, ::4].std())
    field = heights + fractal(shape, 0.8, rng) * np.float32(0.25 * spread)
    steep = blur(slope_of(blur(heights, 2 / gsd), gsd), 2 / gsd)
    field -= np.float32(spread) * np.clip(steep - np.float32(0.8), 0, 2) * 4
    return np.asarray(field > quantile(field, 1 - share))


def smooth_snow(heights: Array, snow: Mask, gsd: float) -> Array:
    """Fill what lies under snow to a smooth surface; its edge thins out."""
    weight = blur(snow.astype(np.float32), max(3 / gsd, 1.0))
    wide = blur(heights, max(6 / gsd, 2.0))
    depth = np.maximum(wide - heights, np.float32(-0.3))
    return np.asarray(heights + weight * depth, np.float32)


def carve_rivers(heights: Array, gsd: float, width: float, rng: np.random.Generator) -> Land:
    """Lay beds along the rivers that the land drains by.

    Parameters
    ----------
    width
        Of the bed of the largest river in metres; others are narrower with the square root of
        what they drain (the hydraulic geometry of Leopold and Maddock 1953).
    """
    shape = (heights.shape[0], heights.shape[1])
    core = _river_mask(heights, gsd, width, rng)
    if not core.any():
        none = np.zeros(shape, bool)
        return Land(heights, none, none, none)
    away, inside = (metres_from(mask, gsd) for mask in (core, ~core))
    # The level of the water is that of the bed around, so it falls along the river.
    reach = max(1.2 * width / gsd, 2.0)
    weight = core.astype(np.float32)
    level = blur(heights * weight, reach) / np.maximum(blur(weight, reach), np.float32(1e-6))
    level -= np.float32(0.08 * width**0.5)
    bank = np.clip(1 - away / np.float32(2.5 * width), 0, 1)
    bank = bank * bank * (3 - 2 * bank)
    lower = np.minimum(heights, level + np.float32(0.02) * away)
    carved = heights + bank * (lower - heights)
    bars = fractal(shape, 0.6, rng)
    wet = core & (inside > np.float32(0.15 * width) * (1 + bars))
    gravel = core & ~wet
    carved = np.where(wet, level, np.where(gravel, level + np.float32(0.2), carved))
    return Land(np.asarray(carved, np.float32), wet, gravel, np.zeros(shape, bool))


def _river_mask(heights: Array, gsd: float, width: float, rng: np.random.Generator) -> Mask:
    """Draw the beds."""
    shape = heights.shape
    factor = max(1, -(-max(shape) // _ROUTED))
    small = cv2.resize(
        heights, (shape[1] // factor, shape[0] // factor), interpolation=cv2.INTER_AREA
    )
    found = drainage(np.asarray(small, np.float32), rng)
    river = found.drained > _SOURCE * found.drained.size
    place = np.stack(np.divmod(np.arange(found.drained.size), small.shape[1]), axis=1) + 0.5
    place += rng.uniform(-0.35, 0.35, place.shape)
    _straighten(place, found.receiver, river, 6)
    place *= np.array([shape[0] / small.shape[0], shape[1] / small.shape[1]])
    mask = np.zeros(shape, np.uint8)
    # By the hydraulic geometry; brooks of less than half a pixel are not drawn.
    wide = width / gsd * np.sqrt(found.drained / found.drained.max())
    for i in np.flatnonzero(river & (found.receiver >= 0) & (wide >= 0.5)):
        (r0, c0), (r1, c1) = place[i], place[found.receiver[i]]
        ends = [(round(16 * c), round(16 * r)) for r, c in ((r0, c0), (r1, c1))]
        cv2.line(mask, ends[0], ends[1], 1, max(1, round(wide[i])), cv2.LINE_8, 4)
    return mask.astype(bool)


def metres_from(mask: Mask, gsd: float) -> Array:
    """Return how far each pixel is from a mask, in metres."""
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away, np.float32) * np.float32(gsd)


@njit(cache=True)
def _straighten(place, receiver, river, times):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Smooth courses along the flow: a lattice of eight directions would show."""
    for _ in range(times):
        sums = place.copy()
        count = np.ones(receiver.size)
        for i in range(receiver.size):
            j = receiver[i]
            if river[i] and j >= 0:
                sums[i] += place[j]
                count[i] += 1
                sums[j] += place[i]
                count[j] += 1
        for i in range(receiver.size):
            if river[i]:
                place[i] = sums[i] / count[i]
