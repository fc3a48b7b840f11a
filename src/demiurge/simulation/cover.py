"""Land cover on the bare earth: the simulated worlds that the cameras see."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.raster.terrain import gradient
from demiurge.simulation.classes import (
    BUILDING,
    CROPS,
    FOREST,
    GRASS,
    NDVI_PER_SHADE,
    PANCHROMATIC,
    ROCK,
    SNOW,
    WATER,
)
from demiurge.simulation.filters import blur, quantile, slope_tangent, subsample
from demiurge.simulation.fractal import fractal, patches
from demiurge.simulation.land import BareEarth, metres_from
from demiurge.simulation.objects import (
    Canvas,
    build_town,
    draw_fields,
    field_labels,
    plant_hedges,
    plant_trees,
)
from demiurge.simulation.settings import CoverSettings, LandscapeSettings

#: Length scale in metres over which the ground near water is wetter.
_NEAR_WATER = 500.0
#: Side of a crop field in an optical world, in metres.
_FIELD_SIDE = 260.0


@dataclass(frozen=True)
class StereoWorld:
    """A simulated place for stereo cameras; its heights are the reference of the scene.

    Attributes
    ----------
    dtm, dsm
        float32 bare-earth and surface heights in metres.
    landcover
        uint8 class numbers, 0 where unknown.
    albedo
        float32 panchromatic reflectance 0 … 1.
    ndvi
        float32 vegetation index −1 … 1, or None.
    """

    dtm: Array
    dsm: Array
    landcover: npt.NDArray[np.uint8]
    albedo: Array
    ndvi: Array | None


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
    """

    heights: Array
    landcover: npt.NDArray[np.uint8]
    mix: Array


def build_stereo_world(
    land: BareEarth, gsd: float, settings: CoverSettings, rng: np.random.Generator
) -> StereoWorld:
    """Put lakes, towns, crops and trees on bare earth.

    Parameters
    ----------
    gsd
        Pixel size in metres.
    """
    dtm, lakes = _flood(land.heights, settings.water, gsd)
    water = lakes | (land.water & (land.heights >= dtm))
    canvas = Canvas.grass(dtm, gsd)
    slope = slope_tangent(blur(dtm, 2 / gsd), gsd)
    canvas.landcover[(slope > 0.9) | land.gravel] = ROCK
    canvas.landcover[land.snow] = SNOW
    taken = water | land.gravel | land.snow
    town = patches(canvas.shape, settings.town, rng) & ~(taken | (slope > 0.25))
    if town.any():
        build_town(canvas, town, settings, rng)
    taken |= town
    forest = patches(canvas.shape, settings.forest, rng) & ~(taken | (slope > 1.2))
    crops = patches(canvas.shape, settings.crops, rng) & ~(taken | forest | (slope > 0.2))
    hedges = draw_fields(canvas, crops, rng) if crops.any() else None
    plant_trees(canvas, forest, settings, rng)
    if hedges is not None and settings.hedges:
        plant_hedges(canvas, hedges, rng)
    canvas.landcover[water] = WATER
    canvas.dsm[water] = dtm[water]
    albedo, ndvi = draw_reflectance(canvas, rng)
    return StereoWorld(dtm, canvas.dsm, canvas.landcover, albedo, ndvi)


def _flood(dtm: Array, share: float, gsd: float) -> tuple[Array, Mask]:
    """Fill the lowest ground to one level; small ponds are left out."""
    if share == 0:
        return dtm, np.zeros(dtm.shape, bool)
    level = np.float32(quantile(dtm, share))
    side = 2 * max(1, int(3 / gsd)) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    wet = cv2.morphologyEx((dtm < level).astype(np.uint8), cv2.MORPH_OPEN, brush) > 0
    return np.asarray(np.where(wet, level, dtm), np.float32), np.asarray(wet)


def draw_reflectance(canvas: Canvas, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return panchromatic albedo 0.02 … 0.95 and NDVI −1 … 1 with texture, both float32."""
    shape = canvas.shape
    fine = blur(rng.standard_normal(shape, np.float32), 0.6)
    middle = fractal(shape, 0.2, rng)
    means, textures, indices, per_shade = (np.zeros(256, np.float32) for _ in range(4))
    for number, (mean, texture, index) in PANCHROMATIC.items():
        means[number], textures[number], indices[number] = mean, texture, index
        per_shade[number] = NDVI_PER_SHADE.get(number, 0)
    base = means[canvas.landcover]
    noise = textures[canvas.landcover] * (np.float32(1.2) * fine + np.float32(0.6) * middle)
    ndvi = indices[canvas.landcover] + np.float32(0.06) * middle + np.float32(0.03) * fine
    ndvi += per_shade[canvas.landcover] * canvas.shade
    del fine, middle
    broad = fractal(shape, 0.7, rng)
    broad *= np.float32(0.12)
    broad += canvas.shade
    # Snow hides the variation of soil and plants.
    broad *= np.where(canvas.landcover == SNOW, np.float32(0.1), np.float32(1))
    albedo = base * (1 + broad) + noise
    np.clip(albedo, 0.02, 0.95, out=albedo)
    np.clip(ndvi, -1, 1, out=ndvi)
    return np.asarray(albedo, np.float32), np.asarray(ndvi, np.float32)


def to_albedo(image: Array) -> Array:
    """Scale digital numbers to reflectance 0.02 … 0.9; no data becomes the mean.

    Parameters
    ----------
    image
        float32 (rows, columns), NaN for no data.
    """
    low, high = np.nanpercentile(subsample(image), (1, 99))
    scaled = (image - low) * np.float32(0.5 / max(high - low, 1e-9)) + np.float32(0.06)
    scaled = np.where(np.isnan(scaled), np.float32(np.nanmean(scaled)), scaled)
    return np.asarray(np.clip(scaled, 0.02, 0.9), np.float32)


def build_optical_world(
    land: BareEarth, gsd: float, settings: LandscapeSettings, rng: np.random.Generator
) -> OpticalWorld:
    """Assign land cover by height, slope, aspect and distance to water.

    Parameters
    ----------
    land
        Bare earth; heights in metres above sea level.
    gsd
        Pixel size in metres.
    """
    shape = (land.heights.shape[0], land.heights.shape[1])
    heights, water = _lakes(land, settings)
    slope = slope_tangent(heights, gsd)
    variation = fractal(shape, 0.5, rng)
    moisture = _moisture(heights, slope, water, gsd, settings, variation)
    landcover = np.full(shape, GRASS, np.uint8)
    # Height with the ragged limits of forest and snow.
    altitude = heights + 60 * variation
    landcover[(slope > 0.85) | (altitude > settings.treeline + 500) | land.gravel] = ROCK
    free = (landcover == GRASS) & ~water
    _assign(landcover, BUILDING, _town_score(moisture, slope, gsd, rng), settings.town, free)
    flat = free & (slope < 0.12) & (altitude < settings.treeline - 600)
    _assign(landcover, CROPS, fractal(shape, 0.6, rng) - 4 * slope, settings.crops, flat)
    limit = np.clip(slope - 0.8, 0, 2) * 3 + np.clip(altitude - settings.treeline, 0, None) / 80
    below = free & (altitude < settings.treeline)
    _assign(landcover, FOREST, moisture + 0.5 * variation - limit, settings.forest, below)
    landcover[water] = WATER
    # The snow line is lower on poleward slopes, which the sun reaches least.
    poleward = _poleward(heights, gsd, settings)
    snow = (altitude + 250 * np.clip(poleward, -1, 1) > settings.snowline) & (slope < 1.1)
    landcover[(snow | land.snow) & ~water] = SNOW
    mix = _spectral_mix(landcover, moisture, heights, gsd, settings, rng)
    return OpticalWorld(heights, landcover, mix)


def _lakes(land: BareEarth, settings: LandscapeSettings) -> tuple[Array, Mask]:
    """Fill the lowest ground to one level; return heights and all water."""
    if settings.water == 0:
        return land.heights, land.water
    level = np.float32(quantile(land.heights, settings.water))
    lake = cv2.morphologyEx(
        (land.heights < level).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)
    )
    heights = np.where(lake > 0, level, land.heights)
    return np.asarray(heights, np.float32), (lake > 0) | (land.water & (heights > level))


def _moisture(
    heights: Array,
    slope: Array,
    water: Mask,
    gsd: float,
    settings: LandscapeSettings,
    variation: Array,
) -> Array:
    """Return soil moisture, about 0 … 1, by climate, relief, aspect and distance to water."""
    moisture = np.float32(settings.moisture) + np.float32(0.1) * variation
    depth = blur(heights, 300 / gsd) - heights
    deviation = max(float(depth[::4, ::4].std()), 1e-6)
    moisture += np.float32(0.1) * np.clip(depth / np.float32(deviation), -2, 2)
    moisture += np.float32(0.25) * np.clip(_poleward(heights, gsd, settings), -0.6, 0.6)
    moisture -= np.float32(0.15) * np.minimum(slope, 1)
    if water.any():
        distance = metres_from(water, gsd)
        moisture += np.float32(0.25) * np.exp(distance / np.float32(-_NEAR_WATER))
    return np.asarray(moisture, np.float32)


def _poleward(heights: Array, gsd: float, settings: LandscapeSettings) -> Array:
    """Return the tangent of the slope towards the nearer pole: positive where shaded."""
    # Ground that rises southward faces north.
    north_facing = gradient(heights, gsd, edges="replicate").down
    return north_facing if settings.latitude >= 0 else -north_facing


def _town_score(moisture: Array, slope: Array, gsd: float, rng: np.random.Generator) -> Array:
    """Return the suitability for buildings; smooth, so that towns are compact."""
    score = fractal((moisture.shape[0], moisture.shape[1]), 0.9, rng)
    return np.asarray(score + blur(moisture, 200 / gsd) - 8 * blur(slope, 60 / gsd), np.float32)


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
    heights: Array,
    gsd: float,
    settings: LandscapeSettings,
    rng: np.random.Generator,
) -> Array:
    """Return the weight of the second spectrum of each pixel's class."""
    shape = (moisture.shape[0], moisture.shape[1])
    fine = fractal(shape, 0.1, rng)
    mix = np.float32(1.05) - moisture + np.float32(0.12) * fine
    crops = landcover == CROPS
    if crops.any():
        labels = field_labels(shape, _FIELD_SIDE / gsd, rng)
        state = rng.beta(0.7, 0.7, int(labels.max()) + 1).astype(np.float32)
        state = state * np.float32(0.6) + np.float32(0.4 * (1 - settings.moisture))
        np.copyto(mix, state[labels] + np.float32(0.04) * fine, where=crops)
    trees = landcover == FOREST
    conifer = (heights - np.float32(settings.treeline - 900)) / 600 + np.float32(0.25) * fine
    np.copyto(mix, conifer, where=trees)
    other = (landcover == BUILDING) | (landcover == ROCK) | (landcover == SNOW)
    np.copyto(mix, np.float32(0.5) + np.float32(0.3) * fine, where=other)
    return np.clip(mix, 0, 1, out=mix)
