"""Cross-validation over stripes: each stripe is tested by a network that was not trained on it."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demiurge.errors import UsageError
from demiurge.model.bundle import Bundle, load_bundle
from demiurge.outputs import atomic_file, check_output
from demiurge.paths import PathLike
from demiurge.scene.scene import Scene
from demiurge.training.checkpoint import is_secondary
from demiurge.training.dataset import ValidationChips
from demiurge.training.fit import require_torch, train
from demiurge.training.plan import TrainingPlan, check_scenes, open_scenes, plan_of
from demiurge.training.processes import train_in_process
from demiurge.training.recipe import Recipe
from demiurge.training.split import PlaceSplit, places_of, split_folds
from demiurge.training.validate import errors_of


@dataclass(frozen=True)
class Fold:
    """Bundle of one fold and its errors in metres on the test stripe."""

    bundle: str
    mae: float
    rmse: float
    input_mae: float
    pixels: int


def train_folds(
    scenes: Sequence[PathLike | Scene],
    output: PathLike,
    folds: int,
    *,
    recipe: Recipe | str | Path | None = None,
    changes: Sequence[str] = (),
    overwrite: bool = False,
    log: PathLike | None = None,
    **options: Any,
) -> list[Fold]:
    """Cut every place into stripes, and train and test one network per stripe.

    Parameters
    ----------
    output
        ``x.bundle`` writes ``x.fold1.bundle`` … and ``x.folds.json`` with the errors.
    folds
        Number of stripes, at least 3: one tests, the next validates, the others train.
    options
        As for :func:`demiurge.train`, on one node. With several devices, each fold is trained in a
        new process.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        As for :func:`demiurge.train`.
    """
    if folds < 3:
        raise UsageError(f"there are {folds} folds", "choose at least 3")
    require_torch()
    several = _has_several(options.get("devices", "auto"))
    _require_single_process(options.get("nodes", 1), several)
    path = Path(os.fspath(output))
    table = path.with_suffix(".folds.json")
    names = [path.with_suffix(f".fold{i + 1}{path.suffix}") for i in range(folds)]
    quiet = options.get("quiet", True)
    opened = open_scenes(scenes, quiet=quiet)
    opened, settled, notes = check_scenes(opened, recipe or "demiurge", changes, quiet=quiet)
    for name in (table, *names):
        check_output(name, overwrite=overwrite)
    planned = _plan_folds(opened, settled, folds, notes, quiet)
    run = train_in_process if several else train
    for i, (name, (plan, _)) in enumerate(zip(names, planned, strict=True)):
        folder = None if log is None else Path(os.fspath(log)) / f"fold{i + 1}"
        run(scenes=opened, output=name, plan=plan, overwrite=overwrite, log=folder, **options)
    results = [
        _test(load_bundle(name), split, settled)
        for name, (_, split) in zip(names, planned, strict=True)
    ]
    with atomic_file(table, overwrite=overwrite) as partial:
        partial.write_text(json.dumps([asdict(fold) for fold in results], indent=1) + "\n")
    return results


def _plan_folds(
    scenes: list[Scene], recipe: Recipe, folds: int, notes: Sequence[str], quiet: bool
) -> list[tuple[TrainingPlan, PlaceSplit]]:
    """Return plan and split of each fold."""
    places = places_of(scenes)
    planned = []
    for i, split in enumerate(split_folds(scenes, recipe, folds, places)):
        about = [f"fold {i + 1} of {folds}", *notes]
        plan = plan_of(scenes, split, recipe, about, places=places, quiet=quiet)
        planned.append((plan, split))
    return planned


def _has_several(devices: int | str) -> bool:
    """Return whether Lightning would start more than one process for these devices."""
    import torch

    if devices == "auto":
        return torch.cuda.device_count() > 1
    return str(devices) != "1"


def _require_single_process(nodes: int, several: bool) -> None:
    """Raise UsageError if a launcher starts several processes: each would train all folds."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    cure = "train the folds one at a time, each from its plan (--plan)"
    if nodes > 1:
        raise UsageError(
            f"--folds works on one node, not on {nodes}", f"leave out --nodes, or {cure}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = SLURMEnvironment.detect() or TorchElasticEnvironment.detect()
    if is_secondary() or (several and started):
        raise UsageError(
            "--folds starts its own processes and cannot use those of srun or torchrun",
            f"start it without them, or {cure}",
        )


def _test(bundle: Bundle, split: PlaceSplit, recipe: Recipe) -> Fold:
    chips = ValidationChips(split.testing, recipe, bundle.contract)
    metrics = errors_of(bundle, chips)
    return Fold(
        bundle=bundle.path.name,
        mae=metrics["mae"],
        rmse=metrics["rmse"],
        input_mae=metrics["input_mae"],
        pixels=metrics["pixels"],
    )


def pooled(folds: Sequence[Fold]) -> Fold:
    """Return the errors over the pixels of all stripes."""
    total = sum(fold.pixels for fold in folds)

    def mean(values: list[float]) -> float:
        shares = [fold.pixels / total for fold in folds]
        return sum(v * s for v, s in zip(values, shares, strict=True))

    return Fold(
        bundle="all",
        mae=mean([fold.mae for fold in folds]),
        rmse=float(mean([fold.rmse**2 for fold in folds]) ** 0.5),
        input_mae=mean([fold.input_mae for fold in folds]),
        pixels=total,
    )
