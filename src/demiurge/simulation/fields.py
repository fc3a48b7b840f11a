"""Random fields and filters that all of a simulation is made of, fast and lean."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from demiurge.arrays import Array, Mask


def fractal(shape: tuple[int, int], hurst: float, rng: np.random.Generator) -> Array:
    """Return a fractional Brownian surface of mean 0 and standard deviation 1, float32.

    Successive random additions (Saupe 1988, The Science of Fractal Images, chapter 2): a coarse
    field is refined twofold by cubic B-splines, and each refinement adds noise that is 2^-H as
    strong. Nothing wraps around and no lattice shows.
    """
    surface, level = start_fractal(shape, rng), levels(shape)
    for index in range(level):
        surface = finer(surface)
        surface += additions(surface.shape, hurst, index + 1, rng)
    # A corner cut at random: the lattice of the coarse fields lies anywhere.
    surface = crop(surface, shape, rng)
    mean, spread = cv2.meanStdDev(surface)
    surface -= np.float32(mean[0, 0])
    surface /= np.float32(max(spread[0, 0], 1e-12))
    return surface


def levels(shape: tuple[int, int], coarsest: int = 4) -> int:
    """Return how often a field of about ``coarsest`` cells is refined to reach a shape."""
    return max(0, int(np.ceil(np.log2(max(shape) / coarsest))))


def start_fractal(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return the coarse field from which a fractal grows, with a rim for the random crop."""
    step = 2 ** levels(shape)
    cells = tuple(-(-n // step) + 2 for n in shape)
    return rng.standard_normal(cells, np.float32)


def additions(shape: tuple[int, ...], hurst: float, index: int, rng: np.random.Generator) -> Array:
    """Return the noise that a refinement adds."""
    return rng.standard_normal(shape, np.float32) * np.float32(2.0 ** (-hurst * index))


def finer(surface: Array) -> Array:
    """Refine twofold by cubic B-splines; a cell at each side, which lacks neighbours, goes."""
    return np.asarray(cv2.pyrUp(surface)[1:-1, 1:-1], np.float32)


def crop(surface: Array, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Cut a shape out of a larger surface, anywhere."""
    spare = [have - want for have, want in zip(surface.shape, shape, strict=True)]
    top, left = (int(rng.integers(max(n, 0) + 1)) for n in spare)
    return np.ascontiguousarray(surface[top : top + shape[0], left : left + shape[1]])


def blur(plane: Array, sigma: float) -> Array:
    """Gaussian filter of a float32 raster without NaN; edges are continued level."""
    if sigma <= 0:
        return plane
    if sigma > 8:  # smooth enough to be found on a coarser grid
        step = int(sigma // 3)
        small = cv2.resize(plane, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
        return resized(np.asarray(small, np.float32), plane.shape)
    found = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def resized(plane: Array, shape: tuple[int, ...]) -> Array:
    """Bring a smooth raster to another shape of the same extent, linearly."""
    found = cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def gradients(heights: Array, gsd: float) -> tuple[Array, Array]:
    """Return the rise per metre southward and eastward: central differences, as numpy.gradient."""
    found = [
        cv2.Sobel(
            heights, cv2.CV_32F, dx, 1 - dx, ksize=1, scale=0.5 / gsd,
            borderType=cv2.BORDER_REPLICATE,
        )
        for dx in (0, 1)
    ]  # fmt: skip
    return np.asarray(found[0], np.float32), np.asarray(found[1], np.float32)


def slope_of(heights: Array, gsd: float) -> Array:
    """Return the tangent of the slope."""
    return np.asarray(cv2.magnitude(*gradients(heights, gsd)), np.float32)


def quantile(field: Array, share: float) -> float:
    """Return a quantile of a large raster, from a regular sample of about 250,000 pixels."""
    step = max(1, int(np.sqrt(field.size / 250_000)))
    return float(np.quantile(field[::step, ::step], share))


def patches(
    shape: tuple[int, int], share: float, rng: np.random.Generator, hurst: float = 0.7
) -> Mask:
    """Return ragged patches that cover a share of the area."""
    if share <= 0:
        return np.zeros(shape, bool)
    field = fractal(shape, hurst, rng)
    return np.asarray(field > quantile(field, 1 - share))


def fading(shape: tuple[int, int], share: float, rng: np.random.Generator) -> Array:
    """Return weights 0 … 1 that are 1 in smooth patches of a share of the area and fade out."""
    small = (min(shape[0], 128), min(shape[1], 128))
    field = fractal(small, 1.0, rng)
    rise = (field - quantile(field, 1 - share)) / np.float32(0.15)
    weights = np.asarray(1 / (1 + np.exp(-np.clip(rise, -20, 20))), np.float32)
    # A blur of a cell's size: the cells would show.
    return blur(resized(weights, shape), 1.2 * max(shape) / max(small))


def warped(plane: Array, amount: float, rng: np.random.Generator) -> Array:
    """Displace a raster by a fractal field of ``amount`` pixels: what was straight winds."""
    shape = (plane.shape[0], plane.shape[1])
    rows, columns = np.indices(shape, np.float32)
    y, x = (grid + np.float32(amount) * fractal(shape, 0.8, rng) for grid in (rows, columns))
    found = cv2.remap(plane, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(found, np.float32)


@njit(cache=True)
def along_rows(plane, place, unseen):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Look up float columns of each row, linearly; ``unseen`` where beside the raster or NaN.

    With ``unseen`` infinite, the edge is continued instead.
    """
    rows, columns = place.shape
    last = plane.shape[1] - 1
    out = np.empty((rows, columns), np.float32)
    hold = np.isinf(unseen)
    for r in range(rows):
        for c in range(columns):
            x = place[r, c]
            if not hold and not (0 <= x <= last):
                out[r, c] = unseen
                continue
            x = min(max(x, 0.0), float(last))
            i = min(int(x), last - 1)
            f = np.float32(x - i)
            value = plane[r, i]
            if f > 0:  # what is not needed may be NaN
                value = value * (1 - f) + plane[r, i + 1] * f
            out[r, c] = unseen if np.isnan(value) and not hold else value
    return out
