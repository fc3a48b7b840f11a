"""An optical scene: one multispectral image of 10 to 30 m, its terrain, and a coarse prior."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from demiurge.arrays import Array
from demiurge.simulation.classes import (
    BANDS,
    DIFFUSE_SHARE,
    FOREST,
    HAZE_REFLECTANCE,
    NATIVE_GSD,
    SPECTRA,
)
from demiurge.simulation.filters import blur, resize, slope_tangent
from demiurge.simulation.fractal import fractal
from demiurge.simulation.land import BareEarth, make_bare_earth, river_beds
from demiurge.simulation.landscape import OpticalWorld, build_optical_world
from demiurge.simulation.light import cast_shadows, sun_incidence
from demiurge.simulation.radiometry import (
    add_atmosphere,
    cover_with_clouds,
    draw_clouds,
    to_product,
)
from demiurge.simulation.settings import OpticalSettings, PriorSettings

#: Margin around the scene in pixels, simulated and cut off: shadows and the prior need it.
MARGIN = 48
#: Height of a grown tree in metres.
_TREE_HEIGHT = 18.0


@dataclass(frozen=True)
class CoarseLayer:
    """A layer with larger pixels than the scene's.

    Attributes
    ----------
    values
        float32 (rows, columns).
    corner
        Metres by which the upper left corner lies east and south of the scene's.
    gsd
        Pixel size in metres.
    """

    values: Array
    corner: tuple[float, float]
    gsd: float


@dataclass(frozen=True)
class OpticalLayers:
    """Layers on the scene's grid, float32 (size, size), and layers with larger pixels."""

    layers: dict[str, Array]
    coarse: dict[str, CoarseLayer] = field(default_factory=dict)


def simulate_optical(
    settings: OpticalSettings,
    rng: np.random.Generator,
    real_heights: Array | None = None,
    source_gsd: float = 0.0,
) -> OpticalLayers:
    """Simulate a scene with exact reference heights.

    Parameters
    ----------
    real_heights
        Bare-earth heights of a real place in metres, float32 (size + 2 · MARGIN) a side;
        simulated if None.
    source_gsd
        Pixel size in metres of the file of the real heights.

    Returns
    -------
    Bands as pixels of the product, NaN under masked clouds; reference heights, land cover, and the
    coarse prior.
    """
    side = settings.size + 2 * MARGIN
    land = make_bare_earth(
        (side, side), settings.gsd, settings.terrain, rng, real_heights, source_gsd
    )
    if real_heights is None:
        land.heights[...] += np.float32(settings.landscape.lowest)
    elif settings.terrain.river:
        river = river_beds(land.heights, settings.gsd, settings.terrain.river, rng) & ~land.snow
        land = BareEarth(land.heights, river, land.gravel, land.snow)
    world = build_optical_world(land, settings.gsd, settings.landscape, rng)
    del land
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    coarse = {"dem_prior": make_prior(world, settings.gsd, settings.prior, rng)}
    layers = {
        "truth_dtm": world.heights[inner].copy(),
        "landcover": world.landcover[inner].astype(np.float32),
    }
    for name, values in _bands(world, settings, rng).items():
        native = NATIVE_GSD[name]
        if native > settings.gsd * 1.01:
            coarse[name] = _at_native_gsd(values, settings.gsd, native)
        else:
            layers[name] = values[inner].copy()
    return OpticalLayers(layers, coarse)


def _bands(
    world: OpticalWorld, settings: OpticalSettings, rng: np.random.Generator
) -> dict[str, Array]:
    """Illuminate the world and return the pixels of the product by band."""
    sun, gsd = settings.light, settings.gsd
    heights = _with_trees(world, 0.7)
    direct = sun_incidence(heights, gsd, sun.azimuth, sun.elevation)
    direct *= cast_shadows(heights, gsd, sun.azimuth, sun.elevation, penumbra=0.5 * gsd)
    direct *= np.float32(1 / np.sin(np.radians(sun.elevation)))
    if settings.landscape.minnaert < 1:
        np.power(direct, np.float32(settings.landscape.minnaert), out=direct)
    sky = 1 / (1 + slope_tangent(heights, gsd) ** 2) ** np.float32(0.25)
    haze = _haze(heights, settings.sky.haze, rng)
    clouds = draw_clouds(world.landcover.shape, gsd, settings.sky, sun, rng)
    names = [b for b in BANDS if b in ("blue", "green", "red", "nir", *settings.sensor.bands)]
    fine = np.float32(min(0.25 * settings.landscape.contrast, 0.15))
    texture = world.shade * (1 + fine * rng.standard_normal(heights.shape, np.float32))
    bands = {}
    for name in names:
        signal = _reflectance(world, name) * texture
        diffuse = np.float32(DIFFUSE_SHARE[name])
        signal *= (1 - diffuse) * direct + diffuse * sky
        path = haze * np.float32(HAZE_REFLECTANCE[name])
        signal = signal * (1 - np.float32(1.5) * path) + path
        if settings.product.kind != "surface":
            signal = add_atmosphere(signal, name)
        if clouds is not None:
            signal = cover_with_clouds(signal, clouds[0])
        signal = blur(signal, settings.sensor.blur)
        signal += np.float32(settings.sensor.noise) * rng.standard_normal(signal.shape, np.float32)
        bands[name] = signal
    bands = to_product(bands, settings.product, sun, rng)
    if clouds is not None and settings.sky.masked:
        for signal in bands.values():
            signal[clouds[1]] = np.nan
    return bands


def _with_trees(world: OpticalWorld, share: float) -> Array:
    """Return heights with a share of the tree height added in forests, smooth at their edges."""
    trees = (world.landcover == FOREST).astype(np.float32)
    return np.asarray(
        world.heights + blur(trees, 0.6) * np.float32(share * _TREE_HEIGHT), np.float32
    )


def _reflectance(world: OpticalWorld, name: str) -> Array:
    """Return the reflectance of a band, mixed from the two spectra of each class."""
    band = BANDS.index(name)
    first, second = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for number, (one, two) in SPECTRA.items():
        first[number], second[number] = one[band], two[band]
    reflectance = first[world.landcover]
    reflectance += (second - first)[world.landcover] * world.mix
    return reflectance


def _haze(heights: Array, amount: float, rng: np.random.Generator) -> Array:
    """Return the haze 0 … 1: broad swathes, thinner with height (scale height 1500 m)."""
    swathes = resize(fractal((96, 96), 1.0, rng), heights.shape)
    above = np.clip(heights - np.float32(heights[::8, ::8].min()), 0, None)
    haze = np.float32(amount) * (1 + np.float32(0.25) * swathes) * np.exp(above / -1500)
    return np.asarray(np.clip(haze, 0, 1), np.float32)


def make_prior(
    world: OpticalWorld, gsd: float, settings: PriorSettings, rng: np.random.Generator
) -> CoarseLayer:
    """Return the heights of a global elevation model of the world.

    Smoothed by more than its pixel size, with correlated noise that grows with slope, a small
    horizontal shift, and part of the tree height in forests.

    Parameters
    ----------
    gsd
        Pixel size of the world in metres.
    """
    ratio = settings.gsd / gsd
    smooth = blur(_with_trees(world, settings.canopy), 0.7 * ratio)
    cells = int((world.heights.shape[0] - 2 * MARGIN) / ratio) + 5
    shift = rng.uniform(-settings.shift, settings.shift, 2)
    # Centres of the coarse cells in pixels of the world; the grid starts two cells outside.
    centres = MARGIN - 0.5 + (np.arange(cells) - 1.5) * ratio
    x, y = (np.asarray(centres + s * ratio, np.float32) for s in shift)
    columns, rows = np.meshgrid(x, y)
    sampled = cv2.remap(smooth, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    heights = np.asarray(sampled, np.float32)
    noise = blur(rng.standard_normal(heights.shape, np.float32), 0.8)
    noise /= np.float32(max(float(noise.std()), 1e-9))
    heights += np.float32(settings.noise) * noise * (1 + 3 * slope_tangent(heights, settings.gsd))
    return CoarseLayer(heights, (-2 * settings.gsd, -2 * settings.gsd), settings.gsd)


def _at_native_gsd(values: Array, gsd: float, native: float) -> CoarseLayer:
    """Resample a band to the pixel size of its sensor."""
    cells = int(np.ceil((values.shape[0] - 2 * MARGIN) * gsd / native)) + 2
    first = MARGIN - native / gsd
    side = cells * native / gsd
    smooth = blur(values, 0.35 * native / gsd)
    centres = np.asarray(first - 0.5 + (np.arange(cells) + 0.5) * side / cells, np.float32)
    columns, rows = np.meshgrid(centres, centres)
    sampled = cv2.remap(smooth, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return CoarseLayer(np.asarray(np.rint(sampled), np.float32), (-native, -native), native)
