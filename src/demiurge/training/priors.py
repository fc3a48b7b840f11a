"""Coarse elevation models: made anew from the truth of a chip, and how good given ones are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.layers import PRIOR, TARGETS
from demiurge.predict.heights.prior import constrain_to_prior
from demiurge.scene.grid import Window
from demiurge.training.split import Region

#: Pixels of the truth to one of the prior.
_COARSENESS = (1.5, 10.0)
#: Most noise, in pixels of the prior's own size; half the priors have none, and little is more
#: frequent than much. Its width in those pixels.
_NOISE, _WIDTH = 0.15, (0.3, 1.0)
#: Pixels a side of a place that a prior is measured on, at most.
_MEASURED = 1024


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


def accuracy_of_priors(regions: Sequence[Region], target: str) -> float | None:
    """Return the RMS error in metres of priors at their own pixels, over real places.

    Simulated priors say nothing of real ones.

    Returns
    -------
    None if no place is real, or none has a prior that is coarser than its image.
    """
    errors = [_error_of_prior(r, TARGETS[target]) for r in regions if not r.scene.simulated]
    known = np.concatenate([np.empty(0), *errors])
    return math.sqrt(float(np.square(known).mean())) if known.size else None


def _error_of_prior(region: Region, truth: str) -> npt.NDArray[np.float64]:
    """Return the difference of means, prior less truth, for each pixel of the prior."""
    scene, area = region.scene, region.window
    tie = constrain_to_prior(scene, None) if {PRIOR, truth} <= {*scene.layers} else None
    side = min(area.height, area.width, _MEASURED)
    if tie is None or tie.fine:
        return np.empty(0)
    window = Window(
        area.row + (area.height - side) // 2, area.col + (area.width - side) // 2, side, side
    )
    prior, heights = scene.read(window, [PRIOR, truth])
    known = np.isfinite(prior) & np.isfinite(heights)
    if not known.any():
        return np.empty(0)
    cells = tie.cells(window, side)
    filled = [np.where(known, h, h[known].mean(dtype=np.float64)) for h in (prior, heights)]
    found = cells.centre_values(filled[0].astype(np.float32)) - cells.means(filled[1])
    whole = cells.means((~known).astype(np.float32)) == 0
    # At the edge only parts of the prior's pixels are seen.
    inside = np.zeros(cells.shape, bool)
    inside[1:-1, 1:-1] = True
    return np.asarray(found[whole & inside], np.float64)
