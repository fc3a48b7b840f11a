"""Styles of tiles, as algorithms of TiTiler: colour ramps, terrain, hillshade, slope, contours."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

import numpy as np
from fastapi import Query
from numpy.typing import NDArray
from rio_tiler.colormap import cmap
from rio_tiler.models import ImageData
from titiler.core.algorithm.base import BaseAlgorithm

from demiurge.arrays import Array, Mask
from demiurge.raster import terrain
from demiurge.raster.voids import fill_voids

#: Pixels around a tile that slopes and contours need.
BUFFER = 2
Style = Literal["ramp", "terrain", "hillshade", "slope", "contours"]
#: Ramps that colour-blind people can read; ``coolwarm`` is for differences.
Ramp = Literal["cividis", "viridis", "batlow", "gray", "coolwarm", "magma"]
#: Batlow by Crameri (2018, doi 10.5281/zenodo.1243862), nine of its colours.
_BATLOW = (
    (1, 25, 89), (16, 63, 96), (28, 90, 98), (60, 109, 86), (104, 123, 62),
    (157, 137, 43), (210, 147, 67), (248, 161, 123), (253, 183, 188),
)  # fmt: skip
_STEPS = (1, 2, 5)
_Rgb = NDArray[np.uint8]


@lru_cache
def ramp_colours(name: str) -> _Rgb:
    """Return 256 colours of a ramp, uint8 (256, 3)."""
    if name == "batlow":
        places = np.linspace(0, 1, len(_BATLOW))
        columns = np.array(_BATLOW, float).T
        at = np.linspace(0, 1, 256)
        return (
            np.stack([np.interp(at, places, c) for c in columns], axis=1).round().astype(np.uint8)
        )
    table = cmap.get(name)
    return np.array([table[i][:3] for i in range(256)], np.uint8)


class _Styled(BaseAlgorithm):
    """Base of the styles: crops the buffer and returns an image with a mask."""

    buffer: int = BUFFER

    def _heights(self, img: ImageData) -> Array:
        return np.asarray(img.array.filled(np.nan)[0], np.float32)

    def _crop(self, data: Any) -> Any:
        edge = self.buffer
        return data[..., edge:-edge, edge:-edge] if edge else data

    def _image(self, of: ImageData, rgb: _Rgb, known: Mask) -> ImageData:
        """Make an image from uint8 (3, rows, columns) and the pixels to show."""
        shown, inside = self._crop(rgb), self._crop(known)
        hidden = np.broadcast_to(~inside, shown.shape)
        return ImageData(np.ma.MaskedArray(shown, mask=hidden), crs=of.crs)


class Ramped(_Styled):
    """Values by a colour ramp from ``low`` to ``high``; three bands are stretched as colours.

    ``shade`` is the share of the brightness that the hillshade decides; 0 for none.
    """

    low: float
    high: float
    ramp: Ramp = "viridis"
    gsd: float = 1.0
    shade: float = 0.0
    azimuth: float = 315
    elevation: float = 45

    def __call__(self, img: ImageData) -> ImageData:
        """Return the coloured tile."""
        data = np.asarray(img.array.filled(np.nan), np.float32)
        known = np.asarray(np.isfinite(data).all(axis=0))
        span = max(self.high - self.low, 1e-12)
        level = np.clip((np.nan_to_num(data) - self.low) / span, 0, 1)
        index = (level * 255).round().astype(np.uint8)
        if len(index) == 3:
            return self._image(img, index, known)
        rgb = np.moveaxis(ramp_colours(self.ramp)[index[0]], -1, 0)
        if self.shade:
            light = terrain.hillshade(data[0], self.gsd, self.azimuth, self.elevation)
            light = np.nan_to_num(light, nan=1.0) * self.shade + 1 - self.shade
            rgb = (rgb * np.clip(light, 0, 1)).astype(np.uint8)
        return self._image(img, rgb, known)


class TerrainRgb(_Styled):
    """Heights in metres as Terrarium colours, precise to 1/256 m; voids are filled.

    Height = red · 256 + green + blue / 256 − 32768.
    """

    base: float

    def __call__(self, img: ImageData) -> ImageData:
        """Return the encoded tile; every pixel has a height."""
        heights = self._heights(img)
        known = np.isfinite(heights)
        filled = fill_voids(heights) if known.any() else np.full_like(heights, self.base)
        stored = np.round((np.nan_to_num(filled, nan=self.base).astype(np.float64) + 32768) * 256)
        code = np.clip(stored, 0, 2**24 - 1).astype(np.uint32)
        rgb = np.stack([code >> 16, code >> 8 & 255, code & 255]).astype(np.uint8)
        return self._image(img, rgb, np.ones(heights.shape, bool))


class Hillshaded(_Styled):
    """Lambertian shading."""

    gsd: float
    azimuth: float = 315
    elevation: float = 45

    def __call__(self, img: ImageData) -> ImageData:
        """Return the shaded tile."""
        heights = self._heights(img)
        shade = terrain.hillshade(heights, self.gsd, self.azimuth, self.elevation)
        grey = (np.clip(np.nan_to_num(shade), 0, 1) * 255).round().astype(np.uint8)
        return self._image(img, np.stack([grey] * 3), np.isfinite(shade))


class Sloped(_Styled):
    """Slope in degrees by a ramp from 0 to 60."""

    gsd: float
    ramp: Ramp = "magma"

    def __call__(self, img: ImageData) -> ImageData:
        """Return the coloured tile."""
        slope = terrain.slope(terrain.gradient(self._heights(img), self.gsd))
        index = (np.clip(np.nan_to_num(slope) / 60, 0, 1) * 255).round().astype(np.uint8)
        return self._image(
            img, np.moveaxis(ramp_colours(self.ramp)[index], -1, 0), np.isfinite(slope)
        )


class Contoured(_Styled):
    """Contour lines every ``interval`` metres, one pixel wide; every fifth is darker."""

    interval: float

    def __call__(self, img: ImageData) -> ImageData:
        """Return the lines on a transparent tile."""
        level = np.floor(self._heights(img) / self.interval)
        line = np.zeros(level.shape, bool)
        index = np.zeros(level.shape, np.float32)
        for axis in (0, 1):
            step = np.diff(level, axis=axis)
            at = np.isfinite(step) & (step != 0)
            place = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
            upper = np.maximum(level[place], np.take(level, range(level.shape[axis] - 1), axis))
            line[place] |= at
            index[place] = np.where(at, upper, index[place])
        heavy = np.asarray(index % 5 == 0)
        grey = np.where(heavy, 20, 90).astype(np.uint8)
        return self._image(img, np.stack([grey] * 3), line)


def ramp_stops() -> dict[str, list[str]]:
    """Return nine colours of each ramp as CSS, from low to high."""
    stops = {}
    for name in get_args(Ramp):
        table = ramp_colours(name)
        stops[name] = ["#" + bytes(table[round(i * 255 / 8)]).hex() for i in range(9)]
    return stops


def contour_interval(gsd: float, span: float) -> float:
    """Return a round interval in metres for a pixel size and a range of heights."""
    wanted = max(span / 15, gsd / 4, 0.01)
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(next((s * power for s in _STEPS if s * power >= wanted), 10 * power))


Finite = Annotated[float | None, Query(ge=-1e6, le=1e6, allow_inf_nan=False)]
