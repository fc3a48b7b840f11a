"""From a trained network to a bundle: card, export, validation, accuracy of the priors."""

from __future__ import annotations

import datetime as dt
import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from demiurge._version import __version__
from demiurge.arrays import Mask, Values
from demiurge.errors import ConfigError
from demiurge.layers import PRIOR, TARGETS
from demiurge.model.bundle import Bundle, Card, PixelSizes, WindowPlan, save_bundle
from demiurge.model.contract import Contract
from demiurge.predict.heights.prior import constrain_to_prior
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene
from demiurge.scene.vertical import agree
from demiurge.training.dataset import ValidationChips
from demiurge.training.light import range_of
from demiurge.training.recipe import Recipe
from demiurge.training.split import Region
from demiurge.training.validate import validate

if TYPE_CHECKING:
    from torch import nn

#: Maximum side in pixels of the part of a place on which the accuracy of a prior is measured.
_PRIOR_SIDE = 1024


class DivergedError(ConfigError):
    """The weights or the errors of the network are not finite."""

    def __init__(self) -> None:
        super().__init__(
            "the training diverged: its errors are not numbers",
            "lower optimiser.rate, and look at the scenes with demiurge check",
        )

    def __reduce__(self) -> tuple[type[DivergedError], tuple[str, ...]]:
        """Pickle without arguments, for :mod:`demiurge.training.processes`."""
        return type(self), ()


def require_finite(network: nn.Module, history: list[dict[str, float]]) -> None:
    """Raise DivergedError unless all weights and the error of some epoch are finite."""
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
    """Return the card of a bundle before its validation.

    Parameters
    ----------
    history
        Errors of each epoch.
    seconds
        Duration of the training.
    """
    sizes = [scene.pixel_size for scene in scenes]
    provenance: dict[str, Any] = {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "demiurge": __version__,
        "scenes": [
            {"name": s.name, "sources": dict(s.spec.sources) if s.spec else {}} for s in scenes
        ],
        "seconds": round(seconds, 1),
        "machine": platform.machine(),
    }
    return Card(
        name=recipe.name,
        task=recipe.task,
        about=recipe.about,
        contract=contract,
        pixel_sizes=PixelSizes(
            low=min(sizes) * min(recipe.chips.scales), high=max(sizes) * max(recipe.chips.scales)
        ),
        vertical=agree({scene.name: scene.vertical for scene in scenes}),
        window=WindowPlan(size=recipe.window or min(4096, max(64, recipe.chips.size))),
        suns=range_of(scenes) if contract.sun else None,
        clean_below=recipe.clean_below,
        recipe=recipe.model_dump(mode="json"),
        provenance=provenance,
        # JSON has no NaN.
        metrics={
            "history": [{k: v if math.isfinite(v) else None for k, v in h.items()} for h in history]
        },
    )


def package(
    path: Path,
    card: Card,
    network: nn.Module,
    chips: ValidationChips,
    work: Path,
    *,
    quiet: bool = True,
) -> Bundle:
    """Export a network, validate the exported graph and write the bundle.

    Parameters
    ----------
    work
        Folder for a draft of the bundle.

    Raises
    ------
    DivergedError
        If the outputs of the graph are not finite.
    """
    from demiurge.model.export import round_weights, to_onnx, to_safetensors

    round_weights(network)
    graph = to_onnx(network, card.contract.channels)
    weights = to_safetensors(network, graph)
    draft = save_bundle(work / "draft.bundle", card, graph, weights, overwrite=True)
    validation = validate(draft, chips, quiet=quiet)
    if not math.isfinite(validation.metrics["mae"]):
        raise DivergedError
    accuracy = None
    if card.contract.base == PRIOR:
        accuracy = accuracy_of_priors(chips.regions, card.contract.targets[0])
    contract = card.contract.model_copy(
        update={
            "prior_accuracy": accuracy,
            "calibration": validation.calibration,
            "calibration_relative": validation.calibration_relative,
        }
    )
    card = card.model_copy(
        update={
            "contract": contract,
            "metrics": {**validation.metrics, **card.metrics},
            "precision": validation.precision,
            "runtime_precision": validation.runtime_precision,
            "window": card.window.over(validation.receptive_field),
        }
    )
    return save_bundle(path, card, graph, weights, overwrite=True)


def accuracy_of_priors(regions: Sequence[Region], target: str) -> float | None:
    """Return the RMS error in metres of the priors at their own pixels, over real places.

    Simulated places are left out: their priors do not show the errors of real ones.

    Returns
    -------
    None without a real place whose prior is coarser than its image.
    """
    errors = [_prior_errors(r, TARGETS[target]) for r in regions if not r.scene.simulated]
    known = np.concatenate([np.empty(0), *errors])
    return math.sqrt(float(np.square(known).mean())) if known.size else None


def _prior_errors(region: Region, truth: str) -> Values:
    """Return the difference of means, prior less truth, for each pixel of the prior."""
    scene, area = region.scene, region.window
    prior = constrain_to_prior(scene, None) if {PRIOR, truth} <= {*scene.layers} else None
    side = min(area.height, area.width, _PRIOR_SIDE)
    if prior is None or prior.fine:
        return np.empty(0)
    window = Window(
        area.row + (area.height - side) // 2, area.col + (area.width - side) // 2, side, side
    )
    planes = scene.read(window, [PRIOR, truth])
    known: Mask = np.asarray(np.isfinite(planes).all(axis=0))
    if not known.any():
        return np.empty(0)
    cells = prior.cells(window, side)
    filled: list[Any] = [np.where(known, p, p[known].mean(dtype=np.float64)) for p in planes]
    errors = cells.centre_values(filled[0].astype(np.float32)) - cells.means(filled[1])
    complete = cells.means((~known).astype(np.float32)) == 0
    # Pixels of the prior at the edge of the window are only partly inside.
    inside = np.zeros(cells.shape, bool)
    inside[1:-1, 1:-1] = True
    return np.asarray(errors[complete & inside], np.float64)
