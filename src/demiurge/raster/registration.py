"""Translation between two images of the same place."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from demiurge.arrays import Array, Mask

#: Minimum number of pixels that both images must have.
_MIN_PIXELS = 1024
_STEPS = 20


class Translation(NamedTuple):
    """Translation of an image relative to a reference.

    Attributes
    ----------
    row, col
        Pixels by which the content of the image is shifted down and right.
    correlation
        Correlation coefficient of the two images after the shift is removed.
    """

    row: float
    col: float
    correlation: float


def translation(reference: Array, image: Array, most: int = 16) -> Translation | None:
    """Estimate the translation between two images to a few hundredths of a pixel.

    The integer part is the maximum of the cross-correlation of the high-pass filtered images. The
    fraction comes from Gauss-Newton steps on the squared differences (Lucas and Kanade 1981),
    which also estimate gain and offset of the brightness.

    Parameters
    ----------
    reference, image
        float32 (rows, columns), NaN for no data.
    most
        Largest translation in pixels along an axis.

    Returns
    -------
    The translation, or None if the images have too few pixels in common, one has no texture, or
    the estimate does not converge within ``most``.
    """
    both = np.isfinite(reference) & np.isfinite(image)
    if both.sum() < _MIN_PIXELS:
        return None
    first, second = _high_pass(reference, both), _high_pass(image, both)
    if first is None or second is None:
        return None
    row, col = _integer_shift(first, second, most)
    return _refined(first, second, both, row, col, most)


def _high_pass(image: Array, both: Mask) -> Array | None:
    """Return the image less its local mean, with unit standard deviation; 0 for no data."""
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(image)
    filled = np.where(known, image, 0).astype(np.float32)
    weight = gaussian_filter(known.astype(np.float32), 8)
    mean = gaussian_filter(filled, 8) / np.maximum(weight, 1e-3)
    detail = np.where(known, image - mean, 0).astype(np.float32)
    deviation = float(detail[both].std())
    if deviation <= 0 or not math.isfinite(deviation):
        return None
    return detail / np.float32(deviation)


def _integer_shift(first: Array, second: Array, most: int) -> tuple[int, int]:
    """Return the integer shift with the largest cross-correlation."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    shape = [next_fast_len(length + most, real=True) for length in first.shape]
    spectrum = np.conj(rfft2(first, shape)) * rfft2(second, shape)
    surface = irfft2(spectrum, shape)
    limits = [min(most, length // 2) for length in first.shape]
    rows = np.arange(-limits[0], limits[0] + 1)
    cols = np.arange(-limits[1], limits[1] + 1)
    near = surface[np.ix_(rows % shape[0], cols % shape[1])]
    row, col = np.unravel_index(int(np.argmax(near)), near.shape)
    return int(rows[row]), int(cols[col])


def _refined(
    first: Array, second: Array, both: Mask, row: float, col: float, most: int
) -> Translation | None:
    """Refine an integer shift by Gauss-Newton steps."""
    from scipy.ndimage import shift

    known = both.astype(np.float32)
    slopes = [np.asarray(np.gradient(first, axis=axis), np.float32) for axis in (0, 1)]
    inner = np.zeros(first.shape, bool)
    inner[2:-2, 2:-2] = True
    correlation = 0.0
    for _ in range(_STEPS):
        moved = shift(second, (-row, -col), order=3, mode="constant")
        use = inner & both & (shift(known, (-row, -col), order=1, mode="constant") > 0.999)
        if use.sum() < _MIN_PIXELS:
            return None
        a, b = first[use].astype(np.float64), moved[use].astype(np.float64)
        correlation = float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std()))
        design = np.stack([slopes[0][use], slopes[1][use], first[use], np.ones(a.size)], axis=1)
        solution = np.linalg.lstsq(design, b, rcond=None)[0]
        if solution[2] <= 0:
            return None
        down, right = -solution[0] / solution[2], -solution[1] / solution[2]
        row, col = row + float(np.clip(down, -1, 1)), col + float(np.clip(right, -1, 1))
        if abs(row) > most + 1 or abs(col) > most + 1:
            return None
        if max(abs(down), abs(right)) < 1e-3:
            break
    return Translation(row, col, correlation)
