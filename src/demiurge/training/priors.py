"""Coarse elevation models made anew from the truth of a chip, of any coarseness and quality."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]

#: Pixels of the truth to one of the prior.
_COARSENESS = (1.5, 10.0)
#: Most noise, in pixels of the prior's own size; half the priors have none, and little is more
#: frequent than much. Its width in those pixels.
_NOISE, _WIDTH = 0.15, (0.3, 1.0)


def made_prior(truth: Array, gsd: float, rng: np.random.Generator) -> Array:
    """Return what a coarse model would know of heights: smoothed, sampled, perhaps noisy.

    Parameters
    ----------
    truth
        float32 (rows, columns) in metres, NaN for no data.
    gsd
        Pixel size in metres.

    Returns
    -------
    float32 (rows, columns); NaN where the truth is.
    """
    known = np.isfinite(truth)
    ratio = rng.uniform(*_COARSENESS)
    heights = np.where(known, truth, truth[known].mean(dtype=np.float64))
    smooth = ndimage.gaussian_filter(heights, rng.uniform(0.3, 0.7) * ratio, mode="nearest")
    cells = [int(np.ceil(n / ratio)) + 6 for n in truth.shape]
    start = rng.uniform(-3, -2, 2)
    at = [(s + np.arange(n)) * ratio for s, n in zip(start, cells, strict=True)]
    coarse = ndimage.map_coordinates(
        smooth, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest"
    )
    coarse += _noise((cells[0], cells[1]), ratio * gsd, rng)
    back = [np.arange(n) / ratio - s for s, n in zip(start, truth.shape, strict=True)]
    order: Literal[1, 3] = 3 if rng.random() < 0.5 else 1
    found = ndimage.map_coordinates(coarse, np.meshgrid(*back, indexing="ij"), order=order)
    return np.where(known, found, np.nan).astype(np.float32)


def _noise(shape: tuple[int, int], size: float, rng: np.random.Generator) -> Array:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(*_WIDTH))
    amount = _NOISE * size * rng.uniform() ** 2 if rng.random() < 0.5 else 0.0
    return np.asarray(amount * noise / max(float(noise.std()), 1e-9), np.float32)
