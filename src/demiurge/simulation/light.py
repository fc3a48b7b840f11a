"""Sun and sky on a surface: Lambert shading, cast shadows, light from the sky."""

from __future__ import annotations

import numpy as np
from numba import njit

from demiurge.arrays import Array
from demiurge.simulation.fields import blur, gradients

#: Metres of height over which a shadow's edge is soft, for the sun's disc and the pixel's size.
_SOFT = 0.5
#: Sky is hidden by what is higher within about this many metres.
_SKY_REACH = 6.0


def cast_shadows(
    heights: Array, gsd: float, azimuth: float, elevation: float, soft: float = _SOFT
) -> Array:
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
    soft
        Metres of height over which the edge of a shadow fades.
    """
    east, north = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    slope = np.tan(np.radians(elevation)) * gsd
    if abs(east) > abs(north):  # walk along columns instead: west to east is north to south
        turned = np.ascontiguousarray(heights.T)
        return np.ascontiguousarray(_walk(turned, -east, -north, slope, soft).T)
    return _walk(np.ascontiguousarray(heights), north, east, slope, soft)


def _walk(heights: Array, along: float, aside: float, slope: float, soft: float) -> Array:
    """Walk the rows away from a sun that lies ``along`` before the first row."""
    drift = -aside / abs(along)
    fall = slope / abs(along)
    out = np.empty(heights.shape, np.float32)
    _sweep(heights, along > 0, np.float32(drift), np.float32(fall), np.float32(soft), out)
    return out


@njit(cache=True)
def _sweep(heights, forward, drift, fall, soft, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, columns = heights.shape
    ceiling = heights[0 if forward else rows - 1].copy()
    moved = np.empty(columns, np.float32)
    for n in range(rows):
        r = n if forward else rows - 1 - n
        if n == 0:
            out[r] = 1
            continue
        for c in range(columns):
            x = min(max(c - drift, np.float32(0)), np.float32(columns - 1))
            i = min(int(x), columns - 2)
            f = x - np.float32(i)
            moved[c] = ceiling[i] * (1 - f) + ceiling[i + 1] * f - fall
        for c in range(columns):
            h = heights[r, c]
            out[r, c] = min(max(1 - (moved[c] - h) / soft, np.float32(0)), np.float32(1))
            ceiling[c] = max(moved[c], h)


def facing_sun(heights: Array, gsd: float, azimuth: float, elevation: float) -> Array:
    """Return the cosine between the surface's normal and the sun, 0 where it faces away."""
    down, across = gradients(heights, gsd)
    high, around = np.radians(elevation), np.radians(azimuth)
    # The surface's normal is (-dz/dx, -dz/dnorth, 1); rows count southward.
    found = down * np.float32(np.cos(around) * np.cos(high))
    found -= across * np.float32(np.sin(around) * np.cos(high))
    found += np.float32(np.sin(high))
    np.maximum(found, 0, out=found)
    down *= down
    across *= across
    down += across
    down += 1
    found /= np.sqrt(down, out=down)
    return np.asarray(found, np.float32)


def illuminate(
    heights: Array, albedo: Array, gsd: float, azimuth: float, elevation: float
) -> Array:
    """Return the brightness of a surface, 0 … 1.

    Parameters
    ----------
    heights, albedo
        float32 (rows, columns): metres, and reflectance 0 … 1.
    """
    light = facing_sun(heights, gsd, azimuth, elevation)
    light *= cast_shadows(heights, gsd, azimuth, elevation)
    light *= np.float32(0.8)
    light += np.float32(0.3) * sky(heights, gsd)
    light *= albedo
    return light


def sky(heights: Array, gsd: float) -> Array:
    """Return roughly how much of the sky is seen: less where the surroundings are higher."""
    hidden = blur(heights, _SKY_REACH / gsd)
    hidden -= heights
    # A logistic curve: a crown's foot sees a fifth of the sky that its top sees.
    hidden *= np.float32(0.175)
    hidden -= np.float32(0.75)
    return np.asarray(np.float32(0.5) - np.float32(0.5) * np.tanh(hidden), np.float32)
