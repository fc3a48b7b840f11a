"""Detection of gross outliers: isolated peaks and pits that are too high for their width.

A blunder of a stereo matcher is a pixel or a blob hundreds to thousands of metres off. Towers
are lower. Cliffs are not isolated: the high ground continues behind them.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array, Mask

#: Largest real height difference to all surroundings, by width: metres for masts and towers,
#: pixels for blobs. Auckland's Sky Tower (302 m) exceeds an opening by 199 m.
NARROW, NARROW_HEIGHT = 10.0, 400.0
WIDE, WIDE_HEIGHT = 33, 1000.0
#: Halo in pixels: the result of a window depends on no pixel farther away.
MARGIN = 2 * WIDE
#: Largest component at the edge of the array, in pixels: its surroundings are unknown.
_EDGE_SIZE = 3
#: The flanks of an outlier end at this share of the least height.
_FLANK = 0.1
_NEIGHBOURS = np.ones((3, 3), bool)


def gross_outliers(heights: Array, gsd: float) -> Mask:
    """Return the mask of gross outliers.

    A component of pixels is an outlier if it is narrower than a square in both directions,
    exceeds the morphological opening (or closing) by that square by more than a least height,
    and no measured neighbour exceeds it by half of that.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, NaN for voids.
    gsd
        Pixel size in metres.

    Returns
    -------
    bool (rows, columns). A pixel depends on no pixel farther than ``MARGIN``.
    """
    outliers = np.zeros(heights.shape, bool)
    narrow = min(max(2 * round(NARROW / gsd / 2) + 1, 3), WIDE)
    for side, least in ((narrow, NARROW_HEIGHT), (WIDE, WIDE_HEIGHT)):
        if not exceeds(heights, least):
            continue
        for sign in (1, -1):
            outliers |= isolated_peaks(np.float32(sign) * heights, side, np.float32(least))
    return outliers


def exceeds(heights: Array, least: float = NARROW_HEIGHT) -> bool:
    """Return whether the range of heights exceeds ``least`` metres."""
    measured = heights[np.isfinite(heights)]
    return bool(measured.size) and float(measured.max() - measured.min()) > least


def isolated_peaks(heights: Array, side: int, least: np.float32) -> Mask:
    """Return isolated peaks narrower than a square of ``side`` pixels.

    Parameters
    ----------
    heights
        float32 (rows, columns), NaN for voids.
    least
        Least height of a peak above the morphological opening, in the unit of the heights.
    """
    low = np.where(np.isnan(heights), np.float32(np.inf), heights)
    opened = ndimage.minimum_filter(low, side, mode="constant", cval=np.inf)
    opened[np.isinf(opened)] = -np.inf
    opened = ndimage.maximum_filter(opened, side, mode="constant", cval=-np.inf)
    above = np.where(np.isnan(heights), np.float32(-np.inf), heights - opened)
    mask = np.zeros(heights.shape, bool)
    if not (above > least).any():
        return mask
    labels, _ = ndimage.label(above > least * np.float32(_FLANK), _NEIGHBOURS)
    peaks = set(np.unique(labels[above > least])) - {0}
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        if label not in peaks or not _small(place, heights.shape, side):
            continue
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in place)
        component = labels[around] == label
        rim = ndimage.binary_dilation(component, _NEIGHBOURS) & ~component
        limit = opened[around][component].min() + least / 2
        if not (heights[around][rim] > limit).any():
            mask[around] |= component
    return mask


def _small(place: tuple[slice, ...], shape: tuple[int, ...], side: int) -> bool:
    """Return whether a component is narrower than a side, or tiny at the edge of the array."""
    cut = any(s.start == 0 or s.stop == n for s, n in zip(place, shape, strict=True))
    most = _EDGE_SIZE if cut else side - 1
    return all(s.stop - s.start <= most for s in place)
