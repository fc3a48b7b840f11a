"""From a trained network to the bundle that tells all about it."""

from __future__ import annotations

import datetime as dt
import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demiurge._version import __version__
from demiurge.errors import ConfigError
from demiurge.layers import PRIOR
from demiurge.model.bundle import Bundle, Card, PixelSizes, WindowPlan, save_bundle
from demiurge.scene.scene import Scene
from demiurge.scene.vertical import agree
from demiurge.training.dataset import ChipDataset
from demiurge.training.priors import accuracy_of_priors
from demiurge.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from demiurge.model.contract import Contract


class DivergedError(ConfigError):
    """The training ended in a network whose answers are not numbers."""

    def __init__(self) -> None:
        super().__init__(
            "the training diverged: its errors are not numbers",
            "lower optimiser.rate, and look at the scenes with demiurge check",
        )

    def __reduce__(self) -> tuple[type[DivergedError], tuple[str, ...]]:
        """Reach another process without arguments."""
        return type(self), ()


def require_learned(network: nn.Module, history: list[dict[str, float]]) -> None:
    """Raise DivergedError unless an epoch had a finite error and all weights are finite."""
    finite = all(bool(t.isfinite().all()) for t in network.state_dict().values())
    if not finite or not any(math.isfinite(epoch["mae"]) for epoch in history):
        raise DivergedError


def card_of(
    scenes: Sequence[Scene],
    recipe: Recipe,
    contract: Contract,
    history: list[dict[str, float]],
    seconds: float,
) -> Card:
    sizes = [scene.pixel_size for scene in scenes]
    return Card(
        name=recipe.name,
        task=recipe.task,
        about=recipe.about,
        contract=contract,
        pixel_sizes=PixelSizes(low=min(sizes), high=max(sizes)),
        vertical=agree({scene.name: scene.vertical for scene in scenes}),
        window=WindowPlan(size=recipe.window or min(4096, max(64, recipe.chips.size))),
        clean_below=recipe.clean_below,
        recipe=recipe.model_dump(mode="json"),
        provenance={
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "demiurge": __version__,
            "scenes": [
                {"name": s.name, "sources": dict(s.spec.sources) if s.spec else {}} for s in scenes
            ],
            "seconds": round(seconds, 1),
            "machine": platform.machine(),
        },
        # NaN is not JSON.
        metrics={
            "history": [{k: v if math.isfinite(v) else None for k, v in h.items()} for h in history]
        },
    )


def finish(
    path: Path,
    card: Card,
    network: nn.Module,
    chips: ChipDataset,
    work: Path,
    *,
    quiet: bool = True,
) -> Bundle:
    """Export, judge the exported graph, and write the bundle with what was found.

    Raises
    ------
    DivergedError
        If the graph's answers are not numbers.
    """
    from demiurge.model.export import round_weights, to_onnx, to_safetensors
    from demiurge.training.validate import validate

    round_weights(network)
    graph = to_onnx(network, card.contract.channels)
    weights = to_safetensors(network, graph)
    draft = save_bundle(work / "draft.bundle", card, graph, weights, overwrite=True)
    found = validate(draft, chips, quiet=quiet)
    if not math.isfinite(found.metrics["mae"]):
        raise DivergedError
    accuracy = None
    if card.contract.base == PRIOR:
        accuracy = accuracy_of_priors(chips.regions, card.contract.targets[0])
    contract = card.contract.model_copy(
        update={
            "prior_accuracy": accuracy,
            "calibration": found.calibration,
            "calibration_relative": found.calibration_relative,
        }
    )
    card = card.model_copy(
        update={
            "contract": contract,
            "metrics": {**found.metrics, **card.metrics},
            "precision": found.precision,
            "runtime_precision": found.runtime_precision,
            "window": card.window.over(found.reach),
        }
    )
    return save_bundle(path, card, graph, weights, overwrite=True)
