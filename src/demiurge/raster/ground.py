"""Bare earth under large roofs: lowered to a wider view, or interpolated from reliable ground.

A network that has never seen the ground under a building as wide as its view places it too high.
It says so by its uncertainty. Such heights are lowered towards those that the network predicts at
coarser pixels; or they are replaced by those of reliable pixels, weighted by their uncertainty,
from fine to coarse cells and back (pull-push, Gortler et al. 1996, "The
Lumigraph", section 4.3).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array, Mask, Values
from demiurge.raster.morphology import tent_mean

#: Least height of a roof above the ground, and least uncertainty of the ground under it, metres.
TALL, UNCERTAIN = 2.5, 3.0
#: Mean distance in metres of a surface from its own mean over 2 m, below which it is a roof and
#: not a canopy; its limit at a pixel, so that walls count little; and the width of the mean.
_ROUGH, _MOST_ROUGH, _FINE, _WIDE = 0.4, 1.5, 2.0, 8.0
#: Radius in metres of the opening that leaves large roofs only.
_OPENING = 5.0
#: Distance in metres from a large roof within which the ground is replaced.
REACH = 40.0
#: Uncertainty in metres up to which ground is fully reliable, and the power of the decline.
_RELIABLE, _POWER = 0.7, 8
_LEAST_WEIGHT = 1e-6
#: Of a wider view: factor on its uncertainty; least uncertainty in metres that counts.
_TRUST, _LEAST = 0.5, 0.2
#: Levels of cells of doubling size that are local to a block of ``CELL`` pixels.
LEVELS = 5
CELL = 1 << LEVELS


def halo(gsd: float) -> int:
    """Return the distance in pixels that the weights of a pixel depend on."""
    return math.ceil((REACH + 2 * _OPENING + _FINE) / gsd) + 2 * _width(gsd) + 2


def under_roofs(surface: Array, ground: Array, uncertainty: Array, gsd: float) -> Mask:
    """Return bool (rows, columns): pixels near a large roof under which the ground is uncertain.

    Parameters
    ----------
    surface, ground
        float32 (rows, columns): heights of DSM and DTM in metres, NaN for no data.
    uncertainty
        float32 (rows, columns): that of the DTM in metres.
    gsd
        Pixel size in metres.
    """
    with np.errstate(invalid="ignore"):
        tall = (surface - ground > TALL) & (uncertainty > UNCERTAIN)
    if not tall.any():
        return tall
    roofs = tall & (_roughness(surface, gsd) < _ROUGH)
    large = ndimage.binary_opening(roofs, iterations=max(int(_OPENING / gsd), 1))
    if not large.any():
        return np.asarray(large)
    return np.asarray(ndimage.distance_transform_edt(~large) <= REACH / gsd)


def lowered(
    ground: Array, uncertainty: Array, wide: Array, wide_uncertainty: Array, zone: Mask
) -> tuple[Array, Array]:
    """Return bare earth and uncertainty, lowered in a zone towards those of a wider view.

    Means of both, weighted by inverse squares of their uncertainties; those of the wider view
    count half. A ground that the wider view would raise stays: under large roofs the nearer view
    errs upwards. The errors are taken for dependent, so that the uncertainties do not cancel.

    Parameters
    ----------
    ground, uncertainty, wide, wide_uncertainty
        float32 (rows, columns) in metres, NaN for no data.
    """
    near = np.maximum(uncertainty, _LEAST) ** -2
    far = (_TRUST * np.maximum(wide_uncertainty, _LEAST)) ** -2
    with np.errstate(invalid="ignore"):
        share = np.where(zone & (wide < ground), far / (near + far), 0)
    change = np.where(share > 0, wide - ground, 0)
    spread = np.where(share > 0, wide_uncertainty - uncertainty, 0)
    return (
        np.asarray(ground + share * change, np.float32),
        np.asarray(uncertainty + share * spread, np.float32),
    )


def weights(ground: Array, uncertainty: Array, zone: Mask) -> Values:
    """Return float64 weights of the ground, 0 to 1: 1 outside a zone, 0 for no data."""
    known = np.isfinite(ground)
    worse = np.where(zone & known, np.maximum(uncertainty / _RELIABLE, 1), 1).astype(np.float64)
    reliable = np.maximum(worse**-_POWER, _LEAST_WEIGHT)
    return np.asarray(np.where(known, reliable, 0))


def gather(heights: Values, weight: Values) -> list[tuple[Values, Values]]:
    """Return heights and weights at the pixels and at :data:`LEVELS` levels of cells.

    Each level has cells of 2 × 2 of the one before, with weights of at most 1.

    Parameters
    ----------
    heights, weight
        float64 (rows, columns); heights of weight 0 are 0. Rows and columns start at a multiple
        of :data:`CELL`.
    """
    levels = [(heights, weight)]
    for _ in range(LEVELS):
        levels.append(_coarser(*levels[-1]))
    return levels


def spread(levels: list[tuple[Values, Values]], coarse: Values) -> Values:
    """Return heights of the finest level, interpolated where weights are below 1.

    Parameters
    ----------
    levels
        From :func:`gather`.
    coarse
        float64: heights of the coarsest level, complete.
    """
    for heights, weight in reversed(levels[:-1]):
        rows, columns = heights.shape
        coarse = weight * heights + (1 - weight) * _finer(coarse)[:rows, :columns]
    return coarse


def complete(heights: Values, weight: Values) -> Values:
    """Return heights of a raster of cells, interpolated where weights are below 1."""
    if weight.min() >= 1:
        return heights
    if max(heights.shape) == 1:
        return heights if weight.any() else np.zeros_like(heights)
    rows, columns = heights.shape
    coarse = complete(*_coarser(heights, weight))
    return weight * heights + (1 - weight) * _finer(coarse)[:rows, :columns]


def _coarser(heights: Values, weight: Values) -> tuple[Values, Values]:
    total = _quads(weight)
    mean = np.divide(_quads(heights * weight), total, out=np.zeros_like(total), where=total > 0)
    return mean, np.minimum(total, 1)


def _quads(plane: Values) -> Values:
    """Return sums of 2 × 2 cells, with zeros beyond an odd edge."""
    rows, columns = plane.shape
    even = np.pad(plane, ((0, rows % 2), (0, columns % 2)))
    return np.asarray(even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])


def _finer(coarse: Values) -> Values:
    """Interpolate to cells of half the size, bilinearly (weights 3/4 and 1/4)."""
    for _ in range(2):
        padded = np.pad(coarse, ((1, 1), (0, 0)), mode="edge")
        fine = np.empty((2 * len(coarse), coarse.shape[1]))
        fine[::2] = 0.75 * padded[1:-1] + 0.25 * padded[:-2]
        fine[1::2] = 0.75 * padded[1:-1] + 0.25 * padded[2:]
        coarse = fine.T
    return np.ascontiguousarray(coarse)


def _width(gsd: float) -> int:
    """Return the width in pixels of the mean of the roughness, a power of two."""
    return 1 << max(round(math.log2(_WIDE / gsd)), 0)


def _roughness(surface: Array, gsd: float) -> Array:
    """Return the mean distance in metres of a surface from its own mean over 2 m."""
    known = np.isfinite(surface)
    side = max(round(_FINE / gsd), 3) | 1
    heights = np.where(known, surface, 0).astype(np.float64)
    share = ndimage.uniform_filter(known.astype(np.float64), side, mode="nearest")
    mean = ndimage.uniform_filter(heights, side, mode="nearest") / np.maximum(share, 1e-6)
    rough = np.where(known, np.minimum(np.abs(heights - mean), _MOST_ROUGH), _MOST_ROUGH)
    return tent_mean(rough.astype(np.float32), _width(gsd))
