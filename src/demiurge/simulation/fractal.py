"""Random fractal surfaces, and patches and displacements derived from them."""

from __future__ import annotations

import cv2
import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.simulation.filters import blur, quantile, resize


def fractal(shape: tuple[int, int], hurst: float, rng: np.random.Generator) -> Array:
    """Return a fractional Brownian surface of mean 0 and standard deviation 1, float32.

    Successive random additions (Saupe 1988, The Science of Fractal Images, chapter 2): a coarse
    field is upsampled twofold by cubic B-splines, and each refinement adds noise that is 2^-H as
    strong. The surface is not periodic.

    Parameters
    ----------
    shape
        Rows and columns.
    hurst
        Hurst exponent H; larger is smoother.
    """
    surface, count = coarse_noise(shape, rng), refinements(shape)
    for index in range(count):
        surface = upsample(surface)
        surface += octave_noise(surface.shape, hurst, index + 1, rng)
    # A random window hides the lattice of the coarse fields.
    surface = random_window(surface, shape, rng)
    mean, deviation = cv2.meanStdDev(surface)
    surface -= np.float32(mean[0, 0])
    surface /= np.float32(max(deviation[0, 0], 1e-12))
    return surface


def refinements(shape: tuple[int, int], coarsest: int = 4) -> int:
    """Return how often a field of about ``coarsest`` cells is doubled to reach a shape."""
    return max(0, int(np.ceil(np.log2(max(shape) / coarsest))))


def coarse_noise(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return the coarsest field of a fractal, with a border for the random window."""
    step = 2 ** refinements(shape)
    cells = tuple(-(-n // step) + 2 for n in shape)
    return rng.standard_normal(cells, np.float32)


def octave_noise(
    shape: tuple[int, ...], hurst: float, index: int, rng: np.random.Generator
) -> Array:
    """Return the noise of one refinement; the first has index 1."""
    return rng.standard_normal(shape, np.float32) * np.float32(2.0 ** (-hurst * index))


def upsample(surface: Array) -> Array:
    """Double the resolution by cubic B-splines; drops one incomplete cell at each side."""
    return np.asarray(cv2.pyrUp(surface)[1:-1, 1:-1], np.float32)


def random_window(surface: Array, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Cut a window of a shape out of a larger surface, at a random position."""
    spare = [have - want for have, want in zip(surface.shape, shape, strict=True)]
    top, left = (int(rng.integers(max(n, 0) + 1)) for n in spare)
    return np.ascontiguousarray(surface[top : top + shape[0], left : left + shape[1]])


def patches(
    shape: tuple[int, int], share: float, rng: np.random.Generator, hurst: float = 0.7
) -> Mask:
    """Return ragged patches that cover a share of the area."""
    if share <= 0:
        return np.zeros(shape, bool)
    field = fractal(shape, hurst, rng)
    return np.asarray(field > quantile(field, 1 - share))


def fading_patches(shape: tuple[int, int], share: float, rng: np.random.Generator) -> Array:
    """Return weights 0 … 1: 1 in smooth patches that cover a share of the area, then fading."""
    small = (min(shape[0], 128), min(shape[1], 128))
    field = fractal(small, 1.0, rng)
    rise = (field - quantile(field, 1 - share)) / np.float32(0.15)
    weights = np.asarray(1 / (1 + np.exp(-np.clip(rise, -20, 20))), np.float32)
    # Linear interpolation alone would show the cells.
    return blur(resize(weights, shape), 1.2 * max(shape) / max(small))


def warp(raster: Array, amplitude: float, rng: np.random.Generator) -> Array:
    """Displace a raster by a fractal field with a standard deviation of ``amplitude`` pixels."""
    shape = (raster.shape[0], raster.shape[1])
    rows, columns = np.indices(shape, np.float32)
    y, x = (grid + np.float32(amplitude) * fractal(shape, 0.8, rng) for grid in (rows, columns))
    warped = cv2.remap(raster, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.float32)
