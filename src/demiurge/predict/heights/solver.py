"""Robust sparse least squares for the scales and offsets of windows of relative heights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from demiurge.arrays import Indices, Values

#: Weight of a prior's sample against a sample of an overlap: the prior is coarse.
_PRIOR_WEIGHT = 0.1
#: Weights that pull scales to 1 and offsets to 0, against one sample of an overlap.
_SCALE_WEIGHT, _OFFSET_WEIGHT = 1.0, 1e-6
#: Maximum number of reweighting rounds, and the change of the unknowns that ends them.
_ROUNDS, _CONVERGED = 6, 1e-4
#: Bounds of the scales. Below, relief would vanish or be inverted; above, noise is amplified.
SCALES = (0.05, 20.0)
#: Weight that keeps a scale at a bound, relative to the window's other equations.
_BOUND_WEIGHT = 1e6


@dataclass(frozen=True)
class Overlaps:
    """Heights of overlapping windows at common pixels.

    Attributes
    ----------
    first, second
        int (pairs,): window numbers of each pair.
    pair
        int (samples,): pair of each sample.
    a, b
        float64 (samples,): heights in the first and in the second window.
    """

    first: Indices
    second: Indices
    pair: Indices
    a: Values
    b: Values


@dataclass(frozen=True)
class PriorSamples:
    """Heights of windows at pixels where the prior is known.

    Attributes
    ----------
    window
        int (samples,): window numbers.
    heights, prior
        float64 (samples,): relative heights of the window, and the prior in metres.
    """

    window: Indices
    heights: Values
    prior: Values


def solve(overlaps: Overlaps, prior: PriorSamples | None, count: int) -> tuple[Values, Values]:
    """Return the scales and offsets of ``count`` windows.

    Without a prior all scales are 1, and the mean of the offsets is arbitrary. With a prior the
    scales are bounded by ``SCALES``.
    """
    unit = float(np.std(np.concatenate([overlaps.a, overlaps.b]))) if overlaps.a.size else 1.0
    unit = unit if unit > 0 else 1.0
    if prior is None or not prior.prior.size:
        system = _System(overlaps, None, count, unit, 0.0)
        return np.ones(count), system.solve(np.zeros((count, 1)))[:, 0] * unit
    middle = float(np.median(prior.prior))
    system = _System(overlaps, prior, count, unit, middle)
    unknowns = system.solve(np.zeros((count, 2)))
    while system.bind(unknowns):  # a scale at a bound changes the neighbours
        unknowns = system.solve(unknowns)
    return np.clip(1 + unknowns[:, 1], *SCALES), unknowns[:, 0] * unit + middle


class _System:
    """Iteratively reweighted least squares.

    The unknowns of a window are its offset and, with a prior, its scale less 1; heights are
    divided by ``unit``, and ``middle`` is subtracted from the prior.
    """

    def __init__(
        self,
        overlaps: Overlaps,
        prior: PriorSamples | None,
        count: int,
        unit: float,
        middle: float,
    ) -> None:
        self.first, self.second, self.pair = overlaps.first, overlaps.second, overlaps.pair
        self.count, self.size = count, 1 if prior is None else 2
        self.a, self.b = overlaps.a / unit, overlaps.b / unit
        self.prior = prior
        if prior is not None:
            self.h, self.z = prior.heights / unit, (prior.prior - middle) / unit
        #: Scales less 1 that are fixed at a bound, else NaN.
        self.bound = np.full(count, np.nan)

    def _terms(self, heights: Values) -> list[Values]:
        """Return the factors of a window's unknowns at its samples."""
        return [np.ones_like(heights), heights][: self.size]

    def solve(self, unknowns: Values) -> Values:
        """Return float64 (windows, unknowns) after the reweighting rounds."""
        for _ in range(_ROUNDS):
            previous, unknowns = unknowns, self._round(unknowns)
            if np.abs(unknowns - previous).max(initial=0) < _CONVERGED:
                break
        return unknowns

    def bind(self, unknowns: Values) -> bool:
        """Fix scales beyond a bound at that bound; return whether there are new ones."""
        low, high = (bound - 1 for bound in SCALES)
        beyond = np.isnan(self.bound) & ((unknowns[:, 1] < low) | (unknowns[:, 1] > high))
        self.bound[beyond] = np.clip(unknowns[beyond, 1], low, high)
        return bool(beyond.any())

    def _round(self, unknowns: Values) -> Values:
        """Solve once, with weights from the residuals of the last unknowns."""
        u, v = self._terms(self.a), self._terms(self.b)
        one, two = unknowns[self.first[self.pair]], unknowns[self.second[self.pair]]
        gap = self.a - self.b
        residual = gap.copy()
        for k in range(self.size):
            residual += u[k] * one[:, k] - v[k] * two[:, k]
        weight, pairs = _huber(residual), len(self.first)
        diagonal = np.zeros((self.count, self.size, self.size))
        right = np.zeros((self.count, self.size))
        np.add.at(diagonal, self.first, _products(self.pair, pairs, weight, u, u))
        np.add.at(diagonal, self.second, _products(self.pair, pairs, weight, v, v))
        between = _products(self.pair, pairs, weight, u, v)
        np.subtract.at(right, self.first, _products(self.pair, pairs, weight, u, [gap])[..., 0])
        np.add.at(right, self.second, _products(self.pair, pairs, weight, v, [gap])[..., 0])
        if self.prior is not None:
            window, w, missing = self.prior.window, self._terms(self.h), self.z - self.h
            residual = missing - sum(t * unknowns[window, k] for k, t in enumerate(w))
            weight = _PRIOR_WEIGHT * _huber(residual)
            diagonal += _products(window, self.count, weight, w, w)
            right += _products(window, self.count, weight, w, [missing])[..., 0]
        own = range(self.size)
        diagonal[:, own, own] += [_OFFSET_WEIGHT, _SCALE_WEIGHT][: self.size]
        bound = np.flatnonzero(np.isfinite(self.bound))
        if bound.size:
            weight = _BOUND_WEIGHT * (1 + diagonal[bound, 1, 1])
            diagonal[bound, 1, 1] += weight
            right[bound, 1] += weight * self.bound[bound]
        solution = self._factorised(diagonal, between).solve(right.ravel()).reshape(right.shape)
        if self.prior is None:
            # A constant may be added to all offsets: choose it so that their weighted mean stays.
            share = diagonal[:, 0, 0] / diagonal[:, 0, 0].sum()
            solution += (share * (unknowns - solution)[:, 0]).sum()
        return np.asarray(solution)

    def _factorised(self, diagonal: Values, between: Values) -> linalg.SuperLU:
        """Return the factorised normal equations.

        Parameters
        ----------
        diagonal, between
            float64 (windows, unknowns, unknowns) and (pairs, unknowns, unknowns).
        """
        windows, k = np.arange(self.count), np.arange(self.size)
        rows = np.concatenate([windows, self.first, self.second])[:, None, None] * self.size
        columns = np.concatenate([windows, self.second, self.first])[:, None, None] * self.size
        rows, columns = np.broadcast_arrays(rows + k[:, None], columns + k)
        parts = np.concatenate([diagonal, -between, -between.swapaxes(1, 2)])
        side = self.count * self.size
        matrix = sparse.csc_array(
            (parts.ravel(), (rows.ravel(), columns.ravel())), shape=(side, side)
        )
        # The matrix is symmetric and positive definite: no pivoting.
        return linalg.splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0,
            options={"SymmetricMode": True},
        )


def _products(
    index: Indices, count: int, weight: Values, left: Sequence[Values], right: Sequence[Values]
) -> Values:
    """Return the weighted sums of products by index, float64 (count, left, right)."""
    sums = np.empty((count, len(left), len(right)))
    for i, one in enumerate(left):
        for j, two in enumerate(right):
            sums[:, i, j] = np.bincount(index, weight * one * two, count)
    return sums


def _huber(residual: Values) -> Values:
    """Return Huber weights: 1 up to 1.5 robust standard deviations, falling beyond."""
    if not residual.size:
        return residual
    limit = 1.5 * max(1.4826 * float(np.median(np.abs(residual))), 1e-9)
    return np.asarray(np.minimum(1, limit / np.maximum(np.abs(residual), 1e-12)))


def mismatch(overlaps: Overlaps, scales: Values, offsets: Values) -> float:
    """Return the median absolute difference of overlapping windows; 0 without overlaps."""
    if not overlaps.a.size:
        return 0.0
    one, two = overlaps.first[overlaps.pair], overlaps.second[overlaps.pair]
    gap = scales[one] * overlaps.a + offsets[one] - scales[two] * overlaps.b - offsets[two]
    return float(np.median(np.abs(gap)))
