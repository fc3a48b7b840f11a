"""Validation of a new bundle: its exported graph, at the windows in which it is applied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask
from demiurge.model.backend.base import PrecisionName
from demiurge.model.backend.openvino import OpenVinoRuntime, has_bf16
from demiurge.model.bundle import Bundle, Precision
from demiurge.predict.inference import Network
from demiurge.progress import progress
from demiurge.training.dataset import ChipDataset, Item
from demiurge.training.receptive_field import measured_reach

#: A reduced precision is the default only if it moves heights by less than this share of the MAE.
MAX_DEVIATION = 0.02
_MOST_WINDOWS = 64
#: Windows held in memory at a time.
_HELD = 4


@dataclass(frozen=True)
class Validation:
    """What goes into the card; ``reach`` is the measured receptive field in pixels."""

    metrics: dict[str, Any]
    precision: dict[str, Precision]
    runtime_precision: Literal["f32", "bf16"]
    calibration: list[float]
    calibration_relative: list[float]
    reach: int


def validate(bundle: Bundle, chips: ChipDataset, *, quiet: bool = True) -> Validation:
    """Run a bundle's graph over validation places, in windows of the size it is applied with.

    Parameters
    ----------
    chips
        Validation chips. At most 64 windows of their places are used, evenly spaced. Places
        smaller than the bundle's window are read in smaller ones.
    """
    windows = chips.tiled(window_side(bundle, relative=bundle.contract.relative))
    chosen = evenly(len(windows), _MOST_WINDOWS)
    reduced = has_bf16()
    tally, gaps = _Tally(bundle), list[Array]()
    count = len(bundle.contract.targets)
    precisions: tuple[PrecisionName, ...] = ("f32", "bf16") if reduced else ("f32",)
    with progress("judge", len(chosen), quiet=quiet, unit="windows", passing=True) as advance:
        for item, answers in _answered(bundle, windows, chosen, precisions):
            tally.add(item, answers[0])
            for other in answers[1:]:
                gap = np.abs(answers[0][:count] - other[:count]).ravel()
                gaps.append(gap * np.float32(item["unit"][0]))
            advance()
    metrics, calibration = tally.metrics(), tally.calibration()
    precision: dict[str, Precision] = {}
    default: Literal["f32", "bf16"] = "f32"
    if reduced:
        precision["bf16"] = _deviation(np.concatenate(gaps))
        if precision["bf16"].mean <= MAX_DEVIATION * metrics["mae"]:
            default = "bf16"
    relative = [1.0]
    base = bundle.contract.base
    if base is not None and base not in bundle.contract.required:
        metrics[f"without_{base}"], relative = _without_base(bundle, chips)
    reach = measured_reach(bundle, windows)
    return Validation(metrics, precision, default, calibration, relative, reach)


def errors_of(bundle: Bundle, chips: ChipDataset) -> dict[str, Any]:
    """Return the errors of a bundle over all pixels with truth, each counted once."""
    side = window_side(bundle, relative=bundle.contract.relative)
    windows = chips.tiled(side, complete=True)
    tally = _Tally(bundle, calibrating=False)
    for item, answers in _answered(bundle, windows, range(len(windows)), ("f32",)):
        tally.add(item, answers[0])
    return tally.metrics()


def window_side(bundle: Bundle, *, relative: bool) -> int:
    """Return the side in pixels of the windows that a bundle is applied in.

    Relative heights are predicted in windows of a chip's side.
    """
    side = bundle.card.window.size
    chip = bundle.card.recipe.get("chips", {}).get("size")
    return min(side, max(64, chip)) if relative and chip else side


def evenly(count: int, most: int) -> Sequence[int]:
    """Return at most ``most`` indices, evenly spaced from first to last."""
    if count <= most:
        return range(count)
    return [int(i) for i in np.linspace(0, count - 1, most).round()]


def _without_base(bundle: Bundle, chips: ChipDataset) -> tuple[dict[str, Any], list[float]]:
    """Return metrics and calibrations of relative heights, from windows without the base."""
    windows = chips.without_base().tiled(window_side(bundle, relative=True))
    tally = _Tally(bundle)
    chosen = evenly(len(windows), _MOST_WINDOWS)
    for item, answers in _answered(bundle, windows, chosen, ("f32",)):
        tally.add(item, answers[0])
    return tally.metrics(), tally.calibration()


def _answered(
    bundle: Bundle, windows: ChipDataset, chosen: Sequence[int], precisions: Sequence[PrecisionName]
) -> Iterator[tuple[Item, list[Array]]]:
    """Yield windows with the network's answer in each precision; ``new`` marks their own pixels."""
    for side, alike in groupby(sorted(chosen, key=windows.side), windows.side):
        networks = [
            Network(bundle, OpenVinoRuntime(bundle, side, name), in_flight=2) for name in precisions
        ]
        indices = list(alike)
        for first in range(0, len(indices), _HELD):
            items = [{**windows[i], "new": windows.new(i)} for i in indices[first : first + _HELD]]
            answers = [
                [outputs for (outputs,) in network.outputs(item["planes"] for item in items)]
                for network in networks
            ]
            for item, *given in zip(items, *answers, strict=True):
                yield item, given


@dataclass
class _Tally:
    """Sums over windows, target by target, in metres."""

    bundle: Bundle
    calibrating: bool = True
    counts: list[int] = field(init=False)
    sums: npt.NDArray[np.float64] = field(init=False)
    ratios: list[list[Array]] = field(init=False)

    def __post_init__(self) -> None:
        targets = len(self.bundle.contract.targets)
        self.counts = [0] * targets
        # Absolute error, squared error, absolute initial error.
        self.sums = np.zeros((targets, 3))
        self.ratios = [[] for _ in range(targets)]

    def add(self, item: Item, answer: Array) -> None:
        """Take in a window."""
        count = len(self.bundle.contract.targets)
        known, unit = item["known"] > 0, float(item["unit"][0])
        heights, truth = _tied(self.bundle, answer[:count], item), item["truth"]
        if item["relative"].any():
            heights, truth = _centred(heights, known), _centred(truth, known)
        known &= item["new"] > 0
        for target in range(count):
            here = known[target]
            error = np.abs(heights[target][here] - truth[target][here])
            wide = error.astype(np.float64) * unit
            before = np.abs(truth[target][here]).sum(dtype=np.float64) * unit
            self.counts[target] += error.size
            self.sums[target] += wide.sum(), wide @ wide, before
            if self.calibrating and self.bundle.contract.uncertainty:
                scale = np.exp(np.clip(answer[count + target][here], -12, 12))
                self.ratios[target].append(error / scale)

    def metrics(self) -> dict[str, Any]:
        """Return the figures of all targets together, and of each."""
        total = sum(self.counts)
        size, square, before = self.sums.sum(axis=0) / max(total, 1)
        found: dict[str, Any] = {
            "mae": float(size),
            "rmse": math.sqrt(square),
            "input_mae": float(before),
            "pixels": total,
        }
        targets = self.bundle.contract.targets
        if len(targets) > 1:
            found["by_target"] = {
                target: {
                    "mae": self.sums[i, 0] / n if n else None,
                    "start_mae": self.sums[i, 2] / n if n else None,
                }
                for i, (target, n) in enumerate(zip(targets, self.counts, strict=True))
            }
        if any(self.ratios):
            # A Laplace interval of 90 % reaches ln 10 scales.
            inside = sum(int((r <= math.log(10)).sum()) for part in self.ratios for r in part)
            found["coverage_90_before_calibration"] = inside / max(total, 1)
        return found

    def calibration(self) -> list[float]:
        """Return for each target the factor that makes 90 % intervals hold 90 % of its errors."""
        if not self.bundle.contract.uncertainty:
            return [1.0]
        found = []
        for parts in self.ratios:
            ratios = np.concatenate(parts)
            factor = float(np.quantile(ratios, 0.9)) / math.log(10) if ratios.size else 1.0
            found.append(max(factor, 1e-3))
        return found


def _tied(bundle: Bundle, heights: Array, item: Item) -> Array:
    """Keep the bare earth from rising above the surface, as the contract does."""
    if "gap" not in item:
        return heights
    targets = bundle.contract.targets
    surface, earth = targets.index("dsm"), targets.index("dtm")
    found = heights.copy()
    np.minimum(heights[earth], heights[surface] + item["gap"][0], out=found[earth])
    return found


def _centred(heights: Array, known: Mask) -> Array:
    total = np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    mean = np.where(known, heights, 0).sum(axis=(1, 2), keepdims=True, dtype=np.float64) / total
    return np.asarray(heights - mean, np.float32)


def _deviation(gaps: Array) -> Precision:
    return Precision(
        mean=float(gaps.mean(dtype=np.float64)),
        p99=float(np.quantile(gaps, 0.99)),
        maximum=float(gaps.max()),
    )
