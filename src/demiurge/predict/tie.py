"""What a network adds to a coarse prior, held to what the prior knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.layers import PRIOR
from demiurge.predict.cells import Cells, back_projected, cells_under
from demiurge.scene.grid import Window, lattice, window_grid
from demiurge.scene.scene import Scene

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: Pixels to the side of a prior's pixel from which it counts as coarser than the image.
COARSER = 1.3


@dataclass(frozen=True)
class Tie:
    """How heights are tied to a prior.

    Attributes
    ----------
    grid
        The scene's.
    native
        The prior's own.
    accuracy
        Standard deviation in metres of the prior's errors at its own pixels; 0 takes it at its
        word. None, where nobody tells, does so for the heights but not for the uncertainty: it
        stays at least what the bundle has learned, and grows by what is withheld of its change.
    detail
        Share of the network's finer part that is kept.
    spread
        Factor of the predicted uncertainty.
    """

    grid: GeoBox
    native: GeoBox
    accuracy: float | None
    detail: float = 1.0
    spread: float = 1.0

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
                found[count + plane] = self._doubt(doubt, heights - found[plane])
        return found

    def _doubt(self, spread: Array, withheld: Array) -> Array:
        """Return the standard deviation of heights that a change was withheld from."""
        if self.accuracy is None:
            # It may have been right.
            found = np.hypot(np.float32(max(1.0, self.spread)) * spread, withheld)
        else:
            coarse = self._doubted(spread)
            found = spread * np.sqrt(coarse + (1 - coarse) * np.float32(self.spread**2))
        return np.asarray(found, np.float32)

    def _doubted(self, spread: Array) -> Array:
        """Return how little the prior counts against heights with a standard deviation."""
        if not self.accuracy:
            return np.zeros_like(spread)
        variance = np.float32(self.accuracy**2)
        return np.asarray(variance / (variance + spread**2), np.float32)


def tie_to_prior(scene: Scene, accuracy: float | None) -> Tie | None:
    """Return how a scene's heights are tied to its prior; None if it is no coarser than the image.

    A scene that was prepared without noting what its prior was warped from has none, either.
    """
    source = scene.sources[PRIOR]
    tie = Tie(scene.grid, source.native or source.grid, accuracy)
    rows, columns = scene.shape
    middle = Window(rows // 2, columns // 2, 1, 1)
    return tie if tie.cells(middle, 8).size >= COARSER else None
