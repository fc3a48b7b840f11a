"""Land cover of an optical scene: what lies where, over kilometres.

The strengths of the relations to height and slope are those of real image and DEM pairs
(``benchmarks/optical_realism.py``): people farm and settle low and gentle ground, forest keeps the
rest, and chance decides most.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.raster.terrain import gradient
from demiurge.simulation.classes import BUILDING, CROPS, FOREST, GRASS, ROAD, ROCK, SNOW, WATER
from demiurge.simulation.filters import blur, quantile, resize, subsample
from demiurge.simulation.fractal import fractal
from demiurge.simulation.land import BareEarth, metres_from
from demiurge.simulation.landscape_settings import LandscapeSettings
from demiurge.simulation.objects import field_labels
from demiurge.simulation.roads import trace_roads

#: Length scale in metres over which the ground near water is wetter.
_NEAR_WATER = 500.0
#: Steepest farmed ground, as the tangent of the slope.
_STEEPEST_FIELD = 0.25


@dataclass(frozen=True)
class OpticalWorld:
    """A simulated place for a multispectral camera.

    Attributes
    ----------
    heights
        float32 (rows, columns) bare-earth heights in metres.
    landcover
        uint8 class numbers.
    mix
        float32 0 … 1: weight of the second spectrum of the class (dry grass, conifers, bare
        fields).
    shade
        float32 factor on the reflectance in all bands, about 1: soils, rocks, age of stands.
    """

    heights: Array
    landcover: npt.NDArray[np.uint8]
    mix: Array
    shade: Array


@dataclass(frozen=True)
class _Relief:
    """What the cover depends on, all float32 (rows, columns).

    Attributes
    ----------
    slope
        Tangent of the slope.
    steep
        Slope over the mean slope, less 1, clipped to −1 … 2.
    high
        Heights in standard deviations from their mean, clipped to ±2.
    hollow
        Depth below the surroundings of 300 m in standard deviations, clipped to ±2.
    poleward
        Tangent of the slope towards the nearer pole, clipped to ±0.6: positive where shaded.
    """

    slope: Array
    steep: Array
    high: Array
    hollow: Array
    poleward: Array


def build_optical_world(
    land: BareEarth, gsd: float, settings: LandscapeSettings, rng: np.random.Generator
) -> OpticalWorld:
    """Assign land cover by height, slope, aspect, distance to water, and chance.

    Parameters
    ----------
    land
        Bare earth; heights in metres above sea level.
    gsd
        Pixel size in metres.
    """
    shape = (land.heights.shape[0], land.heights.shape[1])
    heights, water, gravel = _water(land, settings, rng)
    relief = describe_relief(heights, gsd, settings)
    variation, grain = fractal(shape, 0.5, rng), fractal(shape, 0.1, rng)
    near: Array = np.zeros(shape, np.float32)
    if water.any():
        near = np.exp(metres_from(water, gsd) / -_NEAR_WATER).astype(np.float32)
    moisture = soil_moisture(relief, near, settings, variation, rng)
    landcover = np.full(shape, GRASS, np.uint8)
    # Height above the ragged limits of forest and snow, in metres.
    unit = np.float32(min(60.0, 0.25 * float(heights[::4, ::4].std())))
    bare, snowy = (_limit(heights, *s) for s in (
        (settings.treeline, settings.bare), (settings.snowline, settings.snow)))  # fmt: skip
    above = heights - np.float32(bare) + unit * variation
    rocky = (relief.slope + np.float32(0.12) * grain > 0.8) | (above > (8 + 2 * grain) * unit)
    landcover[rocky | gravel] = ROCK
    free = (landcover == GRASS) & ~water
    lowland = np.float32(-0.35) * relief.high - relief.steep
    _assign(landcover, BUILDING, _town_score(lowland, grain, rng), settings.town, free)
    gentle = free & (relief.slope < _STEEPEST_FIELD) & (above < -2 * unit)
    _assign(landcover, CROPS, fractal(shape, 0.6, rng) + lowland, settings.crops, gentle)
    score = _forest_score(relief, near, settings, variation, rng)
    score += np.float32(0.15) * grain - np.clip(relief.slope - 0.8, 0, 2) * 3
    score -= np.clip(above / (2 * unit) + 1, 0, None)
    _assign(landcover, FOREST, score, settings.forest, free & (above < 0))
    if settings.roads:
        landcover[trace_roads(heights, gsd, settings.roads, rng) & ~water] = ROAD
    landcover[water] = WATER
    # The snow line is lower on poleward slopes, which the sun reaches least.
    colder = heights + unit * variation + 4 * unit * relief.poleward
    snow = (colder > snowy) & (relief.slope < 1.1)
    landcover[(snow | land.snow) & ~water] = SNOW
    over = np.asarray(above / (8 * unit), np.float32)
    mix = _spectral_mix(landcover, moisture, over, grain, gsd, settings, rng)
    return OpticalWorld(heights, landcover, mix, _shade(landcover, variation, grain, settings, rng))


def describe_relief(heights: Array, gsd: float, settings: LandscapeSettings) -> _Relief:
    """Return slope, relative height and aspect."""
    # Ground that rises southward faces north.
    down, across = gradient(heights, gsd, edges="replicate")
    slope = np.asarray(cv2.magnitude(down, across), np.float32)
    poleward = np.clip(down if settings.latitude >= 0 else -down, -0.6, 0.6)
    mean = np.float32(max(float(slope[::4, ::4].mean()), 1e-6))
    steep = np.clip(slope / mean - 1, -1, 2)
    hollow = blur(heights, 300 / gsd) - heights
    return _Relief(slope, steep, _in_deviations(heights), _in_deviations(hollow), poleward)


def _in_deviations(raster: Array) -> Array:
    """Return a raster in standard deviations from its mean, clipped to ±2."""
    part = raster[::4, ::4]
    deviation = max(float(part.std()), 1e-6)
    relative = (raster - np.float32(part.mean())) / np.float32(deviation)
    return np.asarray(np.clip(relative, -2, 2), np.float32)


def _limit(heights: Array, line: float | None, share: float) -> float:
    """Return the height of a limit: given in metres, or by the share of the area above it."""
    if line is not None:
        return line
    return quantile(heights, 1 - share) if share > 0 else np.inf


def _water(
    land: BareEarth, settings: LandscapeSettings, rng: np.random.Generator
) -> tuple[Array, Mask, Mask]:
    """Fill the lowest ground to one level; return heights, all water, and gravel.

    Parts of the river beds are dry; without any, gravel banks are overgrown.
    """
    heights, water, gravel = land.heights, land.water, land.gravel
    if settings.dry == 0:
        gravel = np.zeros_like(gravel)
    elif water.any():
        field = resize(fractal((96, 96), 0.8, rng), water.shape)
        dry = water & (field > quantile(field, 1 - settings.dry))
        water, gravel = water & ~dry, gravel | dry
    if settings.water == 0:
        return heights, water, gravel
    level = np.float32(quantile(heights, settings.water))
    lake = cv2.morphologyEx(
        (heights < level).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)
    )
    heights = np.where(lake > 0, level, heights)
    return np.asarray(heights, np.float32), (lake > 0) | (water & (heights > level)), gravel


def soil_moisture(
    relief: _Relief,
    near: Array,
    settings: LandscapeSettings,
    variation: Array,
    rng: np.random.Generator,
) -> Array:
    """Return soil moisture, about 0 … 1, by climate, relief, aspect and distance to water."""
    moisture = np.float32(settings.moisture) + np.float32(0.12) * variation
    # Rain grows with height, in some climates more than in others.
    moisture += np.float32(rng.normal(0.04, 0.05)) * relief.high
    moisture += np.float32(0.03) * relief.hollow + np.float32(0.25) * relief.poleward
    moisture += np.float32(0.03) * relief.steep + np.float32(0.2) * near
    return np.asarray(moisture, np.float32)


def _forest_score(
    relief: _Relief,
    near: Array,
    settings: LandscapeSettings,
    variation: Array,
    rng: np.random.Generator,
) -> Array:
    """Return the suitability for forest: steep, high and shaded ground, and river banks."""
    dry = np.float32(1.5 - settings.moisture)
    score = variation + np.float32(rng.normal(0.2, 0.25)) * dry * relief.high
    score += np.float32(rng.normal(0.25, 0.15)) * relief.steep
    score -= np.float32(rng.normal(0.08, 0.15)) * relief.hollow
    score += 2 * dry * relief.poleward
    score += np.float32(rng.uniform(0, 1.5)) * near**2
    return np.asarray(score, np.float32)


def _town_score(lowland: Array, grain: Array, rng: np.random.Generator) -> Array:
    """Return the suitability for buildings: compact, with gardens between them."""
    shape = (lowland.shape[0], lowland.shape[1])
    small = (shape[0] // 4 + 1, shape[1] // 4 + 1)
    score = fractal(small, 0.8, rng) + blur(resize(lowland, small), 4.0)
    return resize(np.asarray(score, np.float32), shape) + np.float32(0.15) * grain


def _assign(
    landcover: npt.NDArray[np.uint8], number: int, score: Array, share: float, free: Mask
) -> None:
    """Assign a class to the free pixels of highest score, up to a share of the total area."""
    grass = free & (landcover == GRASS)
    scores = subsample(score)[subsample(grass)]
    available = scores.size / subsample(score).size
    if share <= 0 or available == 0:
        return
    limit = -np.inf if share >= available else float(np.quantile(scores, 1 - share / available))
    landcover[grass & (score > limit)] = number


def _spectral_mix(
    landcover: npt.NDArray[np.uint8],
    moisture: Array,
    above: Array,
    grain: Array,
    gsd: float,
    settings: LandscapeSettings,
    rng: np.random.Generator,
) -> Array:
    """Return the weight of the second spectrum of each pixel's class.

    ``above`` is the height above the treeline, −∞ without one; conifers grow below it.
    """
    shape = (moisture.shape[0], moisture.shape[1])
    fine = np.float32(0.12) * grain
    mix = np.float32(1.05) - moisture + fine
    crops = landcover == CROPS
    if crops.any():
        labels = field_labels(shape, max(settings.field / gsd, 2.5), rng)
        state = rng.beta(0.7, 0.7, int(labels.max()) + 1).astype(np.float32)
        state = state * np.float32(0.6) + np.float32(0.4 * (1 - settings.moisture))
        np.copyto(mix, state[labels] + fine / 2, where=crops)
    trees = landcover == FOREST
    np.copyto(mix, np.maximum(above + 1, settings.conifers) + 2 * fine, where=trees)
    np.copyto(mix, np.float32(0.15) + fine, where=landcover == WATER)
    other = (landcover == BUILDING) | (landcover == ROCK) | (landcover == SNOW)
    other |= landcover == ROAD
    np.copyto(mix, np.float32(0.5) + np.float32(0.3) * grain, where=other)
    return np.clip(mix, 0, 1, out=mix)


def _shade(
    landcover: npt.NDArray[np.uint8],
    variation: Array,
    grain: Array,
    settings: LandscapeSettings,
    rng: np.random.Generator,
) -> Array:
    """Return the relative brightness: bedrock and soil in broad areas, and the grain of plants."""
    shape = variation.shape
    broad = resize(fractal((shape[0] // 2 + 1, shape[1] // 2 + 1), 0.3, rng), shape)
    strength = np.full(256, settings.contrast, np.float32)
    # Water and snow hide the ground.
    strength[[WATER, SNOW]] *= np.float32(0.15)
    field = np.float32(0.8) * broad + np.float32(0.35) * grain
    return np.asarray(np.exp(strength[landcover] * np.clip(field, -2.5, 2.5)), np.float32)
