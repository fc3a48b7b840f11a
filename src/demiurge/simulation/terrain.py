"""Bare earth: heights that grow finer step by step, carved by rivers and worn by creep."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.simulation.fields import (
    additions,
    blur,
    crop,
    finer,
    fractal,
    levels,
    slope_of,
    start_fractal,
    warped,
)

#: Erosion runs on grids of at most this many cells a side; finer detail is fractal.
EROSION_SIDE = 400
EROSION_START = 100
#: What all steps of a level carve on a slope that drains one cell, as a share of the fall.
_STRENGTH = 0.5
#: A level twice as fine is four times the work, and the large rivers already have their beds.
_FEWER = 0.35
#: How far valleys are bent after erosion, as a share of the land's side.
_WINDING = 0.006


@dataclass(frozen=True)
class Drainage:
    """Where water goes on a grid.

    Attributes
    ----------
    receiver
        Flat index of the cell that each cell drains to, −1 where water leaves; int64 (cells,).
    drained
        Number of cells that drain through each cell, float64 (cells,).
    shape
        Rows and columns of the grid.
    """

    receiver: npt.NDArray[np.int64]
    drained: npt.NDArray[np.float64]
    shape: tuple[int, int]


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
        Steps of erosion on the coarsest grid, fewer on the finer ones; 0 leaves the fractal.

    Returns
    -------
    float32 heights in metres, lowest about 0.
    """
    heights = start_fractal(shape, rng)
    for index in range(1, levels(shape) + 1):
        heights = finer(heights)
        heights = _with_detail(heights, hurst, index, rng)
        side = max(heights.shape)
        if steps and EROSION_START <= side <= EROSION_SIDE:
            share = _FEWER ** int(np.log2(side / EROSION_START))
            worn = erode(heights, max(4, round(steps * share)), rng)
            # What rivers take away, uplift gives back.
            heights = (worn - worn.mean()) * np.float32(heights.std() / max(worn.std(), 1e-9))
            # Water that has eight ways to go digs straight valleys.
            heights = warped(heights, _WINDING * side, rng)
    return ranged(crop(heights, shape, rng), relief)


def _with_detail(heights: Array, hurst: float, index: int, rng: np.random.Generator) -> Array:
    """Add what a finer grid shows; valley floors and gentle slopes are smooth, steep ones rough."""
    noise = additions(heights.shape, hurst, index, rng)
    if max(heights.shape) <= EROSION_SIDE:
        return heights + noise
    slope = slope_of(heights, 1.0)
    typical = max(float(slope[::4, ::4].mean()), 1e-9)
    weight = np.minimum(np.float32(0.1) + slope * np.float32(0.2 / typical), np.float32(0.4))
    return np.asarray(heights + noise * weight, np.float32)


def add_detail(
    heights: Array, gsd: float, known: float, rng: np.random.Generator, amount: float = 1.0
) -> Array:
    """Add relief finer than a file's pixels, at the amplitude that its roughness continues to.

    Parameters
    ----------
    heights
        float32 in metres, upsampled from a coarser grid.
    gsd, known
        Pixel size of the heights, and of the file that they come from, in metres.
    amount
        Factor on the amplitude.
    """
    lag = max(1, round(known / gsd))
    if amount == 0 or lag < 2 or min(heights.shape) <= 2 * lag:
        return heights
    bend = heights[lag:-lag:4] * 2 - heights[: -2 * lag : 4] - heights[2 * lag :: 4]
    rough = float(1.4826 * np.median(np.abs(bend - np.median(bend))))
    detail = fractal((heights.shape[0], heights.shape[1]), 0.85, rng)
    detail -= blur(detail, lag / 2)
    spread = max(float(detail[::4, ::4].std()), 1e-9)
    return np.asarray(heights + detail * np.float32(amount * 0.15 * rough / spread), np.float32)


def ranged(heights: Array, relief: float) -> Array:
    """Scale heights so that their 1st and 99th percentile lie 0 and ``relief`` metres high."""
    step = max(1, int(np.sqrt(heights.size / 250_000)))
    low, high = np.percentile(heights[::step, ::step], (1, 99))
    return np.asarray((heights - low) * np.float32(relief / max(high - low, 1e-9)), np.float32)


def erode(heights: Array, steps: int, rng: np.random.Generator) -> Array:
    """Carve valleys that connect, and wear slopes.

    Each step fills pits, routes water to the lowest neighbour, lowers the bed by the stream power
    law (implicit, Braun and Willett 2013, doi 10.1016/j.geomorph.2012.10.008), and lets soil
    creep. Water leaves at the edges.

    Parameters
    ----------
    heights
        float32; any unit, for the shape of the valleys does not depend on it.
    steps
        More of them carve no deeper, but follow the changing rivers more closely.
    """
    surface = heights.astype(np.float64)
    power = _STRENGTH / steps
    for _ in range(steps):
        order, receiver, distance = _route(surface + _chance(surface, rng), _rise(surface, rng))
        # In units of cells: the shape of the valleys does not depend on the pixel size.
        _incise(surface, order, receiver, distance, power)
        surface += 0.1 * ndimage.laplace(surface, mode="nearest")
    return np.asarray(surface, np.float32)


def _chance(surface: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rivers find their way by chance on flats; without it they run straight along the grid."""
    return np.asarray(0.01 * float(np.ptp(surface)) * rng.random(surface.shape))


def _rise(surface: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return how much higher each cell of a filled pit is than the one that it drains to."""
    return 1e-5 * float(np.ptp(surface)) * rng.standard_exponential(surface.shape) ** 2


def drainage(heights: Array, rng: np.random.Generator) -> Drainage:
    """Return where water goes; pits are filled first.

    Parameters
    ----------
    heights
        float32 (rows, columns), finite.
    """
    surface = heights.astype(np.float64)
    order, receiver, _ = _route(surface + 0.2 * _chance(surface, rng), _rise(surface, rng))
    return Drainage(receiver, _accumulate(order, receiver), (heights.shape[0], heights.shape[1]))


@njit(cache=True)
def _route(surface, rough):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill pits by a priority flood (Barnes et al. 2014) that also gives the order of the flow.

    Filled pits rise inwards by chance (``rough``), or water would cross them along the grid.
    """
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
                filled[j] = max(filled[j], level + rough[a, b] * distance[j])
                heapq.heappush(heap, (filled[j], j))
    return order, receiver, distance


@njit(cache=True)
def _accumulate(order, receiver):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return how many cells drain through each, itself included."""
    drained = np.ones(receiver.size)
    for k in range(receiver.size - 1, -1, -1):
        i = order[k]
        if receiver[i] >= 0:
            drained[receiver[i]] += drained[i]
    return drained


@njit(cache=True)
def _incise(surface, order, receiver, distance, power):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Lower the bed from the outlets upstream, implicitly."""
    drained = _accumulate(order, receiver)
    flat = surface.ravel()
    for k in range(flat.size):
        i = order[k]
        j = receiver[i]
        if j >= 0:
            factor = power * np.sqrt(drained[i]) / distance[i]
            flat[i] = (flat[i] + factor * flat[j]) / (1 + factor)
