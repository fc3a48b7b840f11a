"""Heights along lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Values
from demiurge.errors import DataError, UsageError
from demiurge.scene.grid import Window, pixel_size

#: x and y of the first end, then of the second, in the CRS of the comparison.
Line = tuple[float, float, float, float]

#: Largest number of points on a line, and number of points that are read at once.
_MOST, _RUN = 2000, 100


@dataclass(frozen=True)
class Profile:
    """Heights along a line.

    Attributes
    ----------
    title
        Coordinates of the ends.
    along
        float64 (points,): distance from the first end in metres.
    heights
        float32 (points,) by role, in metres; NaN for no data.
    """

    title: str
    along: Values
    heights: Mapping[str, Array]


def read_line(text: str) -> Line:
    """Parse ``x1,y1,x2,y2``.

    Raises
    ------
    UsageError
        If the text has another form.
    """
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--profile {text}: is no line", "write it as x1,y1,x2,y2") from None
    return x1, y1, x2, y2


class HeightReader(Protocol):
    """A raster that is read by window: a source, or one that is shifted or scaled."""

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of a grid: float32 in metres, NaN for no data."""


def sample_profile(line: Line, rasters: Mapping[str, HeightReader], grid: GeoBox) -> Profile:
    """Read heights at the pixels along a line.

    Raises
    ------
    DataError
        If an end lies outside the grid.
    """
    _require_inside(line, grid)
    (c1, r1), (c2, r2) = ~grid.affine * line[:2], ~grid.affine * line[2:]
    length = float(np.hypot(c2 - c1, r2 - r1))
    count = int(np.clip(np.ceil(length) + 1, 2, _MOST))
    rows = np.linspace(r1, r2, count).astype(int)
    columns = np.linspace(c1, c2, count).astype(int)
    heights = {role: np.empty(count, np.float32) for role in rasters}
    for first in range(0, count, _RUN):
        part = slice(first, min(first + _RUN, count))
        top, left = int(rows[part].min()), int(columns[part].min())
        window = Window(
            top, left, int(rows[part].max()) - top + 1, int(columns[part].max()) - left + 1
        )
        for role, raster in rasters.items():
            block = raster.read(grid, window)
            heights[role][part] = block[rows[part] - top, columns[part] - left]
    x1, y1, x2, y2 = line
    return Profile(
        f"{x1:.10g}, {y1:.10g} to {x2:.10g}, {y2:.10g}",
        np.linspace(0, length * pixel_size(grid), count),
        heights,
    )


def _require_inside(line: Line, grid: GeoBox) -> None:
    for x, y in (line[:2], line[2:]):
        column, row = ~grid.affine * (x, y)
        if not (0 <= column < grid.shape[1] and 0 <= row < grid.shape[0]):
            left, top = grid.affine * (0, 0)
            right, bottom = grid.affine * (grid.shape[1], grid.shape[0])
            raise DataError(
                f"the profile's end {x:g}, {y:g} lies outside the compared area "
                f"({left:g} to {right:g}, {bottom:g} to {top:g})",
                f"give coordinates in {grid.crs}",
            )
