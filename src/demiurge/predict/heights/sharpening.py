"""How far a prior is sharpened: relief is restored, errors of the prior are not amplified.

Restoring the means of the prior's pixels also amplifies their errors: independent errors of
standard deviation 1 have one of 0.81 when they are interpolated, and of 1.11 when their means are
restored. The share that is restored has the least expected error if the errors are as large as
stated or assumed. It is that of a Wiener filter: the variance of the lost means less the part of
the errors, over that variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demiurge.arrays import Array
from demiurge.layers import PRIOR
from demiurge.predict.heights.backprojection import lost_means
from demiurge.predict.heights.prior import PriorConstraint
from demiurge.raster.voids import fill_voids
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Assumed standard deviation in metres of the errors of a prior's pixels: about that of global
#: models in open land; of small pixels a share of their side.
LARGEST_ASSUMED, _SHARE = 3.0, 0.2
#: Of independent errors of variance 1: variance of the lost means plus covariance of interpolated
#: errors and restored means, over the variance of restored means per variance of lost ones.
_ERRORS = 0.32
#: Of independent errors of variance 1: variance of the interpolated errors, twice its covariance
#: with the restored means, and the variance of the restored and of the lost means.
_INTERPOLATED, _COMMON, _RESTORED, _LOST = 0.66, 0.45, 0.12, 0.114
#: Minimum number of pixels of the prior that tell the variance of the lost means.
_FEWEST = 4
#: Side in pixels of the prior of the blocks that bound its errors, and their minimum number.
_BLOCK, _BLOCKS = 4, 4


@dataclass(frozen=True)
class Sharpening:
    """How far a prior is sharpened.

    Attributes
    ----------
    restored
        Share of the lost means to restore, 0 to 1.
    assumed
        Assumed standard deviation in metres of the errors of the prior's pixels; 0 if they are
        stated.
    """

    restored: float
    assumed: float

    @property
    def errors(self) -> float:
        """Return the standard deviation in metres that the assumed errors have in the heights."""
        share = self.restored
        variance = _INTERPOLATED + _COMMON * share + _RESTORED * share**2
        return self.assumed * math.sqrt(variance)


#: An exact prior: all lost means are restored.
EXACT = Sharpening(1.0, 0.0)


def assumed_errors(pixel: float) -> float:
    """Return the assumed standard deviation in metres of the errors of a prior.

    Parameters
    ----------
    pixel
        Side of the prior's pixels in metres.
    """
    return min(LARGEST_ASSUMED, _SHARE * pixel)


def sharpening_of(scene: Scene, constraint: PriorConstraint, places: list[Window]) -> Sharpening:
    """Return how far the prior of a scene is sharpened.

    All is restored of an exact prior, nothing if it has too few pixels to tell its relief.

    Parameters
    ----------
    places
        Square windows of the scene that show the relief of the prior.
    """
    accuracy = constraint.accuracy
    if accuracy == 0:
        return EXACT
    lost = [values for place in places for values in _lost(scene, constraint, place)]
    known = [values[np.isfinite(values)] for values in lost]
    middle = Window(scene.shape[0] // 2, scene.shape[1] // 2, 1, 1)
    pixel = constraint.cells(middle, 8).size * scene.pixel_size
    assumed = 0.0 if accuracy else min(assumed_errors(pixel), largest_errors(lost))
    if sum(values.size for values in known) < _FEWEST:
        return Sharpening(0.0, assumed)
    variance = float(np.mean(np.concatenate(known).astype(np.float64) ** 2))
    return Sharpening(share_of(variance, accuracy or assumed), assumed)


def share_of(variance: float, errors: float) -> float:
    """Return the share of the lost means to restore, 0 to 1.

    Parameters
    ----------
    variance
        Variance of the lost means in square metres.
    errors
        Standard deviation in metres of the errors of the prior's pixels.
    """
    if variance <= 0 or math.isnan(variance):
        return 0.0
    return max(0.0, 1 - _ERRORS * errors**2 / variance)


def largest_errors(lost: list[Array]) -> float:
    """Return the largest standard deviation in metres that a prior's errors can have.

    Errors show in the lost means together with the relief, so where the relief is least they
    bound the errors. The median of blocks is taken: lakes and seas are often flattened, and errors
    are larger on slopes. Errors that are alike over several pixels do not show.

    Parameters
    ----------
    lost
        float32 (rows, columns) of areas: the lost means in metres, NaN where they are not known.

    Returns
    -------
    Infinity if there are too few blocks.
    """
    variances = [v for plane in lost for v in _block_variances(plane)]
    if len(variances) < _BLOCKS:
        return math.inf
    return math.sqrt(float(np.median(variances)) / _LOST)


def _block_variances(lost: Array) -> Iterator[float]:
    """Yield the mean squares of blocks that are known and not entirely flat."""
    for row in range(0, lost.shape[0] - _BLOCK + 1, _BLOCK):
        for col in range(0, lost.shape[1] - _BLOCK + 1, _BLOCK):
            block = lost[row : row + _BLOCK, col : col + _BLOCK].astype(np.float64)
            if (variance := float(np.mean(block**2))) > 0:
                yield variance


def _lost(scene: Scene, constraint: PriorConstraint, place: Window) -> Iterator[Array]:
    """Yield the lost means of the prior's pixels inside a window, NaN for void, if it has data."""
    prior = scene.read(place, [PRIOR])[0]
    known = np.isfinite(prior)
    if known.any():
        cells = constraint.cells(place, place.height)
        lost = lost_means(cells.centre_values(fill_voids(prior, known)))
        lost[cells.means((~known).astype(np.float32)) > 0] = np.nan
        yield lost[1:-1, 1:-1]
    scene.release()
