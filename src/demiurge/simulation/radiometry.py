"""From reflectances to the pixels of image products, and clouds."""

from __future__ import annotations

import cv2
import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.simulation.classes import MOLECULAR_REFLECTANCE
from demiurge.simulation.filters import quantile, resize, subsample
from demiurge.simulation.fractal import fractal
from demiurge.simulation.landscape_settings import ProductSettings
from demiurge.simulation.settings import SkySettings, SunSettings

#: Digital numbers per unit of reflectance, as in Sentinel-2 products.
SCALE = 10_000
#: Heights of cloud bases above the ground in metres.
_CLOUD_BASE = (600.0, 2500.0)
#: Reflectance of a thick cloud.
_CLOUD = 0.7
#: Landsat 8: digital numbers of unit reflectance times the sine of the sun's elevation, and of
#: none (USGS, Landsat 8 Data Users Handbook, section 5).
_DN16 = (50_000.0, 5_000.0)
#: 8-bit numbers: reflectance at which they saturate, lowest and highest, and offset.
_DN8_FULL, _DN8_OFFSET = (0.25, 0.6), (2.0, 18.0)
_VISIBLE = ("red", "green", "blue")


def draw_clouds(
    shape: tuple[int, int], gsd: float, sky: SkySettings, sun: SunSettings, rng: np.random.Generator
) -> tuple[Array, Mask] | None:
    """Return the opacity of clouds, float32 0 … 1, and the mask of clouds and their shadows.

    None without clouds. The mask leaves thin edges out.
    """
    if sky.clouds == 0:
        return None
    small = (shape[0] // 2 + 1, shape[1] // 2 + 1)
    field = resize(fractal(small, 0.75, rng), shape)
    opacity = np.clip((field - np.float32(quantile(field, 1 - sky.clouds))) * 3, 0, 1)
    cloud = opacity > 0.4
    length = rng.uniform(*_CLOUD_BASE) / np.tan(np.radians(sun.elevation)) / gsd
    # The shadow lies away from the sun.
    down, across = (
        round(float(length * f(np.radians(sun.azimuth)))) for f in (np.cos, lambda a: -np.sin(a))
    )
    moved = np.array([[1, 0, across], [0, 1, down]], np.float32)
    shadow = cv2.warpAffine(cloud.astype(np.uint8), moved, (shape[1], shape[0])) > 0
    return np.asarray(opacity, np.float32), np.asarray(cloud | shadow)


def cover_with_clouds(signal: Array, opacity: Array) -> Array:
    """Return the reflectance under clouds of an opacity."""
    return signal + opacity * (np.float32(_CLOUD) - signal)


def add_atmosphere(signal: Array, name: str) -> Array:
    """Add the molecular path reflectance of a band, in place."""
    path = np.float32(MOLECULAR_REFLECTANCE[name])
    signal *= 1 - np.float32(1.5) * path
    signal += path
    return signal


def to_product(
    bands: dict[str, Array], product: ProductSettings, sun: SunSettings, rng: np.random.Generator
) -> dict[str, Array]:
    """Scale and quantise reflectances to the pixels of a product.

    Parameters
    ----------
    bands
        float32 (rows, columns) reflectances by name, finite; changed in place.
    """
    light = float(np.sin(np.radians(sun.elevation)))
    if product.kind == "picture":
        return _picture(bands, product)
    for signal in bands.values():
        gain, offset, full = float(SCALE), 0.0, 65535.0
        if product.kind == "dn16":
            gain, offset = _DN16[0] * light, _DN16[1]
        elif product.kind == "dn8":
            gain = 255 / rng.uniform(*_DN8_FULL) * light
            offset, full = rng.uniform(*_DN8_OFFSET), 255.0
        _quantise(signal, gain, offset, full)
    return bands


def _quantise(signal: Array, gain: float, offset: float, full: float) -> None:
    """Scale, round and clip in place; 0 is no data in many readers."""
    np.multiply(signal, np.float32(gain), out=signal)
    np.add(signal, np.float32(offset), out=signal)
    np.rint(signal, out=signal)
    np.clip(signal, 1, full, out=signal)


def _picture(bands: dict[str, Array], product: ProductSettings) -> dict[str, Array]:
    """Stretch each band to 8 bits and compress the visible ones as JPEG."""
    for signal in bands.values():
        low, high = np.percentile(subsample(signal), product.stretch)
        gain = 254 / max(high - low, 1e-6)
        _quantise(signal, gain, 1 - gain * low, 255)
    if product.jpeg is not None:
        # OpenCV's colours are blue, green, red.
        picture = np.stack([bands[n] for n in reversed(_VISIBLE)], axis=-1).astype(np.uint8)
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, product.jpeg])
        planes = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        for i, name in enumerate(reversed(_VISIBLE)):
            bands[name] = np.asarray(planes[..., i], np.float32)
    return {name: np.maximum(signal, 1) for name, signal in bands.items()}
