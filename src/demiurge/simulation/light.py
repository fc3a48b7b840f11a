"""Illumination of a surface: Lambert shading, cast shadows, diffuse sky light.

Azimuths are degrees clockwise from north, elevations degrees above the horizon; the first row of
a raster is the northernmost.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from demiurge.arrays import Array
from demiurge.raster.terrain import gradient
from demiurge.simulation.filters import blur

#: Height difference in metres over which a shadow's edge fades (sun disc and pixel size).
_PENUMBRA = 0.5
#: Standard deviation in metres of the neighbourhood that hides the sky.
_SKY_RADIUS = 6.0


def cast_shadows(
    heights: Array, gsd: float, azimuth: float, elevation: float, penumbra: float = _PENUMBRA
) -> Array:
    """Return the visibility of the sun, float32: 1 sunlit, 0 in shadow.

    The height of the shadow's upper limit is propagated row by row (or column by column) away
    from the sun and falls by the sun's slope; exact up to linear interpolation along a row.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres.
    gsd
        Pixel size in metres.
    azimuth, elevation
        Sun position in degrees.
    penumbra
        Height difference in metres over which the edge of a shadow fades.
    """
    east, north = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    slope = np.tan(np.radians(elevation)) * gsd
    if abs(east) > abs(north):  # propagate along columns: transposed, west is north
        transposed = np.ascontiguousarray(heights.T)
        return np.ascontiguousarray(_shadows_by_row(transposed, -east, -north, slope, penumbra).T)
    return _shadows_by_row(np.ascontiguousarray(heights), north, east, slope, penumbra)


def _shadows_by_row(
    heights: Array, north: float, east: float, slope: float, penumbra: float
) -> Array:
    """Propagate shadows along rows; the sun's direction is mostly north or south."""
    drift = -east / abs(north)
    fall = slope / abs(north)
    out = np.empty(heights.shape, np.float32)
    _sweep(heights, north > 0, np.float32(drift), np.float32(fall), np.float32(penumbra), out)
    return out


@njit(cache=True)
def _sweep(heights, forward, drift, fall, penumbra, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill ``out`` with the visibility of the sun, from the first row on if ``forward``."""
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
            out[r, c] = min(max(1 - (moved[c] - h) / penumbra, np.float32(0)), np.float32(1))
            ceiling[c] = max(moved[c], h)


def sun_incidence(heights: Array, gsd: float, azimuth: float, elevation: float) -> Array:
    """Return the cosine between surface normal and sun, float32, 0 where facing away.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres.
    gsd
        Pixel size in metres.
    azimuth, elevation
        Sun position in degrees.
    """
    southward, eastward = gradient(heights, gsd, edges="replicate")
    high, around = np.radians(elevation), np.radians(azimuth)
    # The surface normal is (−dz/dx, −dz/dnorth, 1).
    cosine = southward * np.float32(np.cos(around) * np.cos(high))
    cosine -= eastward * np.float32(np.sin(around) * np.cos(high))
    cosine += np.float32(np.sin(high))
    np.maximum(cosine, 0, out=cosine)
    southward *= southward
    eastward *= eastward
    southward += eastward
    southward += 1
    cosine /= np.sqrt(southward, out=southward)
    return np.asarray(cosine, np.float32)


def illuminate(
    heights: Array, albedo: Array, gsd: float, azimuth: float, elevation: float
) -> Array:
    """Return the brightness of a surface: direct and diffuse light times albedo.

    Parameters
    ----------
    heights, albedo
        float32 (rows, columns): metres, and reflectance 0 … 1.
    gsd
        Pixel size in metres.
    azimuth, elevation
        Sun position in degrees.
    """
    light = sun_incidence(heights, gsd, azimuth, elevation)
    light *= cast_shadows(heights, gsd, azimuth, elevation)
    light *= np.float32(0.8)
    light += np.float32(0.3) * sky_view(heights, gsd)
    light *= albedo
    return light


def sky_view(heights: Array, gsd: float) -> Array:
    """Return the approximate visible share of the sky, lower where the surroundings are higher.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres.
    gsd
        Pixel size in metres.
    """
    hidden = blur(heights, _SKY_RADIUS / gsd)
    hidden -= heights
    # A logistic curve: the foot of a crown sees a fifth of the sky that its top sees.
    hidden *= np.float32(0.175)
    hidden -= np.float32(0.75)
    return np.asarray(np.float32(0.5) - np.float32(0.5) * np.tanh(hidden), np.float32)
