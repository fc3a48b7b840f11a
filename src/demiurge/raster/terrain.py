"""Gradient, slope, aspect and hillshade of heights."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from demiurge.arrays import Array

#: Slope in degrees below which a pixel has no aspect.
LEVEL = 5.0


class Gradient(NamedTuple):
    """Metres of height per metre southward (``down``) and eastward (``across``), float32."""

    down: Array
    across: Array


def gradient(
    heights: Array, gsd: float, edges: Literal["one-sided", "replicate"] = "one-sided"
) -> Gradient:
    """Return gradients by central differences (Zevenbergen and Thorne 1987).

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, north up; NaN for no data.
    gsd
        Pixel size in metres.
    edges
        ``"one-sided"``: one-sided differences at the edges of the raster, and NaN for rasters
        with a single row or column. ``"replicate"``: central differences with the edge pixels
        repeated outside the raster, which halves the gradient there.

    Returns
    -------
    Two float32 arrays of the input's shape; NaN next to no data.
    """
    if edges == "replicate":
        # This order of operations gives the same bits as cv2.Sobel with ksize=1.
        scale = np.float32(0.5 / gsd)
        padded = np.pad(heights, 1, mode="edge")
        scaled = padded[:, 1:-1] * scale
        return Gradient(scaled[2:] - scaled[:-2], (padded[1:-1, 2:] - padded[1:-1, :-2]) * scale)
    if min(heights.shape) < 2:
        unknown = np.full(heights.shape, np.nan, np.float32)
        return Gradient(unknown, unknown)
    down, across = np.gradient(heights, np.float32(gsd))
    return Gradient(np.asarray(down), np.asarray(across))


def slope(of: Gradient) -> Array:
    """Return slopes in degrees, float32."""
    return np.asarray(np.degrees(np.arctan(np.hypot(of.across, of.down))), np.float32)


def aspect(of: Gradient) -> Array:
    """Return the downslope direction in degrees clockwise from north, float32 in 0 … 360.

    NaN where the slope is below ``LEVEL`` degrees.
    """
    directions = np.degrees(np.arctan2(-of.across, of.down)) % 360
    directions[np.hypot(of.across, of.down) < np.tan(np.radians(LEVEL))] = np.nan
    return np.asarray(directions, np.float32)


def hillshade(heights: Array, gsd: float, azimuth: float = 315, elevation: float = 45) -> Array:
    """Return Lambertian shading with a vertical exaggeration of 2 (Horn 1981).

    Parameters
    ----------
    heights
        (rows, columns) in metres, north up; NaN for no data.
    gsd
        Pixel size in metres.
    azimuth, elevation
        Direction to the light in degrees: clockwise from north, and above the horizon.

    Returns
    -------
    float32 in 0 … 1; NaN next to no data.
    """
    exaggerated = 2 * heights.astype(np.float64)
    # A single row or column has no gradient across itself.
    down, across = (
        np.gradient(exaggerated, gsd, axis=axis)
        if exaggerated.shape[axis] > 1
        else np.zeros(exaggerated.shape)
        for axis in (0, 1)
    )
    steepness = np.arctan(np.hypot(across, down))
    direction = np.arctan2(down, -across)
    light = np.radians(90 - azimuth)
    high = np.radians(elevation)
    shade = np.sin(high) * np.cos(steepness)
    shade = shade + np.cos(high) * np.sin(steepness) * np.cos(light - direction)
    return np.asarray(np.clip(shade, 0, 1), np.float32)
