"""The verbs ``train`` and ``plan``: from scenes and a recipe to a bundle.

Steps of :func:`train`: plan (open, check and split scenes), contract, chips, network, fit, package
(export and validation). PyTorch is imported only after :func:`require_torch`.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demiurge.console import note
from demiurge.errors import ConfigError, missing_extra
from demiurge.model.bundle import SUFFIX, Bundle, Card, load_bundle
from demiurge.outputs import check_output
from demiurge.paths import PathLike
from demiurge.progress import progress
from demiurge.scene.scene import SIMULATION_NAME, Scene
from demiurge.scene.spec import SPEC_NAME
from demiurge.training.checkpoint import (
    LAST_NAME,
    Key,
    check_work,
    is_secondary,
    key_of,
    load_checkpoint,
    make_work,
    require_started,
)
from demiurge.training.dataset import TrainingChips, ValidationChips
from demiurge.training.log import TABLE_NAME, History, Log
from demiurge.training.normalisation import make_contract
from demiurge.training.package import DivergedError, card_of, package, require_finite
from demiurge.training.plan import PreparedPlan, TrainingPlan, follow_plan, make_plan
from demiurge.training.recipe import Recipe, changed, load_recipe
from demiurge.training.scales import at_scales

if TYPE_CHECKING:
    from torch import nn

#: Most chips of a step when training continues from a bundle, unless the batch is set.
_BATCH = 16


@dataclass(frozen=True)
class _Job:
    """Bundle and log of a training, and how it runs; ``machines`` is passed to Lightning."""

    path: Path
    log: Path | None
    machines: dict[str, Any]
    resume: bool
    overwrite: bool
    quiet: bool

    @property
    def work(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path.with_name(self.path.name + ".work")


def train(
    scenes: Sequence[PathLike | Scene],
    output: PathLike,
    *,
    recipe: Recipe | str | Path | None = None,
    changes: Sequence[str] = (),
    plan: TrainingPlan | PathLike | None = None,
    begin_from: PathLike | Bundle | None = None,
    resume: bool = False,
    overwrite: bool = False,
    devices: int | str = "auto",
    nodes: int = 1,
    credits: Sequence[str] = (),
    log: PathLike | None = None,
    quiet: bool = True,
) -> Bundle:
    """Train a network on scenes with truth, and write the bundle of the best epoch.

    Parameters
    ----------
    scenes
        Prepared scenes, as folders or opened. May be empty with ``plan``.
    output
        Bundle to write. Until it is complete, the folder ``<output>.work`` holds checkpoints.
    recipe
        Recipe, its file or its name; None: that of ``begin_from``, or else ``demiurge``.
    changes
        ``a.b=value`` settings that override those of the recipe.
    plan
        Plan made by :func:`demiurge.plan`. Its recipe and split are used.
    begin_from
        Bundle with the initial weights. It must have the same layers and targets.
    resume
        Continue an interrupted training with the same recipe and the same scenes.
    devices, nodes
        Passed to Lightning. Several processes share each batch; the result is that of one.
    credits
        Credit lines for the data, stored in the bundle.
    log
        Folder for ``metrics.csv``, a picture per epoch and TensorBoard events.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        If inputs, settings or outputs are unusable, or if the training diverges.
    """
    job = _Job(
        Path(os.fspath(output)),
        None if log is None else Path(os.fspath(log)),
        {"devices": devices, "num_nodes": nodes},
        resume, overwrite, quiet or is_secondary(),
    )  # fmt: skip
    require_torch(job.quiet)
    begin = None if begin_from is None else load_bundle(begin_from)
    _check_job(job, [plan, recipe, begin and begin.path])
    if plan is None:
        prepared = make_plan(scenes, _recipe(recipe, changes, begin), quiet=job.quiet)
    else:
        prepared = follow_plan(plan, scenes, quiet=job.quiet)
    key = _check_key(job, prepared, begin)
    chips = _chips(prepared, begin, quiet=job.quiet)
    started = time.monotonic()
    network, history = _fit(job, key, *chips, begin)
    if is_secondary():
        raise SystemExit(0)  # the first process writes the bundle
    seconds = time.monotonic() - started
    card = card_of(prepared.scenes, chips[0].recipe, chips[0].contract, history, seconds)
    card.provenance.update(_origin(prepared, begin, credits), contents=key["contents"])
    return _package(job, card, network, history, chips[1])


def plan(
    scenes: Sequence[PathLike | Scene],
    output: PathLike | None = None,
    *,
    recipe: Recipe | str | Path = "demiurge",
    changes: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = True,
) -> TrainingPlan:
    """Plan a training: describe and split the scenes, and measure the cost on this machine.

    Parameters
    ----------
    scenes, recipe, changes
        As for :func:`demiurge.train`. The chip size is reduced if the scenes are too small, the
        batch if the memory is.
    output
        YAML file to write, for :func:`demiurge.train`; None: no file.
    quiet
        Show no progress.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        If inputs, settings or the output are unusable.
    """
    path = None if output is None else Path(os.fspath(output))
    if path is not None:
        inputs = _files(recipe, *(file for scene in scenes for file in _specs(scene)))
        check_output(path, overwrite=overwrite, inputs=inputs, suffixes=(".yaml", ".yml"))
    require_torch(quiet)
    from demiurge.training.cost import with_cost

    prepared = make_plan(scenes, recipe, changes, shrink_chips=True, quiet=quiet)
    priced = with_cost(prepared, quiet=quiet)
    if path is not None:
        priced.save(path, overwrite=overwrite)
    return priced


def require_torch(quiet: bool = True) -> None:
    """Raise ResourceError unless all packages for training are installed."""
    modules = ("torch", "lightning", "segmentation_models_pytorch", "safetensors", "onnx")
    with progress("import", len(modules), quiet=quiet, unit="modules", passing=True) as advance:
        for module in modules:
            try:
                __import__(module)
            except ImportError:
                raise missing_extra(module, "train", "training") from None
            advance()


def _files(*given: object) -> list[PathLike]:
    """Return those arguments that are paths of files."""
    paths = [os.fspath(g) for g in given if isinstance(g, str | os.PathLike)]
    return [path for path in paths if Path(path).is_file()]


def _specs(scene: PathLike | Scene) -> list[Path]:
    """Return the paths of a scene's YAML files, which may not exist."""
    place = (scene.folder or Path()) if isinstance(scene, Scene) else Path(scene)
    return [place, *(place / name for name in (SPEC_NAME, SIMULATION_NAME))]


def _check_job(job: _Job, inputs: Sequence[object]) -> None:
    """Raise if the bundle or the log cannot be written, or there is nothing to resume."""
    if not is_secondary():
        check_output(
            job.path,
            overwrite=job.overwrite,
            inputs=_files(*inputs),
            suffixes=(SUFFIX,),
            companions=[] if job.log is None or job.resume else [job.log / TABLE_NAME],
        )
    if job.resume:
        require_started(job.work)


def _recipe(
    recipe: Recipe | str | Path | None, changes: Sequence[str], begin: Bundle | None
) -> Recipe:
    """Return the given recipe, or that of the initial bundle."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is None and begin is not None and begin.card.recipe:
        # The split depends on the scenes, the batch on the machine.
        kept = {key: value for key, value in begin.card.recipe.items() if key != "split"}
        chips = dict(kept.get("chips", {}))
        kept["chips"] = {**chips, "batch": min(chips.get("batch", _BATCH), _BATCH)}
        return changed(kept, changes, f"of {begin.path.name}")
    return load_recipe(recipe or "demiurge", changes)


def _check_key(job: _Job, prepared: PreparedPlan, begin: Bundle | None) -> Key:
    """Return the key of the training; raise if the work folder belongs to another one."""
    if is_secondary():
        return {}
    key = key_of(prepared.plan, prepared.scenes, begin, quiet=job.quiet)
    check_work(job.work, key, resume=job.resume, overwrite=job.overwrite)
    for text in [] if job.quiet else prepared.plan.notes:
        note(f"note: {text}")
    return key


def _chips(
    prepared: PreparedPlan, begin: Bundle | None, *, quiet: bool
) -> tuple[TrainingChips, ValidationChips]:
    """Return training and validation chips with their contract."""
    recipe, split = prepared.plan.settings(), prepared.split
    start = None if begin is None else begin.contract
    training, validating = (at_scales(r, recipe.chips) for r in (split.training, split.validating))
    contract = make_contract(training, recipe, start, quiet=quiet)
    chips = TrainingChips(training, recipe, contract)
    return chips, ValidationChips(validating, recipe, contract, quiet=quiet)


def _fit(
    job: _Job,
    key: Key,
    training: TrainingChips,
    validating: ValidationChips,
    begin: Bundle | None,
) -> tuple[nn.Module, History]:
    """Train and return the network of the best epoch, and the history of errors."""
    from demiurge.model.network import share_batch_statistics
    from demiurge.training.callbacks import make_callbacks
    from demiurge.training.module import initial_network, make_module

    recipe, contract = training.recipe, training.contract
    with _hushed():
        network = initial_network(recipe, contract, begin)
        if not job.resume and not is_secondary():
            make_work(job.work, key)
        checkpoint = job.work / LAST_NAME if job.resume else None
        if checkpoint is not None:
            # The worker processes of the loader start before any callback can set the epoch.
            training.epoch = int(load_checkpoint(checkpoint)["epoch"]) + 1
        steps = recipe.epochs * -(-len(training) // recipe.chips.batch)
        module = make_module(network, recipe, (contract.channels, len(contract.targets)), steps)
        callbacks, history = make_callbacks(validating, Log(job.log), steps, job.quiet)
        trainer, best = _trainer(job, recipe, callbacks)
        module.network = share_batch_statistics(network, trainer.world_size)
        loaders = _loaders(training, validating, trainer.world_size)
        with _keyboard_interrupts():
            trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
        if not is_secondary():
            state = load_checkpoint(Path(best.best_model_path))["state_dict"]
            module.load_state_dict(state)
    return module.network.cpu(), history


def _trainer(job: _Job, recipe: Recipe, callbacks: Sequence[Any]) -> tuple[Any, Any]:
    """Return Lightning's trainer and its callback that keeps the best checkpoint."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    from demiurge.training.module import uses_bf16

    best = ModelCheckpoint(
        job.work, "best", monitor="mae", mode="min", save_last=True, enable_version_counter=False
    )
    trainer = L.Trainer(
        max_epochs=recipe.epochs,
        precision="bf16-mixed" if uses_bf16(recipe) else "32-true",
        callbacks=[best, *callbacks],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=None if recipe.losses.adversarial else 1.0,
        num_sanity_val_steps=0,
        default_root_dir=job.work,
        **job.machines,
    )
    return trainer, best


def _loaders(
    training: TrainingChips, validating: ValidationChips, processes: int
) -> tuple[Any, Any]:
    """Return the loaders. They do not shuffle: training chips are random already."""
    import torch
    from torch.utils.data import DataLoader

    gpu = torch.cuda.is_available()
    batch = training.recipe.chips.batch
    if batch % processes:
        raise ConfigError(
            f"a batch of {batch} chips cannot be shared by {processes} processes",
            f"--set chips.batch={-(-batch // processes) * processes}",
        )
    sets: tuple[Any, Any] = (training, validating)
    first, second = (
        DataLoader(chips, batch // processes, num_workers=_workers(gpu), pin_memory=gpu)
        for chips in sets
    )
    return first, second


def _workers(gpu: bool) -> int:
    # On a CPU the network uses all cores.
    return min(8, (os.cpu_count() or 1) - 1) if gpu else 0


def _origin(job: PreparedPlan, begin: Bundle | None, credits: Sequence[str]) -> dict[str, Any]:
    """Return credits, those of the scenes too, initial bundle and plan for the provenance."""
    stated = [text for scene in job.scenes if scene.spec for text in scene.spec.credits]
    origin: dict[str, Any] = {"credits": list(dict.fromkeys([*credits, *stated]))}
    if begin is not None:
        provenance = begin.card.provenance
        kept = {key: provenance[key] for key in ("created", "credits") if key in provenance}
        origin["begun_from"] = {"name": begin.card.name, **begin.card.sha256, **kept}
    # Paths on this machine are private.
    hidden: Any = {"recipe": True, "scenes": {"__all__": {"path"}}}
    origin["plan"] = job.plan.model_dump(mode="json", exclude=hidden, exclude_none=True)
    return origin


def _package(
    job: _Job, card: Card, network: nn.Module, history: History, chips: ValidationChips
) -> Bundle:
    """Write the bundle and remove the work folder."""
    try:
        require_finite(network, history)
        bundle = package(job.path, card, network, chips, job.work, quiet=job.quiet)
    except DivergedError:
        shutil.rmtree(job.work, ignore_errors=True)  # its checkpoints are useless
        raise
    shutil.rmtree(job.work, ignore_errors=True)
    return bundle


@contextmanager
def _keyboard_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt instead of Lightning's SystemExit; restore the signal handler."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _hushed() -> Iterator[None]:
    """Suppress Lightning's log messages and warnings."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
