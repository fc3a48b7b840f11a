"""Validation of a new bundle: its exported graph, in the windows in which it is applied."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

import numpy as np

from demiurge.arrays import Array, Mask, Values
from demiurge.model.backend.base import PrecisionName
from demiurge.model.backend.openvino import OpenVinoRuntime, has_bf16
from demiurge.model.bundle import Bundle, Precision
from demiurge.predict.inference import Network
from demiurge.progress import progress
from demiurge.training.dataset import Item, ValidationChips

#: Maximum mean difference between bf16 and f32, as a share of the MAE, for bf16 to be the default.
MAX_DEVIATION = 0.02
#: Maximum number of windows, and number of windows in memory at a time.
_MOST_WINDOWS, _IN_MEMORY = 64, 4
#: The receptive field is measured on windows of at least this side in pixels, and on so many.
_FIELD_SIDE, _FIELD_WINDOWS = 512, 4
#: Changes of the output below this share of its mean absolute value count as none.
_FIELD_CHANGE = 0.01


@dataclass(frozen=True)
class Validation:
    """Results of a validation, for the card of the bundle.

    Attributes
    ----------
    metrics
        Errors in metres.
    precision
        Differences of reduced precisions from f32.
    runtime_precision
        Default precision.
    calibration
        Factor of the predicted uncertainty per target.
    calibration_relative
        The same without an optional base.
    receptive_field
        Measured receptive field in pixels.
    """

    metrics: dict[str, Any]
    precision: dict[str, Precision]
    runtime_precision: Literal["f32", "bf16"]
    calibration: list[float]
    calibration_relative: list[float]
    receptive_field: int


def validate(bundle: Bundle, chips: ValidationChips, *, quiet: bool = True) -> Validation:
    """Run a bundle over validation regions, in windows of the side in which it is applied.

    Parameters
    ----------
    chips
        Validation chips. At most 64 windows of their regions are used, evenly spaced. Regions
        smaller than the bundle's window are read in smaller windows.
    """
    windows = chips.tiled(window_side(bundle, relative=bundle.contract.relative))
    chosen = evenly_spaced(len(windows), _MOST_WINDOWS)
    precisions: list[PrecisionName] = ["f32", "bf16"] if has_bf16() else ["f32"]
    errors, gaps = _Errors(bundle), list[Array]()
    count = len(bundle.contract.targets)
    with progress("validate", len(chosen), quiet=quiet, unit="windows", passing=True) as advance:
        for item, outputs in _predicted(bundle, windows, chosen, precisions):
            errors.add(item, outputs[0])
            for other in outputs[1:]:
                gap = np.abs(outputs[0][:count] - other[:count]).ravel()
                gaps.append(gap * np.float32(item["unit"][0]))
            advance()
    metrics, calibration = errors.metrics(), errors.calibration()
    precision: dict[str, Precision] = {}
    default: Literal["f32", "bf16"] = "f32"
    if gaps:
        precision["bf16"] = _deviation(np.concatenate(gaps))
        if precision["bf16"].mean <= MAX_DEVIATION * metrics["mae"]:
            default = "bf16"
    relative = [1.0]
    base = bundle.contract.base
    if base is not None and base not in bundle.contract.required:
        metrics[f"without_{base}"], relative = _without_base(bundle, chips)
    size = measure_receptive_field(bundle, windows)
    return Validation(metrics, precision, default, calibration, relative, size)


def errors_of(bundle: Bundle, chips: ValidationChips) -> dict[str, Any]:
    """Return the errors of a bundle over all pixels with truth, each counted once."""
    side = window_side(bundle, relative=bundle.contract.relative)
    windows = chips.tiled(side, complete=True)
    errors = _Errors(bundle, calibrating=False)
    for item, outputs in _predicted(bundle, windows, range(len(windows)), ["f32"]):
        errors.add(item, outputs[0])
    return errors.metrics()


def window_side(bundle: Bundle, *, relative: bool) -> int:
    """Return the side in pixels of the windows in which a bundle is applied.

    Relative heights are predicted in windows of the chip size.
    """
    side = bundle.card.window.size
    chip = bundle.card.recipe.get("chips", {}).get("size")
    return min(side, max(64, chip)) if relative and chip else side


def evenly_spaced(count: int, most: int) -> Sequence[int]:
    """Return at most ``most`` of ``count`` indices, evenly spaced, first and last included."""
    if count <= most:
        return range(count)
    return [int(i) for i in np.linspace(0, count - 1, most).round()]


def _without_base(bundle: Bundle, chips: ValidationChips) -> tuple[dict[str, Any], list[float]]:
    """Return metrics and calibration of relative heights, from windows without the base."""
    windows = chips.without_base().tiled(window_side(bundle, relative=True))
    errors = _Errors(bundle)
    chosen = evenly_spaced(len(windows), _MOST_WINDOWS)
    for item, outputs in _predicted(bundle, windows, chosen, ["f32"]):
        errors.add(item, outputs[0])
    return errors.metrics(), errors.calibration()


def _predicted(
    bundle: Bundle,
    windows: ValidationChips,
    chosen: Sequence[int],
    precisions: Sequence[PrecisionName],
) -> Iterator[tuple[Item, list[Array]]]:
    """Yield windows with the output in each precision. ``new`` is 1 at pixels not seen before."""
    for side, indices in groupby(sorted(chosen, key=windows.side), windows.side):
        networks = [_network(bundle, side, precision) for precision in precisions]
        alike = list(indices)
        for first in range(0, len(alike), _IN_MEMORY):
            part = alike[first : first + _IN_MEMORY]
            items = [{**windows[i], "new": windows.new_pixels(i)} for i in part]
            outputs = [_run(network, [item["planes"] for item in items]) for network in networks]
            for item, *given in zip(items, *outputs, strict=True):
                yield item, given


def _network(bundle: Bundle, side: int, precision: PrecisionName) -> Network:
    """Return the network of a bundle for windows of one side."""
    return Network(bundle, OpenVinoRuntime(bundle, side, precision), in_flight=2)


def _run(network: Network, planes: Iterable[Array]) -> list[Array]:
    """Return the output (outputs, side, side) of each window."""
    return [output for (output,) in network.outputs(planes)]


@dataclass
class _Errors:
    """Sums of errors over windows per target, in metres."""

    bundle: Bundle
    calibrating: bool = True
    counts: list[int] = field(init=False)
    sums: Values = field(init=False)
    ratios: list[list[Array]] = field(init=False)

    def __post_init__(self) -> None:
        targets = len(self.bundle.contract.targets)
        self.counts = [0] * targets
        # Absolute error, squared error, absolute error of the input.
        self.sums = np.zeros((targets, 3))
        self.ratios = [[] for _ in range(targets)]

    def add(self, item: Item, output: Array) -> None:
        """Add a window."""
        count = len(self.bundle.contract.targets)
        known, unit = item["known"] > 0, float(item["unit"][0])
        heights, truth = _heights(self.bundle, output[:count], item), item["truth"]
        if item["relative"].any():
            heights, truth = _centred(heights, known), _centred(truth, known)
        known &= item["new"] > 0
        for target in range(count):
            here = known[target]
            error = np.abs(heights[target][here] - truth[target][here])
            metres = error.astype(np.float64) * unit
            before = np.abs(truth[target][here]).sum(dtype=np.float64) * unit
            self.counts[target] += error.size
            self.sums[target] += metres.sum(), metres @ metres, before
            if self.calibrating and self.bundle.contract.uncertainty:
                scale = np.exp(np.clip(output[count + target][here], -12, 12))
                self.ratios[target].append(error / scale)

    def metrics(self) -> dict[str, Any]:
        """Return the errors of all targets together and per target."""
        total = sum(self.counts)
        absolute, square, before = self.sums.sum(axis=0) / max(total, 1)
        metrics: dict[str, Any] = {
            "mae": float(absolute),
            "rmse": math.sqrt(square),
            "input_mae": float(before),
            "pixels": total,
        }
        targets = self.bundle.contract.targets
        if len(targets) > 1:
            metrics["by_target"] = {
                target: {
                    "mae": self.sums[i, 0] / n if n else None,
                    "start_mae": self.sums[i, 2] / n if n else None,
                }
                for i, (target, n) in enumerate(zip(targets, self.counts, strict=True))
            }
        if any(self.ratios):
            # A 90 % interval of a Laplace distribution is ± ln 10 scales.
            inside = sum(int((r <= math.log(10)).sum()) for part in self.ratios for r in part)
            metrics["coverage_90_before_calibration"] = inside / max(total, 1)
        return metrics

    def calibration(self) -> list[float]:
        """Return the factor per target that makes 90 % intervals contain 90 % of the errors."""
        if not self.bundle.contract.uncertainty:
            return [1.0]
        factors = []
        for parts in self.ratios:
            ratios = np.concatenate(parts)
            factor = float(np.quantile(ratios, 0.9)) / math.log(10) if ratios.size else 1.0
            factors.append(max(factor, 1e-3))
        return factors


def _heights(bundle: Bundle, heights: Array, item: Item) -> Array:
    """Return the corrections, with the DTM not above the DSM, as in the contract."""
    if "gap" not in item:
        return heights
    targets = bundle.contract.targets
    surface, earth = targets.index("dsm"), targets.index("dtm")
    limited = heights.copy()
    np.minimum(heights[earth], heights[surface] + item["gap"][0], out=limited[earth])
    return limited


def _centred(heights: Array, known: Mask) -> Array:
    """Return heights less their mean over the known pixels."""
    total = np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    mean = np.where(known, heights, 0).sum(axis=(1, 2), keepdims=True, dtype=np.float64) / total
    return np.asarray(heights - mean, np.float32)


def _deviation(gaps: Array) -> Precision:
    return Precision(
        mean=float(gaps.mean(dtype=np.float64)),
        p99=float(np.quantile(gaps, 0.99)),
        maximum=float(gaps.max()),
    )


def measure_receptive_field(bundle: Bundle, windows: ValidationChips) -> int:
    """Return the distance in pixels up to which a change of the inputs changes the output.

    Measured on four evenly spaced windows, padded by reflection to 512 px or half the bundle's
    window, whichever is larger. Overlaps never need more than a quarter of the window.
    """
    side = max(_FIELD_SIDE, bundle.card.window.size // 2)
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), _FIELD_WINDOWS)).round()
    planes = [_resized(windows[int(i)]["planes"], side) for i in chosen]
    return receptive_field(bundle, planes)


def receptive_field(bundle: Bundle, planes: list[Array]) -> int:
    """Return the receptive field in pixels, at most half a side.

    The right half of each input is replaced by that of another input. The result is the largest
    distance into the left half at which the output changes by more than 1 % of its mean absolute
    value.

    Parameters
    ----------
    planes
        float32 (channels, side, side) each, all of the same side.
    """
    side = planes[0].shape[-1]
    half, count = side // 2, len(bundle.contract.targets)
    # A single window is compared with itself rotated by 180 degrees.
    others = [planes[-1], *planes[:-1]] if len(planes) > 1 else [planes[0][:, ::-1, ::-1]]
    network = _network(bundle, side, "f32")
    original = _run(network, planes)
    changed = _run(
        network,
        (
            np.concatenate([own[..., :half], other[..., half:]], axis=-1)
            for own, other in zip(planes, others, strict=True)
        ),
    )
    changes = [
        np.abs(after[:count, :, :half] - before[:count, :, :half]).mean(axis=(0, 1))
        for after, before in zip(changed, original, strict=True)
    ]
    change = np.mean(changes, axis=0)[::-1]
    typical = float(np.mean([np.abs(output[:count]).mean() for output in original]))
    significant = np.flatnonzero(change > _FIELD_CHANGE * typical)
    return int(significant[-1]) + 1 if significant.size else 0


def _resized(planes: Array, side: int) -> Array:
    """Return the middle of a window, or the window padded by reflection, with another side."""
    own = planes.shape[-1]
    if own >= side:
        first = (own - side) // 2
        return np.ascontiguousarray(planes[:, first : first + side, first : first + side])
    before = (side - own) // 2
    pad = (before, side - own - before)
    return np.pad(planes, ((0, 0), pad, pad), mode="symmetric")
