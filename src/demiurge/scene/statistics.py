"""Statistics of layers, accumulated block by block, and their file ``fingerprint.json``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError

FINGERPRINT_NAME = "fingerprint.json"
_SAMPLES = 200_000


def load_fingerprint(folder: Path) -> dict[str, Any]:
    """Read ``fingerprint.json`` of a prepared scene; empty if the file does not exist.

    Raises
    ------
    DataError
        If the file is not JSON.
    """
    path = folder / FINGERPRINT_NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{path}: is not readable JSON", "prepare the scene again") from None
    return content if isinstance(content, dict) else {}


def grain(image: Array) -> float | None:
    """Return the mean absolute difference of horizontal neighbours over the standard deviation.

    White noise gives 1.1, a smooth image nearly 0. The figure does not depend on brightness and
    contrast. None for an image without contrast.

    Parameters
    ----------
    image
        float32 (rows, columns), NaN for no data.
    """
    steps = np.abs(np.diff(image, axis=1))
    steps = steps[np.isfinite(steps)]
    known = image[np.isfinite(image)]
    deviation = float(known.std(dtype=np.float64)) if known.size else 0.0
    if not steps.size or deviation == 0:
        return None
    return float(steps.mean(dtype=np.float64)) / deviation


@dataclass
class Statistics:
    """Running count, mean, standard deviation, range and quantiles of one layer.

    Quantiles come from a regular sample of at most about 200,000 pixels.
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
        """Add the pixels of a block, float32, NaN for no data."""
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
        """Return the figures by name; None for figures of a layer without data."""
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
