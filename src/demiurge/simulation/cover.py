"""Land cover of a stereo scene: the simulated world that the cameras see."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.simulation.classes import (
    NDVI_PER_SHADE,
    PANCHROMATIC,
    ROCK,
    SNOW,
    WATER,
)
from demiurge.simulation.filters import blur, quantile, slope_tangent, subsample
from demiurge.simulation.fractal import fractal, patches
from demiurge.simulation.land import BareEarth
from demiurge.simulation.objects import (
    Canvas,
    build_town,
    draw_fields,
    plant_hedges,
    plant_trees,
)
from demiurge.simulation.settings import CoverSettings


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
