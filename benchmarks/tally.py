"""Sums of errors by place and class, for statistics and intervals over places."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from demiurge.scene.scene import Scene
from demiurge.simulation.classes import CLASSES

Array = np.ndarray

SLOPES = {"slope below 10°": (0, 10), "slope 10 to 30°": (10, 30), "slope above 30°": (30, 90)}


def classes(scene: Scene, truth: Array) -> dict[str, Array]:
    """Return the masks of land covers, slopes and states of the input."""
    masks = {"all": np.isfinite(truth)}
    if "landcover" in scene.layers:
        (cover,) = scene.read(layers=["landcover"])
        masks |= {name: cover == code for code, name in CLASSES.items()}
    down, across = np.gradient(np.nan_to_num(truth, nan=float(np.nanmean(truth))), scene.pixel_size)
    slope = np.degrees(np.arctan(np.hypot(down, across)))
    masks |= {name: (slope >= low) & (slope < high) for name, (low, high) in SLOPES.items()}
    void = ~np.isfinite(scene.read(layers=["dsm"])[0])
    return {
        k: v & np.isfinite(truth) for k, v in {**masks, "voids": void, "measured": ~void}.items()
    }


class Tally:
    """Sums of errors by (surface, class), one entry for each place."""

    def __init__(self) -> None:
        self.places: list[dict[tuple[str, str], tuple[float, float, int]]] = []
        self.samples: dict[str, list[Array]] = {}

    def add(self, surfaces: dict[str, Array], truth: Array, where: dict[str, Array]) -> None:
        """Add a place: the errors of every surface in every class."""
        masks = {}
        for name, heights in surfaces.items():
            error = heights - truth
            for kind, mask in where.items():
                some = error[mask & np.isfinite(error)].astype(np.float64)
                masks[name, kind] = (np.abs(some).sum(), np.square(some).sum(), some.size)
            self.samples.setdefault(name, []).append(error[np.isfinite(error)][::7])
        self.places.append(masks)

    def _sums(self, name: str, kind: str, picks: Iterable[int] | None = None) -> Array:
        chosen = self.places if picks is None else [self.places[i] for i in picks]
        return np.array([p.get((name, kind), (0.0, 0.0, 0)) for p in chosen]).sum(axis=0)

    def pixels(self, kind: str) -> int:
        name = next(iter(self.places[0]))[0]
        return int(self._sums(name, kind)[2])

    def mae(self, name: str, kind: str = "all", picks: Iterable[int] | None = None) -> float:
        absolute, _, count = self._sums(name, kind, picks)
        return float(absolute / max(count, 1))

    def rmse(self, name: str, kind: str = "all", picks: Iterable[int] | None = None) -> float:
        _, squared, count = self._sums(name, kind, picks)
        return float(np.sqrt(squared / max(count, 1)))

    def nmad(self, name: str) -> float:
        error = np.concatenate(self.samples[name])
        return float(1.4826 * np.median(np.abs(error - np.median(error))))

    def interval(self, ours: str, theirs: str, kind: str, what: str = "mae") -> tuple[float, float]:
        """Return the 95 % bootstrap interval over places of the ratio of two surfaces' errors."""
        rng, count, ratios = np.random.default_rng(0), len(self.places), []
        for _ in range(500):
            picks = list(rng.integers(0, count, count))
            below = getattr(self, what)(theirs, kind, picks)
            if below > 0:
                ratios.append(getattr(self, what)(ours, kind, picks) / below)
        low, high = np.percentile(ratios, (2.5, 97.5))
        return float(low), float(high)


class Reliability:
    """Agreement of uncertainties and errors: shares within intervals, sparsification."""

    LEVELS = (0.5, 0.68, 0.9, 0.95)

    def __init__(self) -> None:
        self.errors: list[Array] = []
        self.deviations: list[Array] = []

    def add(self, error: Array, deviation: Array) -> None:
        """Add errors and their predicted standard deviations, in metres."""
        known = np.isfinite(error) & np.isfinite(deviation)
        self.errors.append(np.abs(error[known])[::3])
        self.deviations.append(deviation[known][::3])

    def coverage(self, level: float) -> float:
        """Return the share of errors inside the Laplace interval of a level."""
        limit = np.concatenate(self.deviations) / np.sqrt(2) * -np.log(1 - level)
        return float((np.concatenate(self.errors) <= limit).mean())

    def sparsification(self) -> tuple[float, float]:
        """Return the MAE of the most certain half over that of all, by uncertainty and by error."""
        error, deviation = np.concatenate(self.errors), np.concatenate(self.deviations)
        half = error.size // 2
        predicted = error[np.argpartition(deviation, half)[:half]].mean()
        best = np.partition(error, half)[:half].mean()
        return float(predicted / error.mean()), float(best / error.mean())
