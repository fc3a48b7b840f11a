"""Cross-validation over stripes: a network that never saw a stripe tests it."""

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
from demiurge.training.checkpoint import follows
from demiurge.training.dataset import ChipDataset
from demiurge.training.fit import require_torch, train
from demiurge.training.fresh import train_fresh
from demiurge.training.inputs import fitted, open_all
from demiurge.training.plan import of_split
from demiurge.training.recipe import Recipe
from demiurge.training.split import places_of, split_folds
from demiurge.training.validate import errors_of


@dataclass(frozen=True)
class Fold:
    """One stripe's network and its errors there, in metres."""

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
    """Cut every place into stripes and train one network per stripe, which tests it.

    Parameters
    ----------
    output
        ``x.bundle`` writes ``x.fold1.bundle`` … and ``x.folds.json`` with the errors.
    folds
        Stripes, at least 3: one tests, the next validates, the others train.
    options
        As for :func:`demiurge.train`, but on one node. With several devices, a fresh process
        trains each fold.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        One sentence each.
    """
    if folds < 3:
        raise UsageError(f"there are {folds} folds", "ask for at least 3")
    require_torch()
    several = _several(options.get("devices", "auto"))
    _require_own_processes(options.get("nodes", 1), several)
    path = Path(os.fspath(output))
    quiet = options.get("quiet", True)
    opened = open_all(scenes, quiet=quiet)
    opened, recipe, remarks = fitted(opened, recipe or "demiurge", changes, quiet=quiet)
    table = path.with_suffix(".folds.json")
    names = [path.with_suffix(f".fold{i + 1}{path.suffix}") for i in range(folds)]
    for name in (table, *names):
        check_output(name, overwrite=overwrite)
    places = places_of(opened)
    splits = split_folds(opened, recipe, folds, places)
    run = train_fresh if several else train
    for i, (name, split) in enumerate(zip(names, splits, strict=True)):
        about = [f"fold {i + 1} of {folds}", *remarks]
        plan = of_split(opened, split, recipe, about, places=places, quiet=quiet)
        folder = None if log is None else Path(os.fspath(log)) / f"fold{i + 1}"
        run(scenes=opened, output=name, plan=plan, overwrite=overwrite, log=folder, **options)
    bundles = [load_bundle(name) for name in names]
    found = [
        _tested(bundle, ChipDataset(split.testing, recipe, bundle.contract, training=False))
        for bundle, split in zip(bundles, splits, strict=True)
    ]
    with atomic_file(table, overwrite=overwrite) as partial:
        partial.write_text(json.dumps([asdict(fold) for fold in found], indent=1) + "\n")
    return found


def _several(devices: int | str) -> bool:
    """Tell whether Lightning would start more than one process for these devices."""
    import torch

    if devices == "auto":
        return torch.cuda.device_count() > 1
    return str(devices) != "1"


def _require_own_processes(nodes: int, several: bool) -> None:
    """Raise UsageError where something else starts the processes: they would all begin folds."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    cure = "train the folds one at a time, each from a plan of its own (--plan)"
    if nodes > 1:
        raise UsageError(
            f"--folds works on one node, not on {nodes}", f"leave out --nodes, or {cure}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = SLURMEnvironment.detect() or TorchElasticEnvironment.detect()
    if follows() or (several and started):
        raise UsageError(
            "--folds starts its own processes and cannot use those of srun or torchrun",
            f"start it without them, or {cure}",
        )


def _tested(bundle: Bundle, chips: ChipDataset) -> Fold:
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
