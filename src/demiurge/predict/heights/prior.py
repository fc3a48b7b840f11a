"""Constraint of predicted heights to a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.layers import PRIOR
from demiurge.predict.heights.backprojection import PriorCells, back_project, cells_under
from demiurge.scene.footprint import lattice
from demiurge.scene.grid import Window, window_grid
from demiurge.scene.scene import Scene

#: Side in image pixels above which a pixel of the prior counts as coarser than the image.
COARSER = 1.3


@dataclass(frozen=True)
class PriorConstraint:
    """How heights are constrained to a prior.

    Attributes
    ----------
    grid, native
        Grid of the scene, and of the prior.
    accuracy
        Standard deviation in metres of the prior's errors at its own pixels; 0: exact; None:
        unknown: the network does not correct the means.
    detail
        Share of the network's detail that is kept, 0 to 1. Detail is the part of the change that
        is finer than the prior's pixels.
    restored
        Share of the means lost by interpolation that is restored, 0 to 1.
    uncertainty_factor
        Factor of the predicted uncertainty of the detail.
    errors
        Standard deviation in metres of the errors that the heights are assumed to have from the
        prior, which the uncertainty includes; 0 if the accuracy is known.
    fine
        The prior is as fine as the image, so that there is no detail.
    """

    grid: GeoBox
    native: GeoBox
    accuracy: float | None
    detail: float = 1.0
    restored: float = 1.0
    uncertainty_factor: float = 1.0
    errors: float = 0.0
    fine: bool = False

    def cells(self, window: Window, size: int) -> PriorCells:
        """Return the prior's pixels under a window of ``size`` pixels a side."""
        part = window_grid(self.grid, Window(window.row, window.col, 1, 1))
        square = GeoBox((size, size), part.affine, part.crs)
        return cells_under(size, lattice(self.native, square))

    def apply(self, window: Window, prior: Array, known: Mask, values: Array, count: int) -> Array:
        """Return the constrained heights and uncertainties of a window.

        Parameters
        ----------
        prior, known
            float32 and bool (size, size): the interpolated prior in metres with voids filled, and
            where it has data.
        values
            float32 (planes, size, size) in metres: ``count`` planes of heights, then their
            uncertainties if predicted.
        """
        if self.fine:
            return self._corrected_prior(prior, known, values, count)
        cells = self.cells(window, prior.shape[0])
        constrained = values.copy()
        for plane in range(count):
            heights = values[plane]
            uncertainty = values[count + plane] if len(values) > count else None
            trust: Array | float = 1.0
            if uncertainty is not None and self.accuracy:
                trust = 1 - self._network_weight(cells.means(uncertainty))
            constrained[plane] = back_project(
                heights - prior, prior, cells,
                known=known, detail=self.detail, trust=trust, restored=self.restored,
            )  # fmt: skip
            if uncertainty is not None:
                coarse = self._network_weight(uncertainty)
                finer = (1 - coarse) * np.float32(self.uncertainty_factor**2)
                variance = uncertainty**2 * (coarse + finer) + np.float32(self.errors**2)
                constrained[count + plane] = np.sqrt(variance)
        return constrained

    def _corrected_prior(self, prior: Array, known: Mask, values: Array, count: int) -> Array:
        """Return a fine prior's heights, corrected by the network as far as its accuracy allows.

        The same holds in voids, which are filled smoothly; their uncertainty is the network's.
        """
        corrected = values.copy()
        for plane in range(count):
            weight = np.zeros_like(prior)
            if self.accuracy and len(values) > count:
                uncertainty = values[count + plane]
                weight = self._network_weight(uncertainty)
                share = np.where(known, weight, np.float32(1))
                corrected[count + plane] = uncertainty * np.sqrt(share)
            corrected[plane] = prior + weight * (values[plane] - prior)
        return corrected

    def _network_weight(self, uncertainty: Array) -> Array:
        """Return the weight of the network against the prior, by inverse variances, 0 to 1."""
        if not self.accuracy:
            return np.zeros_like(uncertainty)
        variance = np.float32(self.accuracy**2)
        return np.asarray(variance / (variance + uncertainty**2), np.float32)


def constrain_to_prior(scene: Scene, accuracy: float | None) -> PriorConstraint:
    """Return the constraint of a scene's heights to its prior.

    The prior's grid is that of the file that it was read or prepared from. A prior that was
    resampled to the image counts as fine as the image.
    """
    source = scene.sources[PRIOR]
    constraint = PriorConstraint(scene.grid, source.native or source.grid, accuracy)
    rows, columns = scene.shape
    centre = Window(rows // 2, columns // 2, 1, 1)
    return replace(constraint, fine=constraint.cells(centre, 8).size < COARSER)
