"""One multispectral image of 10 to 30 m, its land, and the coarse model a user would have."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from demiurge.arrays import Array
from demiurge.simulation.canvas import FOREST
from demiurge.simulation.fields import blur, fractal, resized, slope_of
from demiurge.simulation.landforms import make_land
from demiurge.simulation.landscape import TREE, Landscape, grow_landscape
from demiurge.simulation.light import cast_shadows, facing_sun
from demiurge.simulation.optical_settings import OpticalSettings, PriorSettings
from demiurge.simulation.spectra import BANDS, DIFFUSE, LOOKS, NATIVE, PATH

#: Pixels around the scene that are made and cut away: shadows and the prior reach in from there.
MARGIN = 48
#: Digital numbers per unit of reflectance, as Sentinel-2 products have it.
SCALE = 10_000


@dataclass(frozen=True)
class Coarse:
    """A raster of larger pixels.

    Attributes
    ----------
    plane
        float32 (rows, columns).
    corner
        Metres by which its upper left corner lies east and south of the scene's.
    gsd
        Pixel size in metres.
    """

    plane: Array
    corner: tuple[float, float]
    gsd: float


@dataclass(frozen=True)
class OpticalScene:
    """Layers on the scene's grid, float32 (size, size), and layers on grids of their own."""

    layers: dict[str, Array]
    coarse: dict[str, Coarse] = field(default_factory=dict)


def simulate_optical(
    settings: OpticalSettings,
    rng: np.random.Generator,
    terrain: Array | None = None,
    known: float = 0.0,
) -> OpticalScene:
    """Make a scene with exact truth.

    Parameters
    ----------
    terrain
        Bare-earth heights of a real place in metres, float32 (size + 2 · MARGIN) a side; made if
        None.
    known
        Pixel size in metres of the file that the terrain comes from.

    Returns
    -------
    Bands as digital numbers of 10,000 times the reflectance, the truth, the land cover, and the
    coarse prior.
    """
    side = settings.size + 2 * MARGIN
    land = make_land((side, side), settings.gsd, settings.terrain, rng, terrain, known)
    if terrain is None:
        land.heights[...] += np.float32(settings.landscape.lowest)
    scape = grow_landscape(land, settings.gsd, settings.landscape, rng)
    del land
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    coarse = {"dem_prior": make_prior(scape, settings.gsd, settings.prior, rng)}
    layers = {
        "truth_dtm": scape.heights[inner].copy(),
        "landcover": scape.landcover[inner].astype(np.float32),
    }
    for name, plane in _bands(scape, settings, rng):
        native = NATIVE[name]
        if native > settings.gsd * 1.01:
            coarse[name] = _at_own_size(plane, settings.gsd, native)
        else:
            layers[name] = plane[inner].copy()
    return OpticalScene(layers, coarse)


def _bands(
    scape: Landscape, settings: OpticalSettings, rng: np.random.Generator
) -> list[tuple[str, Array]]:
    """Light the land and take it, band by band."""
    sun, gsd = settings.light, settings.gsd
    heights = _canopy(scape, 0.7)
    direct = facing_sun(heights, gsd, sun.azimuth, sun.elevation)
    direct *= cast_shadows(heights, gsd, sun.azimuth, sun.elevation, soft=0.5 * gsd)
    direct *= np.float32(1 / np.sin(np.radians(sun.elevation)))
    sky = 1 / (1 + slope_of(heights, gsd) ** 2) ** np.float32(0.25)
    haze = _haze(heights, settings.sky.haze, rng)
    wanted = [b for b in BANDS if b in ("blue", "green", "red", "nir", *settings.sensor.bands)]
    texture = 1 + np.float32(0.05) * rng.standard_normal(heights.shape, np.float32)
    found = []
    for name in wanted:
        seen = _reflectance(scape, name) * texture
        share = np.float32(DIFFUSE[name])
        seen *= (1 - share) * direct + share * sky
        thick = haze * np.float32(PATH[name])
        seen = seen * (1 - np.float32(1.5) * thick) + thick
        seen = blur(seen, settings.sensor.blur)
        seen += np.float32(settings.sensor.noise) * rng.standard_normal(seen.shape, np.float32)
        seen *= SCALE
        np.rint(seen, out=seen)
        found.append((name, np.clip(seen, 1, 65535, out=seen)))
    return found


def _canopy(scape: Landscape, share: float) -> Array:
    """Return heights with a share of the trees on them, ragged at the edges of forests."""
    trees = (scape.landcover == FOREST).astype(np.float32)
    return np.asarray(scape.heights + blur(trees, 0.6) * np.float32(share * TREE), np.float32)


def _reflectance(scape: Landscape, name: str) -> Array:
    band = BANDS.index(name)
    first, second = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for number, (one, two) in LOOKS.items():
        first[number], second[number] = one[band], two[band]
    found = first[scape.landcover]
    found += (second - first)[scape.landcover] * scape.mix
    return found


def _haze(heights: Array, amount: float, rng: np.random.Generator) -> Array:
    """Return how thick the haze is, 0 … 1: in slow swathes, thinner the higher the land."""
    swathes = resized(fractal((96, 96), 1.0, rng), heights.shape)
    above = np.clip(heights - np.float32(heights[::8, ::8].min()), 0, None)
    found = np.float32(amount) * (1 + np.float32(0.4) * swathes) * np.exp(above / -1500)
    return np.asarray(np.clip(found, 0, 1), np.float32)


def make_prior(
    scape: Landscape, gsd: float, settings: PriorSettings, rng: np.random.Generator
) -> Coarse:
    """Return what a global elevation model knows of the land.

    Smoothed beyond its own pixels, with noise that is correlated over neighbours and grows with
    slope, a small shift, and forests partly taken for ground.
    """
    ratio = settings.gsd / gsd
    seen = blur(_canopy(scape, settings.canopy), 0.7 * ratio)
    cells = int((scape.heights.shape[0] - 2 * MARGIN) / ratio) + 5
    move = rng.uniform(-settings.shift, settings.shift, 2)
    # Centres of the coarse cells, in pixels of the land; the grid starts two cells outside.
    centres = MARGIN - 0.5 + (np.arange(cells) - 1.5) * ratio
    x, y = (np.asarray(centres + m * ratio, np.float32) for m in move)
    columns, rows = np.meshgrid(x, y)
    sampled = cv2.remap(seen, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    plane = np.asarray(sampled, np.float32)
    noise = blur(rng.standard_normal(plane.shape, np.float32), 0.8)
    noise /= np.float32(max(float(noise.std()), 1e-9))
    plane += np.float32(settings.noise) * noise * (1 + 3 * slope_of(plane, settings.gsd))
    return Coarse(plane, (-2 * settings.gsd, -2 * settings.gsd), settings.gsd)


def _at_own_size(plane: Array, gsd: float, native: float) -> Coarse:
    """Average a band to the pixels that its sensor has."""
    cells = int(np.ceil((plane.shape[0] - 2 * MARGIN) * gsd / native)) + 2
    first = MARGIN - native / gsd
    side = cells * native / gsd
    # Blurred to the coarse pixel's size, then looked up at its centre.
    wide = blur(plane, 0.35 * native / gsd)
    centres = np.asarray(first - 0.5 + (np.arange(cells) + 0.5) * side / cells, np.float32)
    columns, rows = np.meshgrid(centres, centres)
    found = cv2.remap(wide, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Coarse(np.asarray(np.rint(found), np.float32), (-native, -native), native)
