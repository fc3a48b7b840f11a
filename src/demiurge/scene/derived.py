"""Layers that are computed from others: NDVI, height above ground, valid pixels."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array

#: Layers that each derived layer is computed from.
DERIVED = {"ndvi": ("red", "nir"), "truth_height": ("truth_dsm", "truth_dtm")}


def ndvi(red: Array, nir: Array) -> Array:
    """Return the normalised difference vegetation index, (NIR − red) / (NIR + red).

    Parameters
    ----------
    red, nir
        float32 of one shape, same scale, NaN for no data.

    Returns
    -------
    float32 in −1 … 1; NaN where either is missing or both are 0.
    """
    total = nir + red
    with np.errstate(invalid="ignore", divide="ignore"):
        index = (nir - red) / total
    index[~(total > 0)] = np.nan
    return np.clip(index, -1, 1).astype(np.float32)


def height_above_ground(surface: Array, ground: Array) -> Array:
    """Return surface less ground in metres; NaN where either height is missing."""
    return np.asarray(surface - ground, np.float32)


def valid(measured: Array) -> Array:
    """Return 1 where all planes have data, 0 elsewhere.

    Parameters
    ----------
    measured
        float32 (layers, height, width): the base heights, or all images if there are none.
    """
    return np.asarray(np.isfinite(measured).all(axis=0), np.float32)
