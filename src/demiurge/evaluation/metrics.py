"""Error statistics of heights. Pure functions on arrays, metres in, metres out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Values

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ErrorStatistics:
    """Statistics of d = surface − reference over the pixels where both have a height.

    Attributes
    ----------
    count
        Pixels compared.
    coverage
        Share 0 … 1 of the reference's pixels that have a height in the surface.
    mean, median
        Of d: bias, and its robust sister.
    mae, rmse
        Mean of abs(d), root of the mean of d².
    std
        Standard deviation of d.
    nmad
        1.4826 · median(abs(d − median(d))): the standard deviation that a normal distribution
        of the same middle would have (Höhle and Höhle 2009, doi 10.1016/j.isprsjprs.2009.02.003).
    le68, le90, le95
        Percentiles of abs(d): linear errors of that probability (ASPRS 2014).
    q01, q99
        1 % and 99 % quantiles of d.
    within_1, within_2, within_5
        Shares 0 … 1 of the pixels where abs(d) is at most so many metres.
    """

    count: int
    coverage: float
    mean: float
    median: float
    mae: float
    rmse: float
    std: float
    nmad: float
    le68: float
    le90: float
    le95: float
    q01: float
    q99: float
    within_1: float
    within_2: float
    within_5: float

    def as_dict(self) -> dict[str, float | int]:
        """Return the figures by name."""
        return asdict(self)


def error_statistics(differences: Array, reference_count: int) -> ErrorStatistics:
    """Return the statistics of height differences.

    Parameters
    ----------
    differences
        float32, any shape, metres; NaN where either has no height.
    reference_count
        Pixels where the reference has a height.

    Raises
    ------
    ValueError
        If there is no finite difference.
    """
    return statistics_of(differences, np.isfinite(differences), reference_count)


def statistics_of(
    differences: Floats, chosen: npt.NDArray[np.bool_], reference_count: int
) -> ErrorStatistics:
    """Return the statistics of chosen differences, all of them finite; makes one copy of these."""
    d = differences[chosen]
    d.sort()
    return sorted_statistics(d, reference_count)


def sorted_statistics(d: Floats, reference_count: int) -> ErrorStatistics:
    """Return the statistics of finite differences in ascending order; changes nothing.

    One sort serves all quantiles: those of abs(d) and of abs(d − median) too.

    Raises
    ------
    ValueError
        If there is none.
    """
    if d.size == 0:
        raise ValueError("no finite difference")
    mean, mae, square = _moments(d)
    median = _quantile(d, 0.5)
    le68, le90, le95 = (_quantile_around(d, 0.0, q) for q in (0.68, 0.90, 0.95))
    inside = [
        float(np.searchsorted(d, d.dtype.type(m), "right") - np.searchsorted(d, d.dtype.type(-m)))
        / d.size
        for m in (1, 2, 5)
    ]
    return ErrorStatistics(
        count=int(d.size),
        coverage=d.size / reference_count,
        mean=mean,
        median=median,
        mae=mae,
        rmse=float(np.sqrt(square + mean**2)),
        std=float(np.sqrt(square)),
        nmad=1.4826 * _quantile_around(d, median, 0.5),
        le68=le68,
        le90=le90,
        le95=le95,
        q01=_quantile(d, 0.01),
        q99=_quantile(d, 0.99),
        within_1=inside[0],
        within_2=inside[1],
        within_5=inside[2],
    )


#: Values that are turned to float64 at a time.
_PART = 1 << 20


def _moments(d: Floats) -> tuple[float, float, float]:
    """Return the mean, the mean absolute value and the variance, summed in float64."""
    parts = [d[i : i + _PART] for i in range(0, d.size, _PART)]
    mean = sum(float(p.sum(dtype=np.float64)) for p in parts) / d.size
    size, square = 0.0, 0.0
    for part in parts:
        wide = part.astype(np.float64)
        size += float(np.abs(wide).sum())
        wide -= mean
        square += float(wide @ wide)
    return mean, size / d.size, square / d.size


def _quantile(d: Floats, share: float) -> float:
    """Return a quantile of sorted values, linear between two of them."""
    place = share * (d.size - 1)
    low = int(place)
    first, second = float(d[low]), float(d[min(low + 1, d.size - 1)])
    return first + (place - low) * (second - first)


def _quantile_around(d: Floats, middle: float, share: float) -> float:
    """Return a quantile of abs(d − middle) of sorted values."""
    place = share * (d.size - 1)
    low = int(place)
    first, second = (_nearest(d, middle, k) for k in (low, min(low + 1, d.size - 1)))
    return first + (place - low) * (second - first)


def _nearest(d: Floats, middle: float, k: int) -> float:
    """Return how far the (k + 1)-th nearest of sorted values is from the middle.

    The k + 1 nearest are neighbours in order; where they begin is found by bisection.
    """
    low, high = 0, d.size - k - 1
    while low < high:
        at = (low + high) // 2
        if middle - float(d[at]) > float(d[at + k + 1]) - middle:
            low = at + 1
        else:
            high = at
    return max(middle - float(d[low]), float(d[low + k]) - middle)


@dataclass(frozen=True)
class Doubt:
    """How well told uncertainties go with the errors that were made.

    Attributes
    ----------
    inside
        Share of errors within the interval that a Laplace distribution of the told standard
        deviation gives each level; by level.
    likelihood
        Mean log-likelihood of the errors under it, nats per pixel.
    surest_half, best_half
        MAE of the half that was told to be surest over that of all, and what it would be had
        the errors been known.
    area
        Area between the curves of what is left when the least sure pixels are taken away, as
        told and as if the errors were known, over the MAE of all; 0 is best (AUSE; Ilg et al.
        2018, doi 10.1007/978-3-030-01234-2_40).
    """

    inside: dict[str, float]
    likelihood: float
    surest_half: float
    best_half: float
    area: float

    def as_dict(self) -> dict[str, object]:
        """Return the figures by name."""
        return asdict(self)


def doubt(differences: Array, spread: Array) -> Doubt | None:
    """Compare errors with the standard deviations that were told; None where there are none.

    Parameters
    ----------
    differences, spread
        float32, one shape, metres; NaN where unknown.
    """
    known = np.isfinite(differences) & np.isfinite(spread) & (spread > 0)
    size = np.abs(differences[known]).astype(np.float64)
    if size.size < 2 or not size.any():
        return None
    scale = spread[known].astype(np.float64) / np.sqrt(2)
    inside = {
        f"{level:.0%}": float((size <= -scale * np.log(1 - level)).mean())
        for level in (0.5, 0.68, 0.9, 0.95)
    }
    shares, told = sparsification(size, scale)
    best = sparsification(size, size)[1]
    half = float(np.interp(0.5, shares, told)), float(np.interp(0.5, shares, best))
    whole = size.mean()
    return Doubt(
        inside,
        float(-(np.log(2 * scale) + size / scale).mean()),
        half[0] / whole,
        half[1] / whole,
        float(np.trapezoid(told - best, shares) / whole),
    )


def sparsification(size: Values, doubted: Values) -> tuple[Values, Values]:
    """Return shares of pixels that are taken away, least sure first, and the MAE of the rest."""
    mean = np.cumsum(size[np.argsort(doubted)]) / np.arange(1, size.size + 1)
    shares = np.linspace(0, 0.95, 96)
    kept = np.maximum(np.ceil((1 - shares) * size.size).astype(int), 1)
    return shares, np.asarray(mean[kept - 1])
