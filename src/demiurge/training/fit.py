"""From scenes and a recipe to a bundle."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demiurge.console import note
from demiurge.errors import ConfigError, DataError, missing_extra
from demiurge.model.bundle import SUFFIX, Bundle, load_bundle
from demiurge.outputs import check_output
from demiurge.paths import PathLike
from demiurge.progress import progress
from demiurge.scene.scene import SIMULATION_NAME, Scene
from demiurge.scene.spec import SPEC_NAME
from demiurge.training.checkpoint import (
    Key,
    check_work,
    follows,
    key_of,
    load_checkpoint,
    make_work,
    require_begun,
)
from demiurge.training.dataset import ChipDataset, make_contract
from demiurge.training.inputs import fitted, open_all
from demiurge.training.log import TABLE_NAME, Log
from demiurge.training.package import DivergedError, card_of, finish, require_learned
from demiurge.training.plan import TrainingPlan, load_plan, make_plan, priced
from demiurge.training.recipe import Recipe, changed, load_recipe, reduced

if TYPE_CHECKING:
    from torch import nn

    from demiurge.model.contract import Contract


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
    """Train a network on scenes with truth and write the bundle of the best validation.

    Parameters
    ----------
    scenes
        Prepared scenes (folders or opened). With four or more, whole scenes validate; with
        fewer, a stripe of each. With a plan they may be left out.
    output
        The bundle to write. Beside it, ``<output>.work`` holds checkpoints until it is done.
    recipe
        A recipe, its file, or the name of a shipped one; if None, that of the bundle that is
        trained on, or else ``demiurge``.
    changes
        ``a.b=value`` settings over a recipe given by name.
    plan
        A plan that :func:`demiurge.plan` made; its settings and places are taken, not ``recipe``.
    begin_from
        A bundle whose weights are trained on; it must see the same layers.
    resume
        Go on with an interrupted training of the same recipe, on the same places with the same
        contents.
    devices, nodes
        Handed to Lightning. Several processes share each batch and learn what one would.
    credits
        Whom the data are owed to; they stay in the bundle.
    log
        Folder for ``metrics.csv``, a picture for each epoch, and TensorBoard's events where
        TensorBoard is installed.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        One sentence each.
    """
    path, quiet = Path(os.fspath(output)), quiet or follows()
    require_torch(quiet)
    begin = None if begin_from is None else load_bundle(begin_from)
    if not follows():
        check_output(
            path,
            overwrite=overwrite,
            inputs=_files(plan, recipe, begin and begin.path),
            suffixes=(SUFFIX,),
            companions=[] if log is None or resume else [Path(os.fspath(log)) / TABLE_NAME],
        )
    work = path.with_name(path.name + ".work")
    if resume:
        require_begun(work)
    if plan is None:
        opened = open_all(scenes, quiet=quiet)
        chosen = _chosen(recipe, changes, begin)
        opened, settled, remarks = fitted(opened, chosen, quiet=quiet)
        plan = make_plan(opened, settled, notes=remarks, quiet=quiet)
    else:
        plan = plan if isinstance(plan, TrainingPlan) else load_plan(plan)
        opened = open_all(scenes or [s.path for s in plan.scenes if s.path], quiet=quiet)
        opened, _, remarks = fitted(opened, plan.settings(), quiet=quiet)
        new = [text for text in remarks if text not in plan.notes]
        plan = plan.model_copy(update={"notes": [*plan.notes, *new]})
    recipe = plan.settings()
    split = plan.split(opened)
    key: Key = {}
    if not follows():
        key = key_of(plan, opened, begin, quiet=quiet)
        check_work(work, key, resume=resume, overwrite=overwrite)
        for text in [] if quiet else plan.notes:
            note(f"note: {text}")
    contract = make_contract(
        split.training, recipe, None if begin is None else begin.contract, quiet=quiet
    )
    training = ChipDataset(split.training, recipe, contract, training=True)
    validating = ChipDataset(split.validating, recipe, contract, training=False, quiet=quiet)
    network = _network(recipe, contract, begin)
    if not resume and not follows():
        make_work(work, key)
    start = time.monotonic()
    machines = {"devices": devices, "num_nodes": nodes}
    notes = Log(None if log is None else Path(os.fspath(log)))
    checkpoint = work / "last.ckpt" if resume else None
    network, history = _fit(network, training, validating, work, checkpoint, machines, notes, quiet)
    if follows():
        raise SystemExit(0)  # the first process writes the bundle
    card = card_of(opened, recipe, contract, history, time.monotonic() - start)
    card.provenance.update(_origin(plan, begin, credits), contents=key["contents"])
    try:
        require_learned(network, history)
        bundle = finish(path, card, network, validating, work, quiet=quiet)
    except DivergedError:
        shutil.rmtree(work, ignore_errors=True)  # to resume from there leads nowhere
        raise
    shutil.rmtree(work, ignore_errors=True)
    return bundle


def _files(*given: object) -> list[PathLike]:
    """Return the files among what may be a file, a name or an object."""
    paths = [os.fspath(g) for g in given if isinstance(g, str | os.PathLike)]
    return [path for path in paths if Path(path).is_file()]


def _specs(scene: PathLike | Scene) -> list[Path]:
    """Return the YAML files of a scene, whether they are there or not."""
    place = (scene.folder or Path()) if isinstance(scene, Scene) else Path(scene)
    return [place, *(place / name for name in (SPEC_NAME, SIMULATION_NAME))]


def _origin(plan: TrainingPlan, begin: Bundle | None, credits: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"credits": list(credits)}
    if begin is not None:
        kept = {k: begin.card.provenance[k] for k in ("created", "credits") if k in
                begin.card.provenance}  # fmt: skip
        found["begun_from"] = {"name": begin.card.name, **begin.card.sha256, **kept}
    # Where scenes lay on this machine is nobody's business.
    hidden: Any = {"recipe": True, "scenes": {"__all__": {"path"}}}
    found["plan"] = plan.model_dump(mode="json", exclude=hidden, exclude_none=True)
    return found


def plan(
    scenes: Sequence[PathLike | Scene],
    output: PathLike | None = None,
    *,
    recipe: Recipe | str | Path = "demiurge",
    changes: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = True,
) -> TrainingPlan:
    """Look at scenes and write down how they would be trained on, and what that costs here.

    Parameters
    ----------
    scenes, recipe, changes
        As for :func:`demiurge.train`. Chips become smaller where the scenes hold none of that
        size, and batches where the memory does.
    output
        YAML file to write, for :func:`demiurge.train`; none if None.
    quiet
        Show no progress.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        One sentence each.
    """
    path = None if output is None else Path(os.fspath(output))
    if path is not None:
        given = _files(recipe, *(file for scene in scenes for file in _specs(scene)))
        check_output(path, overwrite=overwrite, inputs=given, suffixes=(".yaml", ".yml"))
    require_torch(quiet)
    opened = open_all(scenes, quiet=quiet)
    opened, settled, remarks = fitted(opened, recipe, changes, quiet=quiet)
    draft = make_plan(opened, settled, fit=True, notes=remarks, quiet=quiet)
    found = priced(draft, opened, quiet=quiet)
    if path is not None:
        found.save(path, overwrite=overwrite)
    return found


def _chosen(
    recipe: Recipe | str | Path | None, changes: Sequence[str], begin: Bundle | None
) -> Recipe:
    """Return the recipe asked for, or that of the bundle that is trained on."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is None and begin is not None and begin.card.recipe:
        # How places were split belongs to those scenes, not to the network.
        kept = {key: value for key, value in begin.card.recipe.items() if key != "split"}
        return changed(kept, changes, f"of {begin.path.name}")
    return load_recipe(recipe or "demiurge", changes)


def require_torch(quiet: bool = True) -> None:
    """Raise ResourceError unless everything that training needs is installed."""
    modules = ("torch", "lightning", "segmentation_models_pytorch", "safetensors", "onnx")
    with progress("import", len(modules), quiet=quiet, unit="modules", passing=True) as advance:
        for module in modules:
            try:
                __import__(module)
            except ImportError:
                raise missing_extra(module, "train", "training") from None
            advance()


def _network(recipe: Recipe, contract: Contract, begin: Bundle | None) -> nn.Module:
    """Build the network, with random weights of the recipe's seed or those of a bundle."""
    import lightning as L

    from demiurge.model.network import build_network

    with _hushed():
        L.seed_everything(recipe.seed, verbose=False)
        network = build_network(recipe.network, contract.channels, contract.outputs)
        if begin is not None:
            _load(network, begin, contract)
    return network


def _fit(
    network: nn.Module,
    training: ChipDataset,
    validating: ChipDataset,
    work: Path,
    checkpoint: Path | None,
    machines: dict[str, Any],
    log: Log,
    quiet: bool,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train and return the network of the best validation epoch, and the course of the errors."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    from demiurge.baselines.adversarial import make_task
    from demiurge.model.network import share_batch_statistics
    from demiurge.training.callbacks import callbacks

    recipe, contract = training.recipe, training.contract
    if checkpoint is not None:
        # The loader's processes begin before any callback could tell them.
        training.epoch = int(load_checkpoint(checkpoint)["epoch"]) + 1
    with _hushed():
        steps = recipe.epochs * -(-len(training) // recipe.chips.batch)
        shape = (contract.channels, len(contract.targets))
        task = make_task(network, recipe, shape, steps)
        best = ModelCheckpoint(
            work, "best", monitor="mae", mode="min", save_last=True, enable_version_counter=False
        )
        extra, history = callbacks(validating, log, steps, quiet)
        trainer = L.Trainer(
            max_epochs=recipe.epochs,
            precision="bf16-mixed" if reduced(recipe) else "32-true",
            callbacks=[best, *extra],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=None if recipe.losses.adversarial else 1.0,
            num_sanity_val_steps=0,
            default_root_dir=work,
            **machines,
        )
        task.network = share_batch_statistics(network, trainer.world_size)
        with _own_interrupts():
            trainer.fit(
                task,
                *_loaders(training, validating, trainer.world_size),
                ckpt_path=checkpoint,
                weights_only=True,
            )
        if not follows():
            task.load_state_dict(load_checkpoint(Path(best.best_model_path))["state_dict"])
    return task.network.cpu(), history


def _loaders(training: ChipDataset, validating: ChipDataset, processes: int) -> tuple[Any, Any]:
    """Return the loaders; chips draw at random themselves, so nothing is shuffled here."""
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
    # On CPUs the network takes all cores; more processes would only get in its way.
    return min(8, (os.cpu_count() or 1) - 1) if gpu else 0


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Turn the exit that Lightning makes of Ctrl-C back into what it was, and mend the handler."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _load(network: nn.Module, begin: Bundle, contract: Contract) -> None:
    from demiurge.model.export import load_weights

    alike = ("names", "targets", "ground", "relief", "local")
    if any(getattr(begin.contract, key) != getattr(contract, key) for key in alike):
        raise DataError(
            f"{begin.path}: sees {', '.join(begin.contract.names)}, the recipe "
            f"{', '.join(contract.names)}",
            "train on from a bundle with the same layers and targets",
        )
    try:
        load_weights(network, begin)
    except RuntimeError:
        raise DataError(
            f"{begin.path}: its weights do not fit the recipe's network",
            "use the recipe that the bundle was trained with",
        ) from None


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep Lightning's remarks to itself."""
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
