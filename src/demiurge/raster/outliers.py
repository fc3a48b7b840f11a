"""Gross outliers of heights: what stands alone, higher or lower than anything real that narrow.

Pure functions on arrays. A stereo matcher's blunder is a pixel or a blob hundreds to thousands of
metres off. Towers are lower, and cliffs are not alone: high ground goes on behind them.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array, Mask

#: Metres above or below all around that nothing real reaches, by its width: in metres for masts
#: and towers, in pixels for blobs. Auckland's Sky Tower (302 m) stands 199 m above an opening.
NARROW, NARROW_HEIGHT = 10.0, 400.0
WIDE, WIDE_HEIGHT = 33, 1000.0
#: Pixels around a window that its answer depends on.
MARGIN = 2 * WIDE
#: At the array's edge what goes on beyond is not known: only specks of so many pixels count.
_SPECK = 3
#: Share of the least height at which the flanks of an outlier end.
_FLANK = 0.1
_BESIDE = np.ones((3, 3), bool)


def gross_outliers(heights: Array, gsd: float) -> Mask:
    """Return which pixels are gross outliers against their neighbourhood.

    A component of pixels counts if it is narrower than a square in both directions, stands out from
    the morphological opening (or closing) by that square by more than the least height, and no
    measured pixel beside it reaches half as far out.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, NaN for voids.
    gsd
        Pixel size in metres.

    Returns
    -------
    bool (rows, columns). It depends on no pixel further than ``MARGIN``.
    """
    found = np.zeros(heights.shape, bool)
    narrow = min(max(2 * round(NARROW / gsd / 2) + 1, 3), WIDE)
    for side, least in ((narrow, NARROW_HEIGHT), (WIDE, WIDE_HEIGHT)):
        if not exceeds(heights, least):
            continue
        for sign in (1, -1):
            found |= _peaks(np.float32(sign) * heights, side, np.float32(least))
    return found


def exceeds(heights: Array, least: float = NARROW_HEIGHT) -> bool:
    """Tell whether heights differ by so many metres that there may be an outlier."""
    measured = heights[np.isfinite(heights)]
    return bool(measured.size) and float(measured.max() - measured.min()) > least


def _peaks(heights: Array, side: int, least: np.float32) -> Mask:
    """Return isolated peaks narrower than a square of ``side`` pixels."""
    low = np.where(np.isnan(heights), np.float32(np.inf), heights)
    opened = ndimage.minimum_filter(low, side, mode="constant", cval=np.inf)
    opened[np.isinf(opened)] = -np.inf
    opened = ndimage.maximum_filter(opened, side, mode="constant", cval=-np.inf)
    above = np.where(np.isnan(heights), np.float32(-np.inf), heights - opened)
    found = np.zeros(heights.shape, bool)
    if not (above > least).any():
        return found
    labels, _ = ndimage.label(above > least * np.float32(_FLANK), _BESIDE)
    peaks = set(np.unique(labels[above > least])) - {0}
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        if label not in peaks or not _small(place, heights.shape, side):
            continue
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in place)
        mine = labels[around] == label
        beside = ndimage.binary_dilation(mine, _BESIDE) & ~mine
        limit = opened[around][mine].min() + least / 2
        if not (heights[around][beside] > limit).any():
            found[around] |= mine
    return found


def _small(place: tuple[slice, ...], shape: tuple[int, ...], side: int) -> bool:
    """Tell whether a component is narrower than a side, or at the array's edge a speck."""
    cut = any(s.start == 0 or s.stop == n for s, n in zip(place, shape, strict=True))
    most = _SPECK if cut else side - 1
    return all(s.stop - s.start <= most for s in place)
