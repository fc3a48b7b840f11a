"""A place in full: land, what stands on it, and what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.simulation.canvas import (
    BUILDING,
    CROPS,
    FOREST,
    GRASS,
    ROAD,
    ROCK,
    SNOW,
    WATER,
    Canvas,
)
from demiurge.simulation.farmland import lay_fields
from demiurge.simulation.fields import blur, fractal, patches, quantile, slope_of
from demiurge.simulation.landforms import Land
from demiurge.simulation.settings import CoverSettings
from demiurge.simulation.town import build_town
from demiurge.simulation.trees import plant, plant_hedges

#: Mean panchromatic reflectance, spread of its texture, and NDVI by class.
_MATTER = {
    GRASS: (0.30, 0.05, 0.45),
    FOREST: (0.22, 0.05, 0.75),
    BUILDING: (0.40, 0.03, 0.05),
    ROAD: (0.22, 0.015, 0.05),
    WATER: (0.06, 0.004, -0.2),
    ROCK: (0.42, 0.06, 0.08),
    SNOW: (0.82, 0.008, -0.05),
    CROPS: (0.30, 0.025, 0.40),
}
#: How much of the shade of a thing shows in its NDVI: dark fields are green, bright ones bare.
_GREENER = {CROPS: -0.9, GRASS: 0.0}


@dataclass(frozen=True)
class World:
    """A place in full: what the views see and what the truth is.

    Attributes
    ----------
    dtm, dsm
        float32 bare-earth and surface heights in metres.
    landcover
        uint8 class numbers, 0 where unknown.
    albedo, ndvi
        float32 panchromatic reflectance 0 … 1, and vegetation index; no index if None.
    """

    dtm: Array
    dsm: Array
    landcover: npt.NDArray[np.uint8]
    albedo: Array
    ndvi: Array | None


def build_world(land: Land, gsd: float, settings: CoverSettings, rng: np.random.Generator) -> World:
    """Grow a cover on a land.

    Parameters
    ----------
    gsd
        Pixel size in metres.
    """
    dtm, lakes = _flood(land.heights, settings.water, gsd)
    water = lakes | (land.water & (land.heights >= dtm))
    canvas = Canvas.bare(dtm, gsd)
    slope = slope_of(blur(dtm, 2 / gsd), gsd)
    canvas.landcover[(slope > 0.9) | land.gravel] = ROCK
    canvas.landcover[land.snow] = SNOW
    closed = water | land.gravel | land.snow
    town = _patch(canvas, settings.town, rng, avoid=closed | (slope > 0.25))
    if town.any():
        build_town(canvas, town, settings, rng)
    closed |= town
    forest = _patch(canvas, settings.forest, rng, avoid=closed | (slope > 1.2))
    crops = _patch(canvas, settings.crops, rng, avoid=closed | forest | (slope > 0.2))
    hedges = lay_fields(canvas, crops, rng) if crops.any() else None
    plant(canvas, forest, settings, rng)
    if hedges is not None and settings.hedges:
        plant_hedges(canvas, hedges, rng)
    canvas.landcover[water] = WATER
    canvas.dsm[water] = dtm[water]
    albedo, ndvi = matter(canvas, rng)
    return World(dtm, canvas.dsm, canvas.landcover, albedo, ndvi)


def _flood(dtm: Array, share: float, gsd: float) -> tuple[Array, Mask]:
    """Fill the lowest places to a level, as lakes of some size."""
    if share == 0:
        return dtm, np.zeros(dtm.shape, bool)
    level = np.float32(quantile(dtm, share))
    side = 2 * max(1, int(3 / gsd)) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    wet = cv2.morphologyEx((dtm < level).astype(np.uint8), cv2.MORPH_OPEN, brush) > 0
    return np.asarray(np.where(wet, level, dtm), np.float32), np.asarray(wet)


def _patch(canvas: Canvas, share: float, rng: np.random.Generator, avoid: Mask) -> Mask:
    """Return ragged patches that cover a share of the area, but for what is to be avoided."""
    return patches(canvas.shape, share, rng) & ~avoid


def matter(canvas: Canvas, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return albedo with texture, and NDVI, by class."""
    shape = canvas.shape
    fine = blur(rng.standard_normal(shape, np.float32), 0.6)
    middle = fractal(shape, 0.2, rng)
    means, spreads, indices, greener = (np.zeros(256, np.float32) for _ in range(4))
    for number, (mean, spread, index) in _MATTER.items():
        means[number], spreads[number], indices[number] = mean, spread, index
        greener[number] = _GREENER.get(number, 0)
    base = means[canvas.landcover]
    texture = spreads[canvas.landcover] * (np.float32(1.2) * fine + np.float32(0.6) * middle)
    ndvi = indices[canvas.landcover] + np.float32(0.06) * middle + np.float32(0.03) * fine
    ndvi += greener[canvas.landcover] * canvas.shade
    del fine, middle
    broad = fractal(shape, 0.7, rng)
    broad *= np.float32(0.12)
    broad += canvas.shade
    # Snow is bright everywhere; slow changes of soil and plants do not show through.
    broad *= np.where(canvas.landcover == SNOW, np.float32(0.1), np.float32(1))
    albedo = base * (1 + broad) + texture
    np.clip(albedo, 0.02, 0.95, out=albedo)
    np.clip(ndvi, -1, 1, out=ndvi)
    return np.asarray(albedo, np.float32), np.asarray(ndvi, np.float32)
