"""Checks that two rasters of heights share unit and vertical level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Values
from demiurge.errors import DataError
from demiurge.evaluation.metrics import ErrorStatistics

Heights = npt.NDArray[np.floating[Any]]

#: Median offset in metres above which vertical references may differ, and the share of the NMAD
#: that it must also exceed to stop a comparison.
SUSPICIOUS_OFFSET, SHARE_OF_NMAD = 5.0, 0.5
#: Metres in a foot. The US survey foot differs by 2 in a million.
_FOOT = 0.3048
#: Feet are assumed if the ratio of reliefs differs from a foot by less than this share, the
#: correlation exceeds this value, and conversion leaves less than this share of the RMSE.
_MAX_DEVIATION, _MIN_CORRELATION, _MAX_REMAINDER = 0.3, 0.5, 0.5


@dataclass
class Moments:
    """Means and co-moments of pairs of heights; moments of disjoint sets can be merged.

    Attributes
    ----------
    count
        Number of pairs.
    means
        float64 (2,): of the heights and of the reference.
    products
        float64 (2, 2): sums of products of deviations from the means (Chan et al. 1983).
    """

    count: int = 0
    means: Values = field(default_factory=lambda: np.zeros(2))
    products: Values = field(default_factory=lambda: np.zeros((2, 2)))

    @classmethod
    def of(cls, heights: Heights, reference: Heights) -> Moments:
        """Return the moments of the pairs in which both are finite."""
        known = np.isfinite(heights) & np.isfinite(reference)
        if not known.any():
            return cls()
        pairs = np.stack([heights[known], reference[known]]).astype(np.float64)
        means = pairs.mean(axis=1)
        pairs -= means[:, None]
        return cls(pairs.shape[1], means, pairs @ pairs.T)

    def merge(self, other: Moments) -> None:
        """Add the moments of other pairs."""
        total = self.count + other.count
        if not total:
            return
        gap = other.means - self.means
        self.products = (
            self.products + other.products + np.outer(gap, gap) * (self.count * other.count / total)
        )
        self.means = self.means + gap * (other.count / total)
        self.count = total

    def rms(self, factor: float) -> float:
        """Return the root mean square of reference − factor · heights."""
        weights = np.array([-factor, 1.0])
        mean = float(weights @ self.means)
        return float(np.sqrt(max(weights @ self.products @ weights / self.count, 0) + mean**2))


def foot_ratio(moments: Moments) -> float | None:
    """Return the factor of a foot that converts the heights to the reference's unit.

    Returns
    -------
    0.3048 if the heights are in feet and the reference is in metres, 1 / 0.3048 in the opposite
    case, None if neither is likely.
    """
    heights, reference = (float(moments.products[i, i]) for i in (0, 1))
    if not heights or not reference:
        return None
    correlation = float(moments.products[0, 1]) / np.sqrt(heights * reference)
    slope = np.sqrt(reference / heights)
    for factor in (_FOOT, 1 / _FOOT):
        # Errors in metres, whichever of the two is in feet.
        remainder = moments.rms(factor) * min(1.0, 1 / factor)
        near = abs(slope / factor - 1) < _MAX_DEVIATION and correlation > _MIN_CORRELATION
        if near and remainder < _MAX_REMAINDER * moments.rms(1.0):
            return factor
    return None


def require_metres(
    moments: Moments | None, name: str, reference: str, *, allow_offset: bool
) -> list[str]:
    """Check that heights and reference do not differ by the ratio of foot and metre.

    Returns
    -------
    A note if they do and ``allow_offset`` is set; otherwise an empty list.

    Raises
    ------
    DataError
        If they do and ``allow_offset`` is not set.
    """
    ratio = None if moments is None or not moments.count else foot_ratio(moments)
    if ratio is None:
        return []
    feet, metres = (name, reference) if ratio < 1 else (reference, name)
    text = f"{feet}: its heights are about 3.28 times those of {metres}, as feet are of metres"
    if not allow_offset:
        raise DataError(
            text, f"multiply the heights of {feet} by 0.3048, or add --allow-offset to continue"
        )
    return [f"{text}: check its unit"]


def require_level(errors: ErrorStatistics, name: str, *, allow_offset: bool) -> list[str]:
    """Check that a surface has no suspicious vertical offset from the reference.

    An offset is suspicious if the median error exceeds 5 m and half of the NMAD.

    Returns
    -------
    A note on an accepted median error of more than 5 m; otherwise an empty list.

    Raises
    ------
    DataError
        If the offset is suspicious and ``allow_offset`` is not set.
    """
    if abs(errors.median) <= SUSPICIOUS_OFFSET:
        return []
    text = f"{name}: lies {errors.median:+.1f} m from the reference at the median"
    if abs(errors.median) <= SHARE_OF_NMAD * errors.nmad:
        return [f"{text}, within its error distribution (NMAD {errors.nmad:.1f} m): compare their "
                "vertical references"]  # fmt: skip
    if not allow_offset:
        raise DataError(
            text, "compare their vertical references and units, or add --allow-offset to continue"
        )
    return [f"{text}: compare their vertical references"]
