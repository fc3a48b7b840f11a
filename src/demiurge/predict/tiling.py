"""Which windows cover a raster, and how much each counts where they overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from demiurge.arrays import Array
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
        Side of a window; at the edge of a raster smaller than a window, part of it is empty.
    overlap
        Pixels that neighbours share at least.
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
        """Return the plan with only the windows that have pixels of an area."""
        return replace(
            self,
            rows=_between(self.rows, self.size, area.row, area.height),
            columns=_between(self.columns, self.size, area.col, area.width),
        )

    def window(self, row: int, column: int) -> Window:
        """Return the part of the raster under the window that begins at a row and a column."""
        height, width = self.shape
        return Window(row, column, min(self.size, height - row), min(self.size, width - column))


def tile(shape: tuple[int, int], size: int, overlap: float, multiple: int = 32) -> Tiling:
    """Cover a raster with windows.

    Parameters
    ----------
    shape
        Rows and columns.
    size
        Side of a window in pixels, a multiple of ``multiple``.
    overlap
        Share of a window that neighbours have in common, 0 up to 0.9.
    multiple
        Of which the network's windows must be; 32 or more.

    Raises
    ------
    UsageError
        If the overlap is out of range.
    """
    if not 0 <= overlap <= 0.9:
        raise UsageError(f"the overlap is {overlap:g}", "choose a share from 0 to 0.9")
    # A small raster is not blown up to a large window.
    size = min(size, max(multiple, multiple * -(-max(shape) // multiple)))
    shared = round(size * overlap)
    return Tiling(
        shape, size, shared, _starts(shape[0], size, shared), _starts(shape[1], size, shared)
    )


def swaths(shape: tuple[int, int], widest: int) -> list[Window]:
    """Cut a raster into upright strips, so that memory does not grow with its width.

    Parameters
    ----------
    shape
        Rows and columns.
    widest
        Columns of a strip at most; they are of about equal width.
    """
    count = max(1, -(-shape[1] // widest))
    edges = [shape[1] * i // count for i in range(count + 1)]
    return [Window(0, a, shape[0], b - a) for a, b in pairwise(edges)]


def block_areas(shape: tuple[int, int], side: int) -> list[Window]:
    """Cut a raster into blocks of about equal size, row by row, at most ``side`` pixels a side."""
    columns = swaths(shape, side)
    return [
        Window(rows.col, part.col, rows.width, part.width)
        for rows in swaths((shape[1], shape[0]), side)
        for part in columns
    ]


def _between(starts: tuple[int, ...], size: int, first: int, length: int) -> tuple[int, ...]:
    return tuple(s for s in starts if s + size > first and s < first + length)


def _starts(length: int, size: int, shared: int) -> tuple[int, ...]:
    if length <= size:
        return (0,)
    starts = list(range(0, length - size, size - shared))
    return (*starts, length - size)


def taper(size: int, overlap: int) -> Array:
    """Return the weights of a window's pixels: 1 inside, falling as sin² over the overlap.

    Two neighbours' weights sum to 1 where they overlap by just ``overlap`` pixels; elsewhere the
    sum is divided out.

    Returns
    -------
    float32 (size, size), all above 0.
    """
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    ramp = np.ones(size) if overlap == 0 else np.sin(np.pi / 2 * np.minimum(distance / overlap, 1))
    edge = (ramp**2).astype(np.float32)
    return edge[:, None] * edge[None, :]
