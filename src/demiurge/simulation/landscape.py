"""What grows and is built where, over tens of kilometres; and what it reflects."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.simulation.canvas import BUILDING, CROPS, FOREST, GRASS, ROCK, SNOW, WATER
from demiurge.simulation.farmland import field_numbers
from demiurge.simulation.fields import blur, fractal, gradients, quantile, slope_of
from demiurge.simulation.landforms import Land, metres_from
from demiurge.simulation.optical_settings import LandscapeSettings

#: Metres over which land by the water is wetter.
_NEAR_WATER = 500.0
#: Side of a field of crops, and height of a grown tree, in metres.
_FIELD, TREE = 260.0, 18.0


@dataclass(frozen=True)
class Landscape:
    """Land and its cover.

    Attributes
    ----------
    heights
        float32 (rows, columns) bare earth in metres.
    landcover
        uint8 class numbers.
    mix
        float32 0 … 1: how far a pixel is from the first to the second look of its class (lush to
        dry, broad-leaved to conifer, grown to bare).
    """

    heights: Array
    landcover: npt.NDArray[np.uint8]
    mix: Array


def grow_landscape(
    land: Land, gsd: float, settings: LandscapeSettings, rng: np.random.Generator
) -> Landscape:
    """Let cover follow height, slope, aspect and the distance to water.

    Parameters
    ----------
    land
        Bare earth; heights in metres above the sea.
    gsd
        Pixel size in metres.
    """
    shape = (land.heights.shape[0], land.heights.shape[1])
    heights, water = _lakes(land, settings)
    slope = slope_of(heights, gsd)
    chance = fractal(shape, 0.5, rng)
    wet = _wetness(heights, slope, water, gsd, settings, chance)
    landcover = np.full(shape, GRASS, np.uint8)
    cold = heights + 60 * chance
    landcover[(slope > 0.85) | (cold > settings.treeline + 500) | land.gravel] = ROCK
    free = (landcover == GRASS) & ~water
    _take(landcover, BUILDING, _town(wet, slope, gsd, rng), settings.town, free)
    flat = free & (slope < 0.12) & (cold < settings.treeline - 600)
    _take(landcover, CROPS, fractal(shape, 0.6, rng) - 4 * slope, settings.crops, flat)
    steep_or_high = np.clip(slope - 0.8, 0, 2) * 3 + np.clip(cold - settings.treeline, 0, None) / 80
    _take(landcover, FOREST, wet + 0.5 * chance - steep_or_high, settings.forest,
          free & (cold < settings.treeline))  # fmt: skip
    landcover[water] = WATER
    # Snow lies lower on the sides that the sun sees least.
    shade, _ = gradients(heights, gsd)
    snow = (cold - 250 * np.clip(shade, -1, 1) > settings.snowline) & (slope < 1.1)
    landcover[(snow | land.snow) & ~water] = SNOW
    mix = _mixed(landcover, wet, heights, gsd, settings, rng)
    return Landscape(heights, landcover, mix)


def _lakes(land: Land, settings: LandscapeSettings) -> tuple[Array, Mask]:
    if settings.water == 0:
        return land.heights, land.water
    level = np.float32(quantile(land.heights, settings.water))
    lake = cv2.morphologyEx(
        (land.heights < level).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)
    )
    heights = np.where(lake > 0, level, land.heights)
    return np.asarray(heights, np.float32), (lake > 0) | (land.water & (heights > level))


def _wetness(
    heights: Array,
    slope: Array,
    water: Mask,
    gsd: float,
    settings: LandscapeSettings,
    chance: Array,
) -> Array:
    """Return how much water plants find, about 0 to 1: by rain, relief, aspect and rivers."""
    wet = np.float32(settings.moisture) + np.float32(0.1) * chance
    hollow = blur(heights, 300 / gsd) - heights
    spread = max(float(hollow[::4, ::4].std()), 1e-6)
    wet += np.float32(0.1) * np.clip(hollow / np.float32(spread), -2, 2)
    # Rows count southward: land that rises southward faces north.
    north, _ = gradients(heights, gsd)
    wet += np.float32(0.25) * np.clip(north, -0.6, 0.6)
    wet -= np.float32(0.15) * np.minimum(slope, 1)
    if water.any():
        away = metres_from(water, gsd)
        wet += np.float32(0.25) * np.exp(away / np.float32(-_NEAR_WATER))
    return np.asarray(wet, np.float32)


def _town(wet: Array, slope: Array, gsd: float, rng: np.random.Generator) -> Array:
    """Return how good a place is to build on; towns are compact."""
    place = fractal((wet.shape[0], wet.shape[1]), 0.9, rng)
    return np.asarray(place + blur(wet, 200 / gsd) - 8 * blur(slope, 60 / gsd), np.float32)


def _take(
    landcover: npt.NDArray[np.uint8], number: int, score: Array, share: float, free: Mask
) -> None:
    """Give the best of what is free to a class, up to a share of the whole area."""
    step = max(1, int(np.sqrt(score.size / 250_000)))
    open_land = free & (landcover == GRASS)
    best = score[::step, ::step][open_land[::step, ::step]]
    room = best.size / score[::step, ::step].size
    if share <= 0 or room == 0:
        return
    limit = -np.inf if share >= room else float(np.quantile(best, 1 - share / room))
    landcover[open_land & (score > limit)] = number


def _mixed(
    landcover: npt.NDArray[np.uint8],
    wet: Array,
    heights: Array,
    gsd: float,
    settings: LandscapeSettings,
    rng: np.random.Generator,
) -> Array:
    """Return where between its two looks each pixel is."""
    shape = (wet.shape[0], wet.shape[1])
    fine = fractal(shape, 0.1, rng)
    mix = np.float32(1.05) - wet + np.float32(0.12) * fine
    crops = landcover == CROPS
    if crops.any():
        numbers = field_numbers(shape, _FIELD / gsd, rng)
        state = rng.beta(0.7, 0.7, int(numbers.max()) + 1).astype(np.float32)
        state = state * np.float32(0.6) + np.float32(0.4 * (1 - settings.moisture))
        np.copyto(mix, state[numbers] + np.float32(0.04) * fine, where=crops)
    trees = landcover == FOREST
    conifer = (heights - np.float32(settings.treeline - 900)) / 600 + np.float32(0.25) * fine
    np.copyto(mix, conifer, where=trees)
    other = (landcover == BUILDING) | (landcover == ROCK) | (landcover == SNOW)
    np.copyto(mix, np.float32(0.5) + np.float32(0.3) * fine, where=other)
    return np.clip(mix, 0, 1, out=mix)
