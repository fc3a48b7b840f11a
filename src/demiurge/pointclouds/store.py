"""Points on disk, by tile of a grid: what bounds the memory for any number of points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.scene.grid import Window

_FIELDS = (("row", "<f4"), ("col", "<f4"), ("z", "<f4"), ("intensity", "<u2"), ("ground", "?"))
_COLOURS = ("red", "green", "blue")
#: Points of a tile that are processed at once; further ones wait in the file.
MOST = 4_000_000
#: Expected points and largest side in pixels of a tile.
_POINTS, _SIDE, _SMALLEST = 1_500_000, 1024, 128


def tile_side(shape: tuple[int, int], points: float) -> int:
    """Return the side of tiles in pixels, for an expected number of points on the grid."""
    density = points / max(1, shape[0] * shape[1])
    side = _SIDE
    while side > _SMALLEST and side * side * density > _POINTS:
        side //= 2
    return side


def record_type(*, colour: bool) -> Any:
    """Return the NumPy type of a stored point."""
    extra = [(name, "<u2") for name in _COLOURS] if colour else []
    return np.dtype([*_FIELDS, *extra])


@dataclass
class PointStore:
    """Points by tile, one file for each.

    Attributes
    ----------
    folder
        Folder of the files.
    shape
        Rows and columns of the grid.
    side
        Side of a tile in pixels.
    dtype
        See :func:`record_type`. Positions are pixels from the corner of the tile.
    """

    folder: Path
    shape: tuple[int, int]
    side: int
    dtype: Any
    counts: dict[int, int] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        """Return the number of tiles in a row."""
        return -(-self.shape[1] // self.side)

    def windows(self) -> Iterator[tuple[int, Window]]:
        """Yield number and window of every tile."""
        side = self.side
        for row in range(0, self.shape[0], side):
            for col in range(0, self.shape[1], side):
                size = min(side, self.shape[0] - row), min(side, self.shape[1] - col)
                yield row // side * self.columns + col // side, Window(row, col, *size)

    def sorted_by_tile(
        self, row: npt.NDArray[np.float64], col: npt.NDArray[np.float64], values: dict[str, Any]
    ) -> list[tuple[int, npt.NDArray[Any]]]:
        """Return records by tile.

        Parameters
        ----------
        row, col
            float64 (n,): positions in pixels, within the grid.
        values
            The other fields of the records.
        """
        tile_row = row.astype(np.int64) // self.side
        tile_col = col.astype(np.int64) // self.side
        tile = tile_row * self.columns + tile_col
        records = np.empty(len(row), self.dtype)
        records["row"], records["col"] = row - tile_row * self.side, col - tile_col * self.side
        for name in self.dtype.names[2:]:
            records[name] = values.get(name, 0)
        order = np.argsort(tile, kind="stable")
        records, tile = records[order], tile[order]
        changes = np.r_[True, tile[1:] != tile[:-1]] if len(tile) else np.zeros(0, bool)
        starts = np.flatnonzero(changes)
        ends = np.r_[starts[1:], len(tile)]
        return [(int(tile[s]), records[s:e]) for s, e in zip(starts, ends, strict=False)]

    def append(self, parts: list[tuple[int, npt.NDArray[Any]]]) -> None:
        """Write records by tile."""
        for tile, records in parts:
            with (self.folder / f"{tile}.points").open("ab") as file:
                records.tofile(file)
            self.counts[tile] = self.counts.get(tile, 0) + len(records)

    def strips(self, tile: int, window: Window) -> Iterator[tuple[Window, npt.NDArray[Any]]]:
        """Yield the points of a tile in strips of rows with a bounded number of points.

        Positions are pixels from the corner of the strip; windows are those of the grid.
        """
        count = self.counts.get(tile, 0)
        if count == 0:
            return
        parts = min(window.height, -(-count // MOST))
        edges = np.linspace(0, window.height, parts + 1).astype(int)
        for first, last in pairwise(edges):
            strip = Window(window.row + int(first), window.col, int(last - first), window.width)
            points = np.concatenate(list(self._rows(tile, first, last))) if parts > 1 else (
                np.fromfile(self.folder / f"{tile}.points", self.dtype)
            )  # fmt: skip
            points["row"] -= first
            yield strip, points

    def _rows(self, tile: int, first: int, last: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the points of some rows of a tile."""
        with (self.folder / f"{tile}.points").open("rb") as file:
            while len(block := np.fromfile(file, self.dtype, MOST // 4)):
                # A position is rounded to float32 and may lie on the end of the tile.
                row = np.minimum(block["row"], self.side - 1e-3)
                yield block[(row >= first) & (row < last)]

    def remove(self, tile: int) -> None:
        """Delete the points of a tile."""
        (self.folder / f"{tile}.points").unlink(missing_ok=True)
