"""Base heights of every quality, made from the truth: a network learns to leave good ones alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.raster.voids import fill_voids


def good_heights(stereo: Array, truth: Array, rng: np.random.Generator) -> Array:
    """Return heights between the truth and a stereo DSM, nearer to the truth.

    A quarter of the results is the truth itself. The others have one or more of: a share of the
    stereo error, blur, white noise, correlated noise, steps. Half of them keep the stereo voids.

    Parameters
    ----------
    stereo, truth
        float32 (rows, columns) in metres, NaN for no data.

    Returns
    -------
    float32 of that shape; NaN where the truth is unknown.
    """
    exact = rng.random() < 0.25
    heights = truth.copy() if exact else _degraded(stereo, truth, rng)
    if rng.random() < 0.5:
        heights[np.isnan(stereo)] = np.nan
    return heights


def _degraded(stereo: Array, truth: Array, rng: np.random.Generator) -> Array:
    heights = truth.copy()
    if rng.random() < 0.4:
        heights += np.float32(rng.uniform(0.1, 0.6)) * (stereo - truth)
    if rng.random() < 0.3:
        known = np.isfinite(heights)
        soft = ndimage.gaussian_filter(fill_voids(heights), rng.uniform(0.4, 1.0))
        heights = np.where(known, soft, np.float32(np.nan))
    if rng.random() < 0.35:
        heights += _spread(0.02, 0.2, rng) * rng.standard_normal(truth.shape, np.float32)
    if rng.random() < 0.3:
        heights += _spread(0.03, 0.4, rng) * waves(truth.shape, rng)
    if rng.random() < 0.2:
        step = _spread(0.05, 0.5, rng)
        heights = np.rint(heights / step) * step
    return np.asarray(heights, np.float32)


def waves(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return smooth noise of unit standard deviation, correlated over 2 to 16 pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 2 ** rng.uniform(0, 3))
    return np.asarray(noise / max(float(noise.std()), 1e-9), np.float32)


def _spread(low: float, high: float, rng: np.random.Generator) -> np.float32:
    """Draw evenly in the logarithm."""
    return np.float32(np.exp(rng.uniform(np.log(low), np.log(high))))
