"""Do two rasters of heights speak of the same metres: feet and offsets give themselves away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.errors import DataError
from demiurge.evaluation.metrics import ErrorStatistics

Heights = npt.NDArray[np.floating[Any]]

#: A median offset in metres that hints at different vertical references, and the share of the
#: NMAD that it must exceed to stop a comparison.
SUSPICIOUS_OFFSET, SHARE_OF_NMAD = 5.0, 0.5
#: Metres in a foot. The US survey foot differs by 2 in a million.
_FOOT = 0.3048
#: How close to a foot the ratio of reliefs must be, with which correlation at least, and what
#: share of the RMSE may be left when feet are taken for metres.
_CLOSE, _ALIKE, _LEFT = 0.3, 0.5, 0.5


@dataclass
class Moments:
    """Means and sums of products of pairs of heights; those of two sets add up.

    Attributes
    ----------
    count
        Pairs.
    means
        float64 (2,): of the heights and of the reference.
    products
        float64 (2, 2): sums of products of deviations from the means (Chan et al. 1983).
    """

    count: int = 0
    means: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    products: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 2)))

    @classmethod
    def of(cls, heights: Heights, reference: Heights) -> Moments:
        """Return the moments of pairs where both are finite."""
        known = np.isfinite(heights) & np.isfinite(reference)
        if not known.any():
            return cls()
        pairs = np.stack([heights[known], reference[known]]).astype(np.float64)
        means = pairs.mean(axis=1)
        pairs -= means[:, None]
        return cls(pairs.shape[1], means, pairs @ pairs.T)

    def add(self, other: Moments) -> None:
        """Take in other pairs."""
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


def foot_ratio(of: Moments) -> float | None:
    """Return the ratio of a foot and a metre if the reference is so many times the heights.

    Returns
    -------
    0.3048 where the heights are in feet and the reference is in metres, 1 / 0.3048 the other way
    round, None where neither is likely.
    """
    heights, reference = (float(of.products[i, i]) for i in (0, 1))
    if not heights or not reference:
        return None
    correlation = float(of.products[0, 1]) / np.sqrt(heights * reference)
    slope = np.sqrt(reference / heights)
    for factor in (_FOOT, 1 / _FOOT):
        # Errors in metres, whichever of the two is in feet.
        left = of.rms(factor) * min(1.0, 1 / factor)
        near = abs(slope / factor - 1) < _CLOSE and correlation > _ALIKE
        if near and left < _LEFT * of.rms(1.0):
            return factor
    return None


def require_metres(
    found: Moments | None, name: str, reference: str, *, allow_offset: bool
) -> list[str]:
    """Raise if heights and reference differ by the ratio of a foot and a metre.

    Returns
    -------
    What to say of it if that is allowed; nothing if there is nothing to say.
    """
    ratio = None if found is None or not found.count else foot_ratio(found)
    if ratio is None:
        return []
    feet, metres = (name, reference) if ratio < 1 else (reference, name)
    text = f"{feet}: its heights are about 3.28 times those of {metres}, as feet are of metres"
    if not allow_offset:
        raise DataError(
            text, f"multiply the heights of {feet} by 0.3048, or add --allow-offset to go on"
        )
    return [f"{text}: check its unit"]


def require_level(found: ErrorStatistics, name: str, *, allow_offset: bool) -> list[str]:
    """Raise if a surface lies so far from the reference that something else is wrong.

    That is more than 5 m at the median, and more than half of the NMAD.

    Returns
    -------
    What to say of a median beyond 5 m that is allowed; nothing if there is nothing to say.
    """
    if abs(found.median) <= SUSPICIOUS_OFFSET:
        return []
    text = f"{name}: lies {found.median:+.1f} m from the reference at the median"
    if abs(found.median) <= SHARE_OF_NMAD * found.nmad:
        return [f"{text}, within its spread (NMAD {found.nmad:.1f} m): compare their vertical "
                "references"]  # fmt: skip
    if not allow_offset:
        raise DataError(
            text, "compare their vertical references and units, or add --allow-offset to go on"
        )
    return [f"{text}: compare their vertical references"]
