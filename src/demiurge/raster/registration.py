"""Translation between two images of one place."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array

#: Pixels that two images must share to be laid on each other.
_ENOUGH = 1024
_STEPS = 20


class Translation(NamedTuple):
    """How far an image lies from a reference.

    Attributes
    ----------
    row, col
        Pixels by which the image's content lies below and right of the reference's.
    correlation
        Correlation coefficient of the two once the translation is removed.
    """

    row: float
    col: float
    correlation: float


def translation(reference: Array, image: Array, most: int = 16) -> Translation | None:
    """Estimate the translation between two images to a few hundredths of a pixel.

    Whole pixels come from the cross-correlation of the high-pass filtered images; the fraction
    from Gauss-Newton steps on the squared differences (Lucas and Kanade 1981), with gain and
    offset of the brightness estimated along with it.

    Parameters
    ----------
    reference, image
        float32 (rows, columns), NaN for no data.
    most
        Largest translation in pixels along an axis.

    Returns
    -------
    The translation, or None where the images share too little, are featureless, or the estimate
    does not converge within ``most``.
    """
    both = np.isfinite(reference) & np.isfinite(image)
    if both.sum() < _ENOUGH:
        return None
    first, second = _standard(reference, both), _standard(image, both)
    if first is None or second is None:
        return None
    row, col = _whole_pixels(first, second, most)
    return _refined(first, second, both, row, col, most)


def _standard(image: Array, both: npt.NDArray[np.bool_]) -> Array | None:
    """Return the image with zero mean and unit spread, without its wide variations; 0 for NaN."""
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(image)
    filled = np.where(known, image, 0).astype(np.float32)
    weight = gaussian_filter(known.astype(np.float32), 8)
    mean = gaussian_filter(filled, 8) / np.maximum(weight, 1e-3)
    detail = np.where(known, image - mean, 0).astype(np.float32)
    spread = float(detail[both].std())
    return None if spread <= 0 or not math.isfinite(spread) else detail / np.float32(spread)


def _whole_pixels(first: Array, second: Array, most: int) -> tuple[int, int]:
    from scipy.fft import irfft2, next_fast_len, rfft2

    shape = [next_fast_len(length + most, real=True) for length in first.shape]
    spectrum = np.conj(rfft2(first, shape)) * rfft2(second, shape)
    surface = irfft2(spectrum, shape)
    reach = [min(most, length // 2) for length in first.shape]
    rows = np.arange(-reach[0], reach[0] + 1)
    cols = np.arange(-reach[1], reach[1] + 1)
    near = surface[np.ix_(rows % shape[0], cols % shape[1])]
    row, col = np.unravel_index(int(np.argmax(near)), near.shape)
    return int(rows[row]), int(cols[col])


def _refined(
    first: Array, second: Array, both: npt.NDArray[np.bool_], row: float, col: float, most: int
) -> Translation | None:
    from scipy.ndimage import shift

    known = both.astype(np.float32)
    slopes = [np.asarray(np.gradient(first, axis=axis), np.float32) for axis in (0, 1)]
    inner = np.zeros(first.shape, bool)
    inner[2:-2, 2:-2] = True
    correlation = 0.0
    for _ in range(_STEPS):
        moved = shift(second, (-row, -col), order=3, mode="constant")
        use = inner & both & (shift(known, (-row, -col), order=1, mode="constant") > 0.999)
        if use.sum() < _ENOUGH:
            return None
        a, b = first[use].astype(np.float64), moved[use].astype(np.float64)
        correlation = float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std()))
        design = np.stack([slopes[0][use], slopes[1][use], first[use], np.ones(a.size)], axis=1)
        found = np.linalg.lstsq(design, b, rcond=None)[0]
        if found[2] <= 0:
            return None
        down, right = -found[0] / found[2], -found[1] / found[2]
        row, col = row + float(np.clip(down, -1, 1)), col + float(np.clip(right, -1, 1))
        if abs(row) > most + 1 or abs(col) > most + 1:
            return None
        if max(abs(down), abs(right)) < 1e-3:
            break
    return Translation(row, col, correlation)
