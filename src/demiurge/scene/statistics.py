"""Statistics of layers that are gathered block by block, no data left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from demiurge.arrays import Array

_SAMPLES = 200_000


def grain(image: Array) -> float | None:
    """Return how much neighbours to the right differ, over the spread: noise 1.1, clouds nearly 0.

    It does not change with an image's brightness and contrast. None for images without any.

    Parameters
    ----------
    image
        float32 (rows, columns), NaN for no data.
    """
    steps = np.abs(np.diff(image, axis=1))
    steps = steps[np.isfinite(steps)]
    known = image[np.isfinite(image)]
    spread = float(known.std(dtype=np.float64)) if known.size else 0.0
    if not steps.size or spread == 0:
        return None
    return float(steps.mean(dtype=np.float64)) / spread


@dataclass
class Statistics:
    """Running count, mean, spread, range and quantiles of one layer.

    Quantiles come from a regular thinning of the pixels, at most some 200,000 of them.
    """

    thinning: int = 1
    count: int = 0
    measured: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    _samples: list[Array] = field(default_factory=list)

    @classmethod
    def of_shape(cls, shape: tuple[int, int]) -> Statistics:
        """Return empty statistics for a raster of this shape."""
        return cls(thinning=max(1, shape[0] * shape[1] // _SAMPLES))

    def add(self, block: Array) -> None:
        """Take in a block (float32, NaN for no data)."""
        values = block[np.isfinite(block)].astype(np.float64)
        self.count += block.size
        if values.size == 0:
            return
        mean, total = float(values.mean()), self.measured + values.size
        shift = mean - self.mean
        # Chan, Golub and LeVeque (1983): merging of means and sums of squares.
        self.squares += float(((values - mean) ** 2).sum())
        self.squares += shift**2 * self.measured * values.size / total
        self.mean += shift * values.size / total
        self.measured = total
        self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
        self._samples.append(values[:: self.thinning].astype(np.float32))

    def result(self) -> dict[str, float | int | None]:
        """Return the figures; None where nothing was measured."""
        voids = 1 - self.measured / self.count if self.count else 1.0
        if not self.measured:
            keys = ("min", "max", "mean", "std", "p01", "p50", "p99")
            return {"measured": 0, "voids": voids, **dict.fromkeys(keys)}
        p01, p50, p99 = np.percentile(np.concatenate(self._samples), (1, 50, 99))
        return {
            "measured": self.measured,
            "voids": round(voids, 6),
            "min": float(self.low),
            "max": float(self.high),
            "mean": self.mean,
            "std": math.sqrt(self.squares / self.measured),
            "p01": float(p01),
            "p50": float(p50),
            "p99": float(p99),
        }
