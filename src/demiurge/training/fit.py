"""From scenes and a recipe to a bundle."""

from __future__ import annotations

import datetime as dt
import logging
import os
import platform
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from demiurge._version import __version__
from demiurge.errors import ConfigError, DataError, UsageError, missing_extra
from demiurge.layers import TARGETS
from demiurge.model.bundle import Bundle, Card, PixelSizes, WindowPlan, load_bundle, save_bundle
from demiurge.outputs import check_output
from demiurge.scene.check import require_fit
from demiurge.scene.open import PathLike, open_scene
from demiurge.scene.scene import Scene
from demiurge.scene.vertical import agree
from demiurge.training.chips import Chips, make_contract
from demiurge.training.recipe import Recipe, load_recipe
from demiurge.training.split import split_places

#: The recipe that a training was begun with, in its folder of checkpoints.
_NOTED = "recipe.yaml"

if TYPE_CHECKING:
    from torch import nn

    from demiurge.model.contract import Contract


def train(
    scenes: Sequence[PathLike | Scene],
    output: PathLike,
    *,
    recipe: Recipe | str | Path = "demiurge",
    changes: Sequence[str] = (),
    begin_from: PathLike | Bundle | None = None,
    resume: bool = False,
    overwrite: bool = False,
    devices: int | str = "auto",
    nodes: int = 1,
    credits: Sequence[str] = (),
    quiet: bool = True,
) -> Bundle:
    """Train a network on scenes with truth and write the bundle of the best validation.

    Parameters
    ----------
    scenes
        Prepared scenes (folders or opened). With four or more, whole scenes validate; with
        fewer, a stripe of each.
    output
        The bundle to write. Beside it, ``<output>.work`` holds checkpoints until it is done.
    recipe
        A recipe, its file, or the name of a shipped one.
    changes
        ``a.b=value`` settings over a recipe given by name.
    begin_from
        A bundle whose weights are trained on; it must see the same layers.
    resume
        Go on with an interrupted training of the same recipe.
    devices, nodes
        Handed to Lightning.
    credits
        Whom the data are owed to; they stay in the bundle.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        One sentence each.
    """
    path = Path(os.fspath(output))
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, changes)
    check_output(path, overwrite=overwrite)
    _require_torch()
    opened = [s if isinstance(s, Scene) else open_scene(s) for s in scenes]
    if not opened:
        raise UsageError("no scene is given", "name at least one prepared scene")
    recipe = _known_targets(opened, recipe)
    _require_layers(opened, recipe)
    work = path.with_name(path.name + ".work")
    noted = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    _check_work(work, noted, resume=resume, overwrite=overwrite)
    training, validating = split_places(opened, recipe)
    contract = make_contract(training, recipe)
    if not resume:
        _make_work(work, noted)
    begin = None if begin_from is None else load_bundle(begin_from)
    start = time.monotonic()
    network, history = _fit(
        Chips(training, recipe, contract, training=True),
        Chips(validating, recipe, contract, training=False),
        contract,
        recipe,
        work,
        begin,
        {"devices": devices, "num_nodes": nodes},
        quiet,
    )
    card = _card(opened, recipe, contract, history, time.monotonic() - start)
    card.provenance["credits"] = list(credits)
    bundle = _write(path, card, network, Chips(validating, recipe, contract, training=False), work)
    shutil.rmtree(work, ignore_errors=True)
    return bundle


def _require_torch() -> None:
    for module in ("torch", "lightning", "segmentation_models_pytorch", "safetensors", "onnx"):
        try:
            __import__(module)
        except ImportError:
            raise missing_extra(module, "train", "training") from None


def _known_targets(scenes: Sequence[Scene], recipe: Recipe) -> Recipe:
    """Leave out a target whose truth no scene has, if the truth of another is there."""
    known = [t for t in recipe.targets if any(TARGETS[t] in s.layers for s in scenes)]
    if known and len(known) < len(recipe.targets):
        return recipe.model_copy(update={"targets": known})
    return recipe


def _require_layers(scenes: Sequence[Scene], recipe: Recipe) -> None:
    for scene in scenes:
        needed = [n for n in recipe.layers if n not in recipe.optional]
        truths = [n for n in recipe.truths if n in scene.layers] or recipe.truths
        missing = [n for n in (*needed, *truths) if n not in scene.layers]
        if missing:
            raise UsageError(
                f"scene '{scene.name}' has no layer '{missing[0]}', which recipe "
                f"'{recipe.name}' needs",
                f"prepare the scene with {missing[0]}=FILE, or --set layers=[…]",
            )
        extra = [n for n in recipe.optional if n in scene.layers]
        require_fit(scene, (*needed, *extra, *truths))


def _check_work(work: Path, noted: str, *, resume: bool, overwrite: bool) -> None:
    """See that nobody's unfinished training is lost unasked, or resumed with other settings."""
    unfinished = (work / "last.ckpt").exists()
    if not resume:
        if unfinished and not overwrite:
            raise UsageError(
                f"{work}: holds an interrupted training", "add --resume to go on, or --overwrite"
            )
        return
    if not unfinished:
        raise UsageError(f"{work}: there is no training to resume", "leave out --resume")
    if (work / _NOTED).read_text(encoding="utf-8") != noted:
        raise ConfigError(
            f"{work}: the interrupted training had other settings ({_NOTED})",
            "resume with those, or begin anew with --overwrite",
        )


def _make_work(work: Path, noted: str) -> None:
    """Make the folder of checkpoints, empty but for the recipe."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / _NOTED).write_text(noted, encoding="utf-8")


def _fit(
    training: Chips,
    validating: Chips,
    contract: Contract,
    recipe: Recipe,
    work: Path,
    begin: Bundle | None,
    machines: dict[str, Any],
    quiet: bool,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train and return the network of the best validation epoch, and the course of the errors."""
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    from demiurge.model.network import build_network
    from demiurge.training.callbacks import callbacks
    from demiurge.training.task import HeightTask

    with _hushed():
        L.seed_everything(recipe.seed, verbose=False)
        network = build_network(recipe.network, contract.channels, contract.outputs)
        if begin is not None:
            _load(network, begin, contract)
        steps = recipe.epochs * -(-len(training) // recipe.chips.batch)
        task = HeightTask(network, recipe, len(contract.targets), steps)
        best = ModelCheckpoint(
            work, "best", monitor="mae", mode="min", save_last=True, enable_version_counter=False
        )
        extra, history = callbacks(recipe, training, quiet)
        trainer = L.Trainer(
            max_epochs=recipe.epochs,
            precision=_precision(recipe),
            callbacks=[best, *extra],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            default_root_dir=work,
            **machines,
        )
        last = work / "last.ckpt"
        checkpoint = last if last.exists() else None
        with _own_interrupts():
            trainer.fit(
                task, *_loaders(training, validating), ckpt_path=checkpoint, weights_only=False
            )
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
        task.load_state_dict(state["state_dict"])
    return task.network, history


def _loaders(training: Chips, validating: Chips) -> tuple[Any, Any]:
    """Return the loaders; chips draw at random themselves, so nothing is shuffled here."""
    import torch
    from torch.utils.data import DataLoader

    gpu = torch.cuda.is_available()
    # On CPUs the network takes all cores; more processes would only get in its way.
    workers = min(8, (os.cpu_count() or 1) - 1) if gpu else 0
    batch = training.recipe.chips.batch
    sets: tuple[Any, Any] = (training, validating)
    first, second = (
        DataLoader(chips, batch, num_workers=workers, pin_memory=gpu) for chips in sets
    )
    return first, second


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
    from demiurge.model.export import load_safetensors

    alike = ("names", "targets", "ground")
    if any(getattr(begin.contract, key) != getattr(contract, key) for key in alike):
        raise DataError(
            f"{begin.path}: sees {', '.join(begin.contract.names)}, the recipe "
            f"{', '.join(contract.names)}",
            "train on from a bundle with the same layers and targets",
        )
    try:
        load_safetensors(network, begin.weights())
    except RuntimeError:
        raise DataError(
            f"{begin.path}: its weights do not fit the recipe's network",
            "use the recipe that the bundle was trained with",
        ) from None


def _precision(recipe: Recipe) -> Any:
    import torch

    from demiurge.predict.choice import has_bf16

    if recipe.precision == "auto":
        return "bf16-mixed" if torch.cuda.is_available() or has_bf16() else "32-true"
    return {"f32": "32-true", "bf16": "bf16-mixed"}[recipe.precision]


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


def _card(
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
        window=WindowPlan(size=recipe.window or min(4096, 2 * recipe.chips.size)),
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
        metrics={"history": history},
    )


def _write(path: Path, card: Card, network: nn.Module, chips: Chips, work: Path) -> Bundle:
    """Export, judge the exported graph, and write the bundle with what was found."""
    from demiurge.model.export import to_onnx, to_safetensors
    from demiurge.training.judge import judge

    graph, weights = to_onnx(network, card.contract.channels), to_safetensors(network)
    draft = save_bundle(work / "draft.bundle", card, graph, weights, overwrite=True)
    found = judge(draft, chips)
    contract = card.contract.model_copy(update={"calibration": found.calibration})
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
