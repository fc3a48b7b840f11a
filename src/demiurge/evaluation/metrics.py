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
    le90
        90th percentile of abs(d).
    """

    count: int
    coverage: float
    mean: float
    median: float
    mae: float
    rmse: float
    std: float
    nmad: float
    le90: float

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
    return ErrorStatistics(
        count=int(d.size),
        coverage=d.size / reference_count,
        mean=float(d.mean()),
        median=median,
        mae=float(np.abs(d).mean()),
        rmse=float(np.sqrt((d**2).mean())),
        std=float(d.std()),
        nmad=float(1.4826 * np.median(np.abs(d - median))),
        le90=float(np.percentile(np.abs(d), 90)),
    )
