"""Sun and sky on a surface: Lambert shading, cast shadows, light from the sky."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]


def cast_shadows(heights: Array, gsd: float, azimuth: float, elevation: float) -> Array:
    """Return 1 where the sun is seen, 0 in shadow.

    The height below which there is shadow is carried from row to row (or column to column) away
    from the sun, falling by the sun's slope; exact but for linear interpolation along a row.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, first row in the north.
    gsd
        Pixel size in metres.
    azimuth, elevation
        Of the sun, in degrees, clockwise from north and above the horizon.
    """
    east, north = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    if abs(east) > abs(north):  # walk along columns instead
        return cast_shadows(heights.T, gsd, (270 - azimuth) % 360, elevation).T
    towards_south = north > 0  # the sun is in the north: shadow falls southward
    rows = range(heights.shape[0]) if towards_south else range(heights.shape[0] - 1, -1, -1)
    # Moving one row away from the sun, the ray moves this many columns.
    drift = -east / abs(north)
    fall = np.float32(np.tan(np.radians(elevation)) * gsd / abs(north))
    columns = np.arange(heights.shape[1], dtype=np.float32)
    sunlit = np.ones(heights.shape, np.float32)
    ceiling: Array | None = None
    for row in rows:
        if ceiling is not None:
            ceiling = np.interp(columns - drift, columns, ceiling).astype(np.float32) - fall
            # Half a metre of softness stands for the sun's disc and the pixel's size.
            sunlit[row] = np.clip(1 - (ceiling - heights[row]) / np.float32(0.5), 0, 1)
            ceiling = np.maximum(ceiling, heights[row])
        else:
            ceiling = heights[row].copy()
    return sunlit


def illuminate(
    heights: Array, albedo: Array, gsd: float, azimuth: float, elevation: float
) -> Array:
    """Return the brightness of a surface, 0 … 1.

    Parameters
    ----------
    heights, albedo
        float32 (rows, columns): metres, and reflectance 0 … 1.
    """
    down, across = np.gradient(heights, np.float32(gsd))
    steep = 1 / np.sqrt(1 + across**2 + down**2)
    high, around = np.radians(elevation), np.radians(azimuth)
    # The surface's normal is (-dz/dx, -dz/dnorth, 1); rows count southward.
    facing = -across * np.sin(around) * np.cos(high) + down * np.cos(around) * np.cos(high)
    direct = np.clip((facing + np.sin(high)) * steep, 0, None)
    direct = direct * cast_shadows(heights, gsd, azimuth, elevation)
    return np.asarray(albedo * (0.8 * direct + 0.3 * _sky(heights, gsd)), np.float32)


def _sky(heights: Array, gsd: float) -> Array:
    """Return roughly how much of the sky is seen: less where the surroundings are higher."""
    hidden = ndimage.gaussian_filter(heights, 6 / gsd) - heights
    return np.asarray(1 / (1 + np.exp(np.clip(0.35 * hidden - 1.5, -20, 20))), np.float32)
