"""Tie a network's heights to a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.layers import PRIOR
from demiurge.predict.heights.backprojection import Cells, back_projected, cells_under
from demiurge.scene.footprint import lattice
from demiurge.scene.grid import Window, window_grid
from demiurge.scene.scene import Scene

#: Pixels to the side of a prior's pixel from which it counts as coarser than the image.
COARSER = 1.3


@dataclass(frozen=True)
class PriorConstraint:
    """How heights are tied to a prior.

    Attributes
    ----------
    grid
        The scene's.
    native
        The prior's own.
    accuracy
        Standard deviation in metres of the prior's errors at its own pixels; 0: it is exact.
        None: unknown, and taken as 0.
    detail
        Share of the network's finer part that is kept.
    spread
        Factor of the predicted uncertainty.
    fine
        The prior is as fine as the image: there is no finer part.
    """

    grid: GeoBox
    native: GeoBox
    accuracy: float | None
    detail: float = 1.0
    spread: float = 1.0
    fine: bool = False

    def cells(self, window: Window, size: int) -> Cells:
        """Return the prior's pixels under a window of ``size`` pixels a side."""
        part = window_grid(self.grid, Window(window.row, window.col, 1, 1))
        square = GeoBox((size, size), part.affine, part.crs)
        return cells_under(size, lattice(self.native, square))

    def apply(self, window: Window, prior: Array, known: Mask, values: Array, count: int) -> Array:
        """Return a window's heights and uncertainties, tied to the prior.

        Parameters
        ----------
        prior, known
            float32 and bool (size, size): the interpolated prior in metres, its voids filled, and
            where it has none.
        values
            float32 (planes, size, size) in metres: ``count`` planes of heights, then perhaps their
            uncertainties.
        """
        if self.fine:
            return self._corrected(prior, known, values, count)
        cells = self.cells(window, prior.shape[0])
        found = values.copy()
        for plane in range(count):
            heights = values[plane]
            doubt = values[count + plane] if len(values) > count else None
            trust: Array | float = 1.0
            if doubt is not None and self.accuracy:
                trust = 1 - self._doubted(cells.means(doubt))
            found[plane] = back_projected(
                heights - prior, prior, cells, known=known, detail=self.detail, trust=trust
            )
            if doubt is not None:
                coarse = self._doubted(doubt)
                finer = (1 - coarse) * np.float32(self.spread**2)
                found[count + plane] = doubt * np.sqrt(coarse + finer)
        return found

    def _corrected(self, prior: Array, known: Mask, values: Array, count: int) -> Array:
        """Return a prior's own heights, corrected as far as its accuracy allows.

        Where it is void, the network's heights count if the accuracy is known.
        """
        found = values.copy()
        for plane in range(count):
            share = np.zeros_like(prior)
            if self.accuracy and len(values) > count:
                doubt = values[count + plane]
                share = np.where(known, self._doubted(doubt), np.float32(1))
                found[count + plane] = doubt * np.sqrt(share)
            found[plane] = prior + share * (values[plane] - prior)
        return found

    def _doubted(self, spread: Array) -> Array:
        """Return how little the prior counts against heights with a standard deviation."""
        if not self.accuracy:
            return np.zeros_like(spread)
        variance = np.float32(self.accuracy**2)
        return np.asarray(variance / (variance + spread**2), np.float32)


def constrain_to_prior(scene: Scene, accuracy: float | None) -> PriorConstraint:
    """Return how a scene's heights are tied to its prior.

    The prior's own pixels are those that it was read or prepared from. One that was resampled to
    the image counts as fine as the image.
    """
    source = scene.sources[PRIOR]
    tie = PriorConstraint(scene.grid, source.native or source.grid, accuracy)
    rows, columns = scene.shape
    middle = Window(rows // 2, columns // 2, 1, 1)
    return replace(tie, fine=tie.cells(middle, 8).size < COARSER)
