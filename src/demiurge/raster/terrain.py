"""Slope, aspect and shading of heights."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array


def hillshade(heights: Array, gsd: float, azimuth: float = 315, elevation: float = 45) -> Array:
    """Return Lambert shading 0 … 1 of heights in metres, twice exaggerated (Horn 1981)."""
    twice = 2 * heights.astype(np.float64)
    # A single row or column has no slope across itself.
    down, across = (
        np.gradient(twice, gsd, axis=axis) if twice.shape[axis] > 1 else np.zeros(twice.shape)
        for axis in (0, 1)
    )
    slope = np.arctan(np.hypot(across, down))
    aspect = np.arctan2(down, -across)
    light = np.radians(90 - azimuth)
    high = np.radians(elevation)
    shade = np.sin(high) * np.cos(slope) + np.cos(high) * np.sin(slope) * np.cos(light - aspect)
    return np.asarray(np.clip(shade, 0, 1), np.float32)
