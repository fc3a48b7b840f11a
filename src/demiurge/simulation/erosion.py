"""Fluvial erosion: pit filling, flow routing, stream power incision and soil creep."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import ndimage

from demiurge.arrays import Array, Indices, Values

#: Incision over all steps on a slope that drains one cell, as a share of its fall.
_STRENGTH = 0.5


@dataclass(frozen=True)
class Drainage:
    """Flow routing on a grid.

    Attributes
    ----------
    receiver
        Flat index of the cell that each cell drains to, −1 at outlets; int64 (cells,).
    drained
        Number of cells that drain through each cell, itself included; float64 (cells,).
    shape
        Rows and columns of the grid.
    """

    receiver: Indices
    drained: Values
    shape: tuple[int, int]


def route_water(heights: Array, rng: np.random.Generator) -> Drainage:
    """Fill pits and route the flow of water.

    Parameters
    ----------
    heights
        float32 (rows, columns), finite.
    """
    surface = heights.astype(np.float64)
    order, receiver, _ = _route(surface + 0.2 * _jitter(surface, rng), _pit_rise(surface, rng))
    return Drainage(receiver, _accumulate(order, receiver), (heights.shape[0], heights.shape[1]))


def erode(heights: Array, steps: int, rng: np.random.Generator) -> Array:
    """Carve connected valleys and smooth slopes.

    Each step fills pits, routes water to a lower neighbour, lowers the bed by the stream power
    law (implicit scheme of Braun and Willett 2013, doi 10.1016/j.geomorph.2012.10.008), and
    diffuses the surface (soil creep). Water leaves at the edges. Lengths are in cells: the
    result does not depend on the pixel size.

    Parameters
    ----------
    heights
        float32 (rows, columns) in any unit.
    steps
        Number of steps. The total incision does not depend on it; more steps follow the changing
        rivers more closely.
    """
    surface = heights.astype(np.float64)
    power = _STRENGTH / steps
    for _ in range(steps):
        order, receiver, distance = _route(surface + _jitter(surface, rng), _pit_rise(surface, rng))
        _incise(surface, order, receiver, distance, power)
        surface += 0.1 * ndimage.laplace(surface, mode="nearest")
    return np.asarray(surface, np.float32)


def _jitter(surface: Values, rng: np.random.Generator) -> Values:
    """Return noise for routing; without it, rivers on flats follow the grid axes."""
    return np.asarray(0.01 * float(np.ptp(surface)) * rng.random(surface.shape))


def _pit_rise(surface: Values, rng: np.random.Generator) -> Values:
    """Return the height of each cell of a filled pit above its receiver."""
    return 1e-5 * float(np.ptp(surface)) * rng.standard_exponential(surface.shape) ** 2


@njit(cache=True)
def _route(surface, rise):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill pits by a priority flood (Barnes et al. 2014, doi 10.1016/j.cageo.2013.04.024).

    Returns the cells from the outlets upstream, the receiver of each cell, and the distance to
    it in cells. Filled pits rise inwards by ``rise``.
    """
    rows, columns = surface.shape
    count = rows * columns
    receiver = np.full(count, -1, np.int64)
    distance = np.ones(count)
    order = np.empty(count, np.int64)
    filled = surface.copy().ravel()
    heap, done = _flood_from_edges(filled, rows, columns)
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
                filled[j] = max(filled[j], level + rise[a, b] * distance[j])
                heapq.heappush(heap, (filled[j], j))
    return order, receiver, distance


@njit(cache=True)
def _flood_from_edges(filled, rows, columns):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the initial heap of the priority flood, and the cells in it."""
    done = np.zeros(filled.size, np.bool_)
    heap = [(filled[0], 0)]
    done[0] = True
    for r in range(rows):
        for c in range(columns):
            edge = r == 0 or c == 0 or r == rows - 1 or c == columns - 1
            i = r * columns + c
            if edge and not done[i]:
                done[i] = True
                heapq.heappush(heap, (filled[i], i))
    return heap, done


@njit(cache=True)
def _accumulate(order, receiver):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the number of cells that drain through each, itself included."""
    drained = np.ones(receiver.size)
    for k in range(receiver.size - 1, -1, -1):
        i = order[k]
        if receiver[i] >= 0:
            drained[receiver[i]] += drained[i]
    return drained


@njit(cache=True)
def _incise(surface, order, receiver, distance, power):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Lower the bed in place from the outlets upstream, implicitly."""
    drained = _accumulate(order, receiver)
    flat = surface.ravel()
    for k in range(flat.size):
        i = order[k]
        j = receiver[i]
        if j >= 0:
            factor = power * np.sqrt(drained[i]) / distance[i]
            flat[i] = (flat[i] + factor * flat[j]) / (1 + factor)
