"""Heights as they are judged: a raster, perhaps moved and scaled to lie on the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.scene.grid import Window, blocks
from demiurge.scene.source import Source

BLOCK = 1024


@dataclass(frozen=True)
class Judged:
    """``scale`` · height + ``offset`` of a raster that lies ``east``, ``north`` metres further.

    A scale of 0 makes it flat where the raster has heights.
    """

    source: Source
    scale: float = 1.0
    offset: float = 0.0
    east: float = 0.0
    north: float = 0.0

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read the window of a grid: float32 in metres, NaN for no data."""
        if self.east or self.north:
            grid = GeoBox(grid.shape, Affine.translation(-self.east, -self.north) * grid.affine,
                          grid.crs)  # fmt: skip
        found = self.source.read(grid, window, step)
        if self.scale != 1:
            found *= np.float32(self.scale)
        if self.offset:
            found += np.float32(self.offset)
        return found


@dataclass(frozen=True)
class Affinity:
    """The straight line through heights of the reference over those of a surface.

    Attributes
    ----------
    scale, offset
        reference ≈ scale · surface + offset, by least squares.
    correlation
        Pearson's, −1 … 1; 0 where one of them is flat.
    mean, mean_reference
        Mean heights over the pixels that both have.
    count
        How many these are.
    """

    scale: float
    offset: float
    correlation: float
    mean: float
    mean_reference: float
    count: int


def affinity(surface: Judged, reference: Source, grid: GeoBox, mask: Source | None) -> Affinity:
    """Fit heights to a reference in one pass over both."""
    total = np.zeros(6)
    centre = None
    for window in blocks((int(grid.shape[0]), int(grid.shape[1])), BLOCK):
        truth = reference.read(grid, window)
        found = surface.read(grid, window)
        known = np.isfinite(truth) & np.isfinite(found)
        if mask is not None:
            known &= mask.read(grid, window) > 0
        if not known.any():
            continue
        x, y = found[known].astype(np.float64), truth[known].astype(np.float64)
        # Sums about a height in the middle keep their digits.
        centre = (float(x.mean()), float(y.mean())) if centre is None else centre
        x -= centre[0]
        y -= centre[1]
        total += np.array([x.size, x.sum(), y.sum(), x @ x, x @ y, y @ y])
    if centre is None:
        return Affinity(1.0, 0.0, 0.0, 0.0, 0.0, 0)
    n, x1, y1, xx, xy, yy = total
    spread_x, spread_y = xx - x1 * x1 / n, yy - y1 * y1 / n
    shared = xy - x1 * y1 / n
    scale = shared / spread_x if spread_x > 0 else 0.0
    mean, mean_reference = centre[0] + x1 / n, centre[1] + y1 / n
    both = float(np.sqrt(max(spread_x * spread_y, 0.0)))
    return Affinity(
        float(scale),
        float(mean_reference - scale * mean),
        float(shared / both) if both > 0 else 0.0,
        float(mean),
        float(mean_reference),
        int(n),
    )
