"""Bare earth: fractal heights, carved by rivers and worn by creep."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import fft, ndimage

Array = npt.NDArray[np.float32]

#: Erosion runs on a grid of at most this many cells a side; finer detail is fractal.
_EROSION_SIDE = 384
#: What all steps together carve on a slope that drains one cell, as a share of the fall.
_STRENGTH = 0.5


def fractal(shape: tuple[int, int], hurst: float, rng: np.random.Generator) -> Array:
    """Return a fractional Brownian surface of mean 0 and standard deviation 1, float32.

    Spectral synthesis: amplitudes fall as f^-(H + 1) in two dimensions (Voss 1985). Made on twice
    the size and cropped, so that opposite edges do not match.
    """
    rows, columns = (fft.next_fast_len(2 * n, real=True) for n in shape)
    fy = np.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(columns).astype(np.float32)[None, :]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    amplitude = frequency ** np.float32(-(hurst + 1))
    amplitude[0, 0] = 0
    spectrum = np.empty(amplitude.shape, np.complex64)
    spectrum.real = rng.standard_normal(amplitude.shape, np.float32) * amplitude
    spectrum.imag = rng.standard_normal(amplitude.shape, np.float32) * amplitude
    surface = fft.irfft2(spectrum, s=(rows, columns), overwrite_x=True)[: shape[0], : shape[1]]
    surface = surface - surface.mean(dtype=np.float64)
    return np.asarray(surface / surface.std(dtype=np.float64), np.float32)


def make_terrain(
    shape: tuple[int, int],
    relief: float,
    hurst: float,
    steps: int,
    rng: np.random.Generator,
) -> Array:
    """Return bare-earth heights.

    Parameters
    ----------
    shape
        Rows and columns.
    relief
        Range of heights in metres between the 1st and 99th percentile.
    hurst
        Roughness of the fractal.
    steps
        Steps of erosion; 0 leaves the fractal.

    Returns
    -------
    float32 heights in metres, lowest about 0.
    """
    coarse = max(1, -(-max(shape) // _EROSION_SIDE))
    small = (-(-shape[0] // coarse) + 2, -(-shape[1] // coarse) + 2)
    heights = fractal(small, hurst, rng)
    heights = _ranged(heights, relief)
    if steps:
        heights = _ranged(erode(heights, steps, rng), relief)
    if coarse > 1:
        heights = ndimage.zoom(heights, coarse, order=3, grid_mode=True, mode="nearest")
        # What the coarse grid cannot hold, at the amplitude that the fractal has there.
        fine = fractal(shape, hurst, rng)
        fine -= ndimage.gaussian_filter(fine, coarse)
        heights = heights[: shape[0], : shape[1]] + fine * np.float32(relief / 16)
    return np.asarray(heights[: shape[0], : shape[1]], np.float32)


def _ranged(heights: Array, relief: float) -> Array:
    low, high = np.percentile(heights, (1, 99))
    return np.asarray((heights - low) * (relief / max(high - low, 1e-9)), np.float32)


def erode(heights: Array, steps: int, rng: np.random.Generator) -> Array:
    """Carve valleys that connect, and wear slopes.

    Each step fills pits, routes water to the lowest neighbour, lowers the bed by the stream power
    law (implicit, Braun and Willett 2013, doi 10.1016/j.geomorph.2012.10.008), and lets soil
    creep. Water leaves at the edges.

    Parameters
    ----------
    heights
        float32 in metres.
    steps
        More of them carve no deeper, but follow the changing rivers more closely.
    """
    surface = heights.astype(np.float64)
    power = _STRENGTH / steps
    for _ in range(steps):
        # Rivers find their way by chance on flats; without it they run straight along the grid.
        chance = 0.01 * float(np.ptp(surface)) * rng.random(surface.shape)
        order, receiver, distance = _route(surface + chance)
        # In units of cells: the shape of the valleys does not depend on the pixel size.
        _incise(surface, order, receiver, distance, 1.0, power)
        surface += 0.2 * ndimage.laplace(surface, mode="nearest")
    # Where rivers left the raster, the edge was held; the rim is as if cut from a larger land.
    return np.asarray(surface, np.float32)


@njit(cache=True)
def _route(surface):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill pits by a priority flood (Barnes et al. 2014) that also gives the order of the flow."""
    rows, columns = surface.shape
    count = rows * columns
    receiver = np.full(count, -1, np.int64)
    distance = np.ones(count)
    done = np.zeros(count, np.bool_)
    order = np.empty(count, np.int64)
    filled = surface.copy().ravel()
    heap = [(filled[0], 0)]
    done[0] = True
    for r in range(rows):
        for c in range(columns):
            edge = r == 0 or c == 0 or r == rows - 1 or c == columns - 1
            i = r * columns + c
            if edge and not done[i]:
                done[i] = True
                heapq.heappush(heap, (filled[i], i))
    n = 0
    while len(heap) > 0:
        level, i = heapq.heappop(heap)
        order[n] = i
        n += 1
        r, c = i // columns, i % columns
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                a, b = r + dr, c + dc
                if a < 0 or b < 0 or a >= rows or b >= columns:
                    continue
                j = a * columns + b
                if done[j]:
                    continue
                done[j] = True
                receiver[j] = i
                distance[j] = np.sqrt(dr * dr + dc * dc)
                filled[j] = max(filled[j], level + 1e-5)
                heapq.heappush(heap, (filled[j], j))
    return order, receiver, distance


@njit(cache=True)
def _incise(surface, order, receiver, distance, area, power):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Accumulate the drained area downstream, then lower the bed upstream, implicitly."""
    flat = surface.ravel()
    drained = np.full(flat.size, area)
    for k in range(flat.size - 1, -1, -1):
        i = order[k]
        if receiver[i] >= 0:
            drained[receiver[i]] += drained[i]
    for k in range(flat.size):
        i = order[k]
        j = receiver[i]
        if j >= 0:
            factor = power * np.sqrt(drained[i]) / distance[i]
            flat[i] = (flat[i] + factor * flat[j]) / (1 + factor)
