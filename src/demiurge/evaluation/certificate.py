"""What check points prove about a surface, as values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from demiurge.evaluation.intervals import Interval


@dataclass(frozen=True)
class Verdict:
    """Whether a figure meets a requirement.

    Attributes
    ----------
    figure, limit
        What is required: the figure is at most ``limit`` metres.
    state
        ``met`` if the interval lies within the limit, ``not met`` if it lies beyond it,
        ``undecided`` otherwise.
    points
        About how many check points would decide it; 0 if it is decided or cannot be estimated.
    """

    figure: str
    limit: float
    state: str
    points: int = 0


@dataclass(frozen=True)
class Calibration:
    """The surface's uncertainty after recalibration on the check points.

    Attributes
    ----------
    figure
        The linear error that is mapped, for example LE90.
    factor
        Linear error in standard deviations of the surface's own uncertainty.
    nominal
        The same for normal errors with correct standard deviations.
    limit
        Stated accuracy in metres: the requirement, or the measured figure.
    share
        Share 0 … 1 of the surface's pixels whose linear error is within the limit.
    """

    figure: str
    factor: float
    nominal: float
    limit: float
    share: float


@dataclass(frozen=True)
class Comparison:
    """A paired comparison with another surface at the same check points.

    Attributes
    ----------
    other
        The other surface.
    count
        Check points where both have heights.
    gain
        Median of the other's absolute error minus this surface's, in metres, with its interval.
    better
        Share 0 … 1 of the points where this surface is nearer, with its interval.
    state
        ``better``, ``worse`` or ``undecided``, by the interval of ``better``.
    """

    other: str
    count: int
    gain: Interval
    better: Interval
    state: str


@dataclass(frozen=True)
class Certificate:
    """What check points prove about a surface.

    Attributes
    ----------
    surface, points
        The files.
    count, voids
        Check points with a height in the surface, and those on voids of it.
    confidence
        Probability that an interval holds the true figure.
    figures
        LE68, LE90, LE95, bias (median error), mean, RMSE and NMAD in metres, with intervals. Mean
        and RMSE depend on rare large errors that a few points cannot show.
    verdicts
        One for each requirement.
    calibration
        None if the surface has no uncertainty, or too few points.
    comparison
        None if there is no other surface.
    quadrants
        Share of the points in each quarter of the surface: north-west, north-east, south-west,
        south-east.
    notes
        Assumptions and omissions, in sentences.
    """

    surface: str
    points: str
    count: int
    voids: int
    confidence: float
    figures: dict[str, Interval]
    verdicts: tuple[Verdict, ...]
    calibration: Calibration | None
    comparison: Comparison | None
    quadrants: tuple[float, float, float, float]
    notes: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Return whether all requirements are met."""
        return all(v.state == "met" for v in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as plain values, for JSON."""
        content = asdict(self)
        content["figures"] = {name: interval_dict(i) for name, i in self.figures.items()}
        if self.comparison is not None:
            content["comparison"]["gain"] = interval_dict(self.comparison.gain)
            content["comparison"]["better"] = interval_dict(self.comparison.better)
        return content


def interval_dict(interval: Interval) -> dict[str, float | None]:
    """Return an interval for JSON; None for an end that is unbounded."""
    ends = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in ends.items()}
