"""Weighted means of overlapping windows, kept for one row of windows at a time."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.scene.grid import Window


class Blender:
    """Sums windows over an area and gives back finished rows.

    Memory is ``(planes + 1) × window size × area width`` floats, whatever the raster's height.
    A pixel's sums do not depend on the area: the same windows are added in the same order.
    """

    def __init__(self, area: Window, size: int, planes: int) -> None:
        self._area = area
        self._size = min(size, area.height)
        self._sums = np.zeros((planes, self._size, area.width), np.float32)
        self._weights = np.zeros((self._size, area.width), np.float32)
        self._measured = np.zeros((self._size, area.width), bool)
        self._outliers = np.zeros((self._size, area.width), bool)
        self._top = area.row

    def add(self, window: Window, values: Array, weights: Array) -> None:
        """Add a window; what lies outside the area is left out.

        Parameters
        ----------
        window
            Where it lies in the raster.
        values
            float32 (planes, height, width), changed; may be anything where the weight is 0.
        weights
            float32 (height, width), 0 where there is no answer.
        """
        here, there = self._places(window)
        part, weight = values[(slice(None), *here)], weights[here]
        np.multiply(part, weight, out=part)
        # Where nothing is known, the network may have answered with anything.
        if not weight.all():
            np.copyto(part, np.float32(0), where=weight == 0)
        self._sums[(slice(None), *there)] += part
        self._weights[there] += weight

    def note(self, window: Window, measured: Mask, outliers: Mask | None = None) -> None:
        """Take note of where the base was measured and where it was an outlier.

        Both are bool (height, width); no outliers if None.
        """
        here, there = self._places(window)
        self._measured[there] = measured[here]
        self._outliers[there] = False if outliers is None else outliers[here]

    def _places(self, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the part of a window within the area, in the window and in the buffers."""
        area = self._area
        rows = _common(window.row, window.height, self._top, area.row + area.height)
        columns = _common(window.col, window.width, area.col, area.col + area.width)
        here = tuple(
            slice(first - start, last - start)
            for (first, last), start in ((rows, window.row), (columns, window.col))
        )
        there = tuple(
            slice(first - start, last - start)
            for (first, last), start in ((rows, self._top), (columns, area.col))
        )
        return (here[0], here[1]), (there[0], there[1])

    def take(self, until: int) -> tuple[Array, Mask, Mask]:
        """Return the rows of the area above ``until``, and what was noted of them.

        Returns
        -------
        float32 (planes, rows, width), NaN where unknown; bool (rows, width) where the base was
        measured; and the same where it was an outlier.
        """
        until = min(max(until, self._top), self._area.row + self._area.height)
        count = until - self._top
        weights = self._weights[:count]
        with np.errstate(invalid="ignore", divide="ignore"):
            done = self._sums[:, :count] / weights
        if not weights.all():
            done[:, weights == 0] = np.nan
        measured, outliers = self._measured[:count].copy(), self._outliers[:count].copy()
        for buffer in (self._sums, self._weights, self._measured, self._outliers):
            kept = buffer[..., count:, :].copy()
            buffer[..., : kept.shape[-2], :] = kept
            buffer[..., kept.shape[-2] :, :] = 0
        self._top = until
        return done, measured, outliers


def _common(start: int, length: int, low: int, high: int) -> tuple[int, int]:
    first = max(start, low)
    return first, max(first, min(start + length, high))
