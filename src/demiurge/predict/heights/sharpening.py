"""How far a prior of unknown accuracy is sharpened: relief is restored, errors are not amplified.

Restoring the means of the prior's pixels also amplifies their errors: independent errors of
standard deviation 1 have one of 0.81 when they are interpolated, and of 1.11 when their means are
restored. The share that is restored has the least expected error if the errors are as large as
assumed. It is that of a Wiener filter: the variance of the lost means less the part of the
errors, over that variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

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
_ASSUMED, _SHARE = 3.0, 0.2
#: Of independent errors of variance 1: variance of the lost means plus covariance of interpolated
#: errors and restored means, over the variance of restored means per variance of lost ones.
_ERRORS = 0.32
#: Minimum number of pixels of the prior that tell the variance of the lost means.
_FEWEST = 4


def assumed_errors(pixel: float) -> float:
    """Return the assumed standard deviation in metres of the errors of a prior.

    Parameters
    ----------
    pixel
        Side of the prior's pixels in metres.
    """
    return min(_ASSUMED, _SHARE * pixel)


def restored_share(scene: Scene, constraint: PriorConstraint, places: list[Window]) -> float:
    """Return the share of the lost means to restore, 0 to 1.

    1 if the accuracy of the prior is known; 0 if the prior has too few pixels.

    Parameters
    ----------
    places
        Square windows of the scene that show the relief of the prior.
    """
    if constraint.accuracy is not None:
        return 1.0
    lost = [values for place in places for values in _lost(scene, constraint, place)]
    if sum(values.size for values in lost) < _FEWEST:
        return 0.0
    variance = float(np.mean(np.concatenate(lost).astype(np.float64) ** 2))
    middle = Window(scene.shape[0] // 2, scene.shape[1] // 2, 1, 1)
    pixel = constraint.cells(middle, 8).size * scene.pixel_size
    return share_of(variance, assumed_errors(pixel))


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


def _lost(scene: Scene, constraint: PriorConstraint, place: Window) -> Iterator[Array]:
    """Yield the lost means of the prior's pixels that lie inside a window, if it has data."""
    prior = scene.read(place, [PRIOR])[0]
    known = np.isfinite(prior)
    if known.any():
        cells = constraint.cells(place, place.height)
        lost = lost_means(cells.centre_values(fill_voids(prior, known)))
        complete = cells.means((~known).astype(np.float32)) == 0
        inside = (slice(1, -1),) * 2
        yield lost[inside][complete[inside]]
    scene.release()
