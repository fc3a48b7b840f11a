"""Error statistics of heights. Pure functions on arrays, metres in, metres out."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


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
    d = differences[np.isfinite(differences)].astype(np.float64)
    if d.size == 0:
        raise ValueError("no finite difference")
    median = float(np.median(d))
    size = np.abs(d)
    le68, le90, le95 = np.percentile(size, (68, 90, 95))
    q01, q99 = np.percentile(d, (1, 99))
    within = [float((size <= metres).mean()) for metres in (1, 2, 5)]
    return ErrorStatistics(
        count=int(d.size),
        coverage=d.size / reference_count,
        mean=float(d.mean()),
        median=median,
        mae=float(size.mean()),
        rmse=float(np.sqrt((d**2).mean())),
        std=float(d.std()),
        nmad=float(1.4826 * np.median(np.abs(d - median))),
        le68=float(le68),
        le90=float(le90),
        le95=float(le95),
        q01=float(q01),
        q99=float(q99),
        within_1=within[0],
        within_2=within[1],
        within_5=within[2],
    )


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
    """

    inside: dict[str, float]
    likelihood: float
    surest_half: float
    best_half: float

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
    half = size.size // 2
    told = size[np.argpartition(scale, half)[:half]].mean()
    best = np.partition(size, half)[:half].mean()
    return Doubt(
        inside,
        float(-(np.log(2 * scale) + size / scale).mean()),
        float(told / size.mean()),
        float(best / size.mean()),
    )
