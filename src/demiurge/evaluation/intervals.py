"""Confidence intervals of accuracy figures that hold for any distribution of errors.

Errors of elevation models are skewed and heavy-tailed, so intervals from normal theory are too
narrow. Intervals of quantiles come from order statistics, which only assume independent points.
Intervals of mean, RMSE and NMAD come from a bootstrap on a scale that makes them symmetric.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from demiurge.arrays import Values


class Interval(NamedTuple):
    """An estimate and its confidence interval.

    Attributes
    ----------
    value
        The estimate from the sample.
    low, high
        Ends of the interval; ``high`` is infinite if the sample is too small for an upper bound.
    """

    value: float
    low: float
    high: float


def quantile_interval(values: Values, share: float, confidence: float = 0.95) -> Interval:
    """Return a quantile and its interval from interpolated order statistics.

    If the sample is too small for a two-sided interval, the interval is one-sided: unbounded
    above for a high quantile. Interpolation after Nyblom (1992), Statistics & Probability
    Letters 14, pages 129 to 131.

    Parameters
    ----------
    values
        float64 (points,), finite, one or more.
    share
        Probability of the quantile, between 0 and 1.
    confidence
        Share of repeated samples whose interval holds the true quantile.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    value = float(np.quantile(ordered, share, method="median_unbiased"))
    tail = (1 - confidence) / 2
    low, high = _below(ordered, share, tail), _above(ordered, share, tail)
    if low is None and high is None:
        return Interval(value, -math.inf, math.inf)
    if high is None:
        low = _below(ordered, share, 2 * tail)
    elif low is None:
        high = _above(ordered, share, 2 * tail)
    return Interval(
        value,
        -math.inf if low is None else min(low, value),
        math.inf if high is None else max(high, value),
    )


def points_needed(share: float, confidence: float = 0.95) -> int:
    """Return the least number of points for a two-sided interval of a quantile above 0.5."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(share))


def _above(ordered: Values, share: float, tail: float) -> float | None:
    """Return the value that the quantile exceeds with probability ``tail``, or None."""
    return _bound(ordered, share, 1 - tail)


def _below(ordered: Values, share: float, tail: float) -> float | None:
    """Return the value that the quantile falls below with probability ``tail``, or None."""
    bound = _bound(-ordered[::-1], 1 - share, 1 - tail)
    return None if bound is None else -bound


def _bound(ordered: Values, share: float, wanted: float) -> float | None:
    """Return an upper confidence bound of a quantile, between two order statistics.

    The k-th smallest of n values exceeds the quantile with the probability that fewer than k
    values lie below it, which is binomial.
    """
    from scipy.stats import binom

    count = len(ordered)
    # chance[k]: probability that the quantile lies below the (k + 1)-th smallest value.
    chance = binom.cdf(np.arange(count), count, share)
    if chance[-1] < wanted:
        return None
    place = int(np.argmax(chance >= wanted))
    if place == 0:
        return float(ordered[0])
    before, after = float(chance[place - 1]), float(chance[place])
    part = (wanted - before) / (after - before)
    # Nyblom's weight of the farther order statistic.
    odds = (count - place) * share / (place * (1 - share)) if share < 1 else 1.0
    weight = part / (part + odds * (1 - part)) if part < 1 else 1.0
    return float((1 - weight) * ordered[place - 1] + weight * ordered[place])


def bootstrap_interval(
    values: Values,
    statistic: str,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return a statistic of errors and its bootstrap interval.

    Parameters
    ----------
    values
        float64 (points,), finite, two or more: errors in metres.
    statistic
        ``mean`` or ``rmse``.

    Notes
    -----
    The intervals are studentised. The RMSE is bootstrapped as a logarithm because its
    distribution is skewed to the right (Efron and Tibshirani 1993, chapter 12).
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    sample = values[rng.integers(len(values), size=(draws, len(values)))]
    value = float(_STATISTICS[statistic](values[None])[0])
    if value == 0 and statistic != "mean":
        return Interval(value, 0.0, 0.0)
    tail = (1 - confidence) / 2
    centre, error = _scaled(values[None], statistic)
    drawn, errors = _scaled(sample, statistic)
    usable = np.isfinite(drawn) & np.isfinite(errors) & (errors > 0)
    ratio = (drawn[usable] - centre[0]) / errors[usable]
    if not ratio.size or not error[0] > 0:
        return Interval(value, value, value)
    upper, lower = np.quantile(ratio, [1 - tail, tail])
    low, high = centre[0] - upper * error[0], centre[0] - lower * error[0]
    if statistic != "mean":
        low, high = math.exp(low), math.exp(min(high, 700))
    return Interval(value, float(low), float(high))


def nmad_interval(
    errors: Values, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Return the NMAD and its interval from quantiles of bootstrap samples.

    Parameters
    ----------
    errors
        float64 (points,), finite, two or more.
    """
    errors = np.asarray(errors, np.float64)
    rng = np.random.default_rng(seed)
    tail = (1 - confidence) / 2
    drawn = _nmad(errors[rng.integers(len(errors), size=(draws, len(errors)))])
    low, high = np.quantile(drawn, [tail, 1 - tail])
    value = float(_nmad(errors[None])[0])
    return Interval(value, min(float(low), value), max(float(high), value))


def _scaled(sample: Values, statistic: str) -> tuple[Values, Values]:
    """Return a statistic of each row on its symmetric scale, and its standard error."""
    count = sample.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        if statistic == "mean":
            return sample.mean(1), sample.std(1, ddof=1) / math.sqrt(count)
        squares = sample**2
        mean = squares.mean(1)
        # By the delta method, of log √mean.
        return np.log(mean) / 2, squares.std(1, ddof=1) / (2 * mean * math.sqrt(count))


def _nmad(sample: Values) -> Values:
    middle = np.median(sample, axis=1, keepdims=True)
    return np.asarray(1.4826 * np.median(np.abs(sample - middle), axis=1))


_STATISTICS = {
    "mean": lambda sample: sample.mean(1),
    "rmse": lambda sample: np.sqrt((sample**2).mean(1)),
}
