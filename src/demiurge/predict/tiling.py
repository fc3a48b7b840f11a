"""Tiling of a raster into overlapping windows, and their blending by weighted means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.errors import UsageError
from demiurge.scene.grid import Window


@dataclass(frozen=True)
class Tiling:
    """Square windows in rows from north to south.

    Attributes
    ----------
    shape
        Rows and columns of the raster.
    size
        Side of a window in pixels; a window may extend beyond a smaller raster.
    overlap
        Minimum number of pixels that neighbours share.
    rows, columns
        First row of each row of windows, first column of each column of windows.
    """

    shape: tuple[int, int]
    size: int
    overlap: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of windows."""
        return len(self.rows) * len(self.columns)

    def touching(self, area: Window) -> Tiling:
        """Return the tiling with only the windows that overlap an area."""
        return replace(
            self,
            rows=_touching(self.rows, self.size, area.row, area.height),
            columns=_touching(self.columns, self.size, area.col, area.width),
        )

    def window(self, row: int, column: int) -> Window:
        """Return the window that begins at a row and a column, clipped to the raster."""
        height, width = self.shape
        return Window(row, column, min(self.size, height - row), min(self.size, width - column))


def tile(shape: tuple[int, int], size: int, overlap: float, multiple: int = 32) -> Tiling:
    """Cover a raster with windows.

    Parameters
    ----------
    shape
        Rows and columns.
    size
        Side of a window in pixels, a multiple of ``multiple``. A small raster gets smaller windows.
    overlap
        Overlap of neighbours as a fraction of the side, 0 to 0.9.
    multiple
        The network accepts windows whose side is a multiple of this; 32 or more.

    Raises
    ------
    UsageError
        If the overlap is out of range.
    """
    if not 0 <= overlap <= 0.9:
        raise UsageError(f"the overlap is {overlap:g}", "choose a share from 0 to 0.9")
    size = min(size, max(multiple, multiple * -(-max(shape) // multiple)))
    shared = round(size * overlap)
    return Tiling(
        shape, size, shared, _starts(shape[0], size, shared), _starts(shape[1], size, shared)
    )


def split_columns(shape: tuple[int, int], most: int) -> list[Window]:
    """Split a raster into full-height blocks of about equal width, at most ``most`` columns each.

    Blending one after another bounds the memory for wide rasters.
    """
    count = max(1, -(-shape[1] // most))
    edges = [shape[1] * i // count for i in range(count + 1)]
    return [Window(0, a, shape[0], b - a) for a, b in pairwise(edges)]


def split_blocks(shape: tuple[int, int], side: int) -> list[Window]:
    """Split a raster into blocks of about equal size, at most ``side`` pixels a side."""
    columns = split_columns(shape, side)
    return [
        Window(rows.col, block.col, rows.width, block.width)
        for rows in split_columns((shape[1], shape[0]), side)
        for block in columns
    ]


def _touching(starts: tuple[int, ...], size: int, first: int, length: int) -> tuple[int, ...]:
    return tuple(s for s in starts if s + size > first and s < first + length)


def _starts(length: int, size: int, shared: int) -> tuple[int, ...]:
    if length <= size:
        return (0,)
    starts = list(range(0, length - size, size - shared))
    return (*starts, length - size)


def taper(size: int, overlap: int) -> Array:
    """Return the blending weights of a window: 1 inside, falling as sin² over the overlap.

    The weights of two neighbours sum to 1 where they overlap by exactly ``overlap`` pixels.
    Elsewhere blending divides by the sum.

    Returns
    -------
    float32 (size, size), all above 0.
    """
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    ramp = np.ones(size) if overlap == 0 else np.sin(np.pi / 2 * np.minimum(distance / overlap, 1))
    edge = (ramp**2).astype(np.float32)
    return edge[:, None] * edge[None, :]


class Blender:
    """Sums weighted windows over an area and returns finished rows.

    Memory is ``(planes + 1) × window size × area width`` floats, whatever the raster's height.
    A pixel's sum does not depend on the area: the same windows are added in the same order.
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
        """Add a window, clipped to the area.

        Parameters
        ----------
        window
            Position in the raster.
        values
            float32 (planes, height, width), modified; arbitrary where the weight is 0.
        weights
            float32 (height, width), 0 for no data.
        """
        here, there = self._overlap(window)
        part, weight = values[(slice(None), *here)], weights[here]
        np.multiply(part, weight, out=part)
        if not weight.all():  # values without weight may be NaN
            np.copyto(part, np.float32(0), where=weight == 0)
        self._sums[(slice(None), *there)] += part
        self._weights[there] += weight

    def note(self, window: Window, measured: Mask, outliers: Mask | None = None) -> None:
        """Record where the base was measured and where it was an outlier.

        Both are bool (height, width); None for no outliers.
        """
        here, there = self._overlap(window)
        self._measured[there] = measured[here]
        self._outliers[there] = False if outliers is None else outliers[here]

    def _overlap(self, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the overlap of a window and the area, as slices of the window and the buffers."""
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
        """Return and forget the rows of the area above row ``until`` of the raster.

        Returns
        -------
        float32 (planes, rows, width), NaN for no data; bool (rows, width) where the base was
        measured; bool (rows, width) where it was an outlier.
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
