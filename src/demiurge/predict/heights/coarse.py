"""Coarse pass: the wide forms of relative heights, from the image at reduced resolution.

The height of a place follows from what surrounds it: water, valleys, towns, forest, ridges. At
reduced resolution a chip covers a wider area. Forms wider than the coarse pass resolves are taken
from it, the others from the full resolution; windows then need no further adjustment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array, Mask
from demiurge.model.bundle import Card
from demiurge.predict.heights.saved import load_arrays, save_arrays
from demiurge.predict.reduced import enlarged
from demiurge.raster.voids import fill_voids
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Minimum side in pixels of a scene at reduced resolution.
_LEAST = 32
#: Standard deviation, in coarse pixels, of the filter that parts wide forms from narrow ones.
_WIDTH = 2.0


@dataclass(frozen=True)
class CoarsePass:
    """Relative heights of a scene at reduced resolution.

    Attributes
    ----------
    factor
        Ratio of the pixel sizes.
    values
        float32 (planes, rows, columns): heights, then uncertainties, in metres, with voids filled.
    """

    factor: int
    values: Array

    @classmethod
    def of(cls, factor: int, values: Array) -> CoarsePass:
        """Return a pass of predicted planes (planes, rows, columns); NaN is filled."""
        return cls(factor, np.stack([fill_voids(plane) for plane in values]))

    def apply(self, window: Window, valid: Mask, values: Array, count: int) -> Array:
        """Return the heights of a window with their wide forms replaced by those of the pass.

        Parameters
        ----------
        window
            Position in the raster.
        valid
            bool (window.height, window.width): pixels that receive a height.
        values
            float32 (planes, height, width), at least as large as the window: ``count`` planes of
            heights, then uncertainties; not changed.

        Returns
        -------
        float32 of the shape of ``values``. An uncertainty is the larger of both passes.
        """
        inside = (slice(None), slice(window.height), slice(window.width))
        wide, _ = enlarged(self.values, window, self.factor)
        merged, here = values.copy(), values[inside]
        forms = np.stack([smoothed(h, valid, _WIDTH * self.factor) for h in here[:count]])
        merged[inside][:count] += wide[:count] - forms
        np.maximum(here[count:], wide[count:], out=merged[inside][count:])
        return merged

    def save(self, path: Path, key: str) -> None:
        """Write the pass to a file, for an interrupted run to resume with."""
        save_arrays(path, key, factor=self.factor, values=self.values)


def load_coarse(path: Path, key: str) -> CoarsePass | None:
    """Read a saved pass; None if there is none with this key."""
    saved = load_arrays(path, key)
    return None if saved is None else CoarsePass(int(saved["factor"]), saved["values"])


def smoothed(heights: Array, valid: Mask, sigma: float) -> Array:
    """Return a Gaussian mean over the valid pixels, float32 of the same shape.

    Parameters
    ----------
    heights
        float32 (height, width), finite where valid.
    sigma
        Standard deviation in pixels.
    """
    weights = valid.astype(np.float32)
    known = np.where(valid, heights, np.float32(0))
    mean = ndimage.gaussian_filter(known, sigma, mode="nearest")
    share = ndimage.gaussian_filter(weights, sigma, mode="nearest")
    return np.asarray(mean / np.maximum(share, np.float32(1e-6)), np.float32)


def coarse_factor(scene: Scene, card: Card) -> int | None:
    """Return the ratio of pixel sizes of the coarse pass; None if there is none.

    It is the largest of the scales of the training at which pixels keep a size of the training, if
    the scene is large enough.
    """
    scales = card.recipe.get("chips", {}).get("scales", [])
    for factor in sorted(scales, reverse=True):
        large = min(scene.shape) >= _LEAST * factor
        if factor > 1 and large and card.pixel_sizes.fits(scene.pixel_size * factor):
            return int(factor)
    return None
