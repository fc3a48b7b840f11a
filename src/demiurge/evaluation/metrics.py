"""Error statistics of heights and of their uncertainties: pure functions on arrays in metres."""

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
        Mean and median error.
    mae, rmse
        Mean of abs(d), root of the mean of d².
    std
        Standard deviation of d.
    nmad
        1.4826 · median(abs(d − median(d))), equal to the standard deviation for normal errors
        (Höhle and Höhle 2009, doi 10.1016/j.isprsjprs.2009.02.003).
    le68, le90, le95
        68th, 90th and 95th percentile of abs(d) (ASPRS 2014).
    q01, q99
        1 % and 99 % quantiles of d.
    within_1, within_2, within_5
        Shares 0 … 1 of the pixels where abs(d) is at most 1, 2 or 5 metres.
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
        """Return the statistics by name."""
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
    """Return the statistics of chosen differences, which must be finite.

    Copies the chosen values once. See :func:`error_statistics`.
    """
    d = differences[chosen]
    d.sort()
    return sorted_statistics(d, reference_count)


def sorted_statistics(d: Floats, reference_count: int) -> ErrorStatistics:
    """Return the statistics of finite differences in ascending order.

    The sorted array gives all quantiles, including those of abs(d) and of abs(d − median).

    Raises
    ------
    ValueError
        If there is no difference.
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


#: Values that are converted to float64 at once.
_CHUNK = 1 << 20


def _moments(d: Floats) -> tuple[float, float, float]:
    """Return the mean, the mean absolute value and the variance, summed in float64."""
    parts = [d[i : i + _CHUNK] for i in range(0, d.size, _CHUNK)]
    mean = sum(float(p.sum(dtype=np.float64)) for p in parts) / d.size
    size, square = 0.0, 0.0
    for part in parts:
        wide = part.astype(np.float64)
        size += float(np.abs(wide).sum())
        wide -= mean
        square += float(wide @ wide)
    return mean, size / d.size, square / d.size


def _quantile(d: Floats, share: float) -> float:
    """Return a quantile of sorted values by linear interpolation."""
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
    """Return the distance of the (k + 1)-th nearest of sorted values from the middle.

    The k + 1 nearest values are consecutive; bisection locates the first.
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
class UncertaintyStatistics:
    """Agreement of predicted standard deviations with observed errors.

    Attributes
    ----------
    inside
        By nominal level, the share of errors inside the interval that a Laplace distribution
        with the predicted standard deviation gives.
    likelihood
        Mean log-likelihood of the errors under that distribution, nats per pixel.
    surest_half, best_half
        MAE of the half with the smallest predicted uncertainty over the MAE of all, and the same
        for the half with the smallest errors, which is the optimum.
    area
        Area between the sparsification curves by predicted uncertainty and by error, over the
        MAE of all; 0 is best (AUSE; Ilg et al. 2018, doi 10.1007/978-3-030-01234-2_40).
    """

    inside: dict[str, float]
    likelihood: float
    surest_half: float
    best_half: float
    area: float

    def as_dict(self) -> dict[str, object]:
        """Return the statistics by name."""
        return asdict(self)


def uncertainty_statistics(differences: Array, deviations: Array) -> UncertaintyStatistics | None:
    """Compare errors with predicted standard deviations; None if fewer than two are known.

    Parameters
    ----------
    differences, deviations
        float32 of one shape, metres; NaN where unknown.
    """
    known = np.isfinite(differences) & np.isfinite(deviations) & (deviations > 0)
    size = np.abs(differences[known]).astype(np.float64)
    if size.size < 2 or not size.any():
        return None
    scale = deviations[known].astype(np.float64) / np.sqrt(2)
    inside = {f"{level:.0%}": share_inside(size, scale, level) for level in (0.5, 0.68, 0.9, 0.95)}
    shares, predicted = sparsification(size, scale)
    best = sparsification(size, size)[1]
    half = float(np.interp(0.5, shares, predicted)), float(np.interp(0.5, shares, best))
    mean = size.mean()
    return UncertaintyStatistics(
        inside,
        float(-(np.log(2 * scale) + size / scale).mean()),
        half[0] / mean,
        half[1] / mean,
        float(np.trapezoid(predicted - best, shares) / mean),
    )


def share_inside(size: Values, scale: Values, level: float) -> float:
    """Return the share of errors inside the central Laplace interval of a nominal level.

    Parameters
    ----------
    size, scale
        float64 (pixels,): absolute errors, and scales of the distribution (standard deviation
        over √2), in metres.
    """
    return float((size <= -scale * np.log(1 - level)).mean())


def sparsification(size: Values, uncertainty: Values) -> tuple[Values, Values]:
    """Return removed shares of pixels, most uncertain first, and the MAE of the rest.

    Parameters
    ----------
    size, uncertainty
        float64 (pixels,): absolute errors, and any measure that orders them.
    """
    mean = np.cumsum(size[np.argsort(uncertainty)]) / np.arange(1, size.size + 1)
    shares = np.linspace(0, 0.95, 96)
    kept = np.maximum(np.ceil((1 - shares) * size.size).astype(int), 1)
    return shares, np.asarray(mean[kept - 1])
