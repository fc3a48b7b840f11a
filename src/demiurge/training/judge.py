"""What a new bundle is worth, measured through the exported graph, as users will run it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from demiurge.model.bundle import Bundle, Precision
from demiurge.predict.choice import has_bf16
from demiurge.predict.runtime import OpenVinoRuntime
from demiurge.training.chips import Chips, Item

Array = npt.NDArray[np.float32]

#: A reduced precision is the default only if it moves heights by less than this share of the MAE.
MAX_DEVIATION = 0.02
_MOST_CHIPS = 64
_REACH_CHIPS = 16


@dataclass(frozen=True)
class Judgement:
    """What goes into the card."""

    metrics: dict[str, Any]
    precision: dict[str, Precision]
    runtime_precision: Literal["f32", "bf16"]
    calibration: list[float]
    calibration_relative: list[float]
    reach: int


def judge(bundle: Bundle, chips: Chips) -> Judgement:
    """Run a bundle's graph over validation chips.

    Parameters
    ----------
    chips
        Validation chips; an even choice of at most 64 of them is used.
    """
    step = max(1, len(chips) // _MOST_CHIPS)
    items = [chips[i] for i in range(0, len(chips), step)]
    exact = _answers(bundle, items, "f32")
    metrics, calibration = _errors(bundle, items, exact)
    precision: dict[str, Precision] = {}
    chosen: Literal["f32", "bf16"] = "f32"
    if has_bf16():
        deviation = _deviation(bundle, items, exact, _answers(bundle, items, "bf16"))
        precision["bf16"] = deviation
        if deviation.mean <= MAX_DEVIATION * metrics["mae"]:
            chosen = "bf16"
    relative = [1.0]
    base = bundle.contract.base
    if base is not None and base not in bundle.contract.required:
        metrics[f"without_{base}"], relative = _without_base(bundle, chips, step)
    reach = _reach(bundle, items, exact)
    return Judgement(metrics, precision, chosen, calibration, relative, reach)


def _without_base(bundle: Bundle, chips: Chips, step: int) -> tuple[dict[str, Any], list[float]]:
    """Return metrics and calibrations of relative heights, from chips whose base is withheld."""
    withheld = chips.without_base()
    items = [withheld[i] for i in range(0, len(chips), step)]
    return _errors(bundle, items, _answers(bundle, items, "f32"))


def _reach(bundle: Bundle, items: list[Item], exact: list[Array]) -> int:
    """Return how many pixels away the network still heeds what it sees.

    The right half of each chip is put in place of another's: how far into the left half does the
    answer change by more than a hundredth of what the answers are?
    """
    size = exact[0].shape[-1]
    half, count = size // 2, len(bundle.contract.targets)
    some = range(min(len(items), _REACH_CHIPS))
    grafted: list[Item] = []
    for i in some:
        planes = items[i]["planes"].copy()
        planes[..., half:] = items[i - 1]["planes"][..., half:]
        grafted.append({**items[i], "planes": planes})
    answers = _answers(bundle, grafted, "f32")
    changes = [np.abs(answers[i][:count, :, :half] - exact[i][:count, :, :half]) for i in some]
    change = np.mean([c.mean(axis=(0, 1)) for c in changes], axis=0)[::-1]
    typical = float(np.mean([np.abs(exact[i][:count]).mean() for i in some]))
    heeded = np.flatnonzero(change > 0.01 * typical)
    return int(heeded[-1]) + 1 if heeded.size else 0


def _answers(bundle: Bundle, items: list[Item], precision: Literal["f32", "bf16"]) -> list[Array]:
    size = items[0]["planes"].shape[-1]
    runtime = OpenVinoRuntime(bundle, size, precision)
    return list(runtime.answers((item["planes"] for item in items), in_flight=2))


def _pieces(
    bundle: Bundle, items: list[Item], answers: list[Array]
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield error, initial error and predicted Laplace scale in metres, known pixels only."""
    count = len(bundle.contract.targets)
    for item, answer in zip(items, answers, strict=True):
        known, unit = item["known"] > 0, float(item["unit"][0])
        heights, truth = _tied(bundle, answer[:count], item), item["truth"]
        if item["relative"].any():
            heights, truth = _centred(heights, known), _centred(truth, known)
        scale = np.ones_like(heights)
        if bundle.contract.uncertainty:
            scale = np.exp(np.clip(answer[count:], -12, 12))
        yield (
            ((heights - truth) * unit)[known],
            (truth * unit)[known],
            (scale * unit)[known],
        )


def _tied(bundle: Bundle, heights: Array, item: Item) -> Array:
    """Keep the bare earth from rising above the surface, as the contract does."""
    if "gap" not in item:
        return heights
    targets = bundle.contract.targets
    surface, earth = targets.index("dsm"), targets.index("dtm")
    found = heights.copy()
    np.minimum(heights[earth], heights[surface] + item["gap"][0], out=found[earth])
    return found


def _centred(heights: Array, known: npt.NDArray[np.bool_]) -> Array:
    total = np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    mean = np.where(known, heights, 0).sum(axis=(1, 2), keepdims=True, dtype=np.float64) / total
    return np.asarray(heights - mean, np.float32)


def _errors(
    bundle: Bundle, items: list[Item], answers: list[Array]
) -> tuple[dict[str, Any], list[float]]:
    parts = list(_pieces(bundle, items, answers))
    error, before, scale = (np.concatenate([p[i] for p in parts]) for i in range(3))
    metrics: dict[str, Any] = {
        "mae": float(np.abs(error).mean(dtype=np.float64)),
        "rmse": float(np.sqrt((error.astype(np.float64) ** 2).mean())),
        "input_mae": float(np.abs(before).mean(dtype=np.float64)),
        "pixels": int(error.size),
    }
    if len(bundle.contract.targets) > 1:
        metrics["by_target"] = _by_target(bundle, items, answers)
    if not bundle.contract.uncertainty:
        return metrics, [1.0]
    metrics["coverage_90_before_calibration"] = float(
        (np.abs(error) <= scale * math.log(10)).mean()
    )
    count = len(bundle.contract.targets)
    return metrics, [_calibration(bundle, items, answers, i) for i in range(count)]


def _calibration(bundle: Bundle, items: list[Item], answers: list[Array], target: int) -> float:
    """Return the factor that makes a target's 90 % intervals hold 90 % of its errors."""
    parts = list(_pieces(bundle, [_only(item, target) for item in items], answers))
    error, scale = (np.concatenate([p[i] for p in parts]) for i in (0, 2))
    if not error.size:
        return 1.0
    # A Laplace interval of 90 % reaches ln 10 scales.
    return max(float(np.quantile(np.abs(error) / scale, 0.9)) / math.log(10), 1e-3)


def _only(item: Item, target: int) -> Item:
    """Return an item in which nothing but one target's truth is known."""
    known = np.zeros_like(item["known"])
    known[target] = item["known"][target]
    return {**item, "known": known}


def _by_target(bundle: Bundle, items: list[Item], answers: list[Array]) -> dict[str, Any]:
    """Return the MAE in metres of each target, and that of what it corrects."""
    found: dict[str, Any] = {}
    for index, target in enumerate(bundle.contract.targets):
        parts = list(_pieces(bundle, [_only(item, index) for item in items], answers))
        error, before = (np.concatenate([p[i] for p in parts]) for i in range(2))
        found[target] = {
            "mae": float(np.abs(error).mean(dtype=np.float64)) if error.size else None,
            "start_mae": float(np.abs(before).mean(dtype=np.float64)) if error.size else None,
        }
    return found


def _deviation(
    bundle: Bundle, items: list[Item], exact: list[Array], reduced: list[Array]
) -> Precision:
    count = len(bundle.contract.targets)
    gaps = np.concatenate(
        [
            np.abs(a[:count] - b[:count]).ravel() * float(item["unit"][0])
            for a, b, item in zip(exact, reduced, items, strict=True)
        ]
    )
    return Precision(
        mean=float(gaps.mean(dtype=np.float64)),
        p99=float(np.quantile(gaps, 0.99)),
        maximum=float(gaps.max()),
    )
