"""Weighted means of overlapping windows, kept for one row of windows at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demiurge.predict.plan import Plan
from demiurge.scene.grid import Window

Array = npt.NDArray[np.float32]


class Blender:
    """Sums windows and gives back finished rows.

    Memory is ``(planes + 1) × window size × raster width`` floats, whatever the raster's height.
    """

    def __init__(self, plan: Plan, planes: int) -> None:
        height, width = min(plan.size, plan.shape[0]), plan.shape[1]
        self._sums = np.zeros((planes, height, width), np.float32)
        self._weights = np.zeros((height, width), np.float32)
        self._top = 0

    def add(self, window: Window, values: Array, weights: Array) -> None:
        """Add a window.

        Parameters
        ----------
        window
            Where it lies; no row of it is above those already taken.
        values
            float32 (planes, height, width); may be anything where the weight is 0.
        weights
            float32 (height, width), 0 where there is no answer.
        """
        rows = slice(window.row - self._top, window.row - self._top + window.height)
        columns = slice(window.col, window.col + window.width)
        known = weights > 0
        self._sums[:, rows, columns] += np.where(known, values * weights, np.float32(0))
        self._weights[rows, columns] += weights

    def take(self, until: int) -> Array:
        """Return the rows above ``until`` as float32 (planes, rows, width), NaN where unknown."""
        count = until - self._top
        weights = self._weights[:count]
        with np.errstate(invalid="ignore"):
            done = self._sums[:, :count] / np.where(weights > 0, weights, np.float32(np.nan))
        for buffer in (self._sums, self._weights):
            kept = buffer[..., count:, :].copy()
            buffer[..., : kept.shape[-2], :] = kept
            buffer[..., kept.shape[-2] :, :] = 0
        self._top = until
        return np.asarray(done, np.float32)
