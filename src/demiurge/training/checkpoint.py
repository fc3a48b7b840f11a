"""The folder of checkpoints beside a bundle in the making, and who may write there."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from demiurge.errors import ConfigError, DataError, UsageError
from demiurge.model.bundle import Bundle
from demiurge.outputs import require_replaceable
from demiurge.paths import is_remote
from demiurge.progress import progress
from demiurge.scene.scene import Scene
from demiurge.training.plan import TrainingPlan, labels

#: What a training was begun with, in its folder of checkpoints.
_NOTED = "training.yaml"
#: Files of more bytes are sampled: so many pieces of so many bytes, and their time of change.
_WHOLE, _PIECES, _PIECE = 2**28, 256, 2**20

#: Where launchers tell a process its number; Lightning's own and SLURM's among them.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")

Key = dict[str, Any]


def follows() -> bool:
    """Tell whether this process only helps another one that writes the results."""
    found = next((os.environ[name] for name in _RANKS if name in os.environ), "0")
    return found != "0"


def key_of(
    plan: TrainingPlan, scenes: Sequence[Scene], begin: Bundle | None, *, quiet: bool = True
) -> Key:
    """Return everything that decides a training: recipe, places, their contents, first weights.

    Parameters
    ----------
    scenes
        Those of the plan.
    """
    sums = {}
    with progress("checksums", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for name, scene in zip(labels(scenes), scenes, strict=True):
            sums[name] = contents(scene)
            advance()
    return {
        "recipe": plan.settings().model_dump(mode="json"),
        "places": [part.model_dump(mode="json") for part in plan.parts],
        "contents": sums,
        "begun_from": None if begin is None else dict(begin.card.sha256),
    }


def contents(scene: Scene) -> str:
    """Return a checksum of a scene's grid and files; it does not depend on where they lie."""
    grid = scene.grid
    found = hashlib.sha256(f"{grid.crs} {tuple(grid.affine)[:6]} {scene.shape}".encode())
    sums: dict[str, str] = {}
    for name, source in sorted(scene.sources.items()):
        if source.path not in sums:
            sums[source.path] = _checksum(source.path)
        equalised = name in scene.equalised
        found.update(
            f"{name} {source.vector or source.band} {equalised} {sums[source.path]}\n".encode()
        )
    return found.hexdigest()


def _checksum(path: str) -> str:
    if is_remote(path) or not Path(path).is_file():
        return path
    size = Path(path).stat().st_size
    found = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as file:
        if size <= _WHOLE:
            return hashlib.file_digest(file, lambda: found).hexdigest()
        found.update(str(Path(path).stat().st_mtime_ns).encode())
        for piece in range(_PIECES):
            file.seek(piece * (size - _PIECE) // (_PIECES - 1))
            found.update(file.read(_PIECE))
    return found.hexdigest()


def require_begun(work: Path) -> None:
    """Raise if there is no training to resume."""
    if not (work / "last.ckpt").exists():
        raise UsageError(f"{work}: there is no training to resume", "leave out --resume")


def check_work(work: Path, key: Key, *, resume: bool, overwrite: bool) -> None:
    """Refuse to lose an unfinished training, or to resume it with other settings or places."""
    unfinished = (work / "last.ckpt").exists()
    if not resume:
        if unfinished and not overwrite:
            raise UsageError(
                f"{work}: holds an interrupted training", "add --resume to go on, or --overwrite"
            )
        if work.exists() and any(work.iterdir()):
            require_replaceable(work, _NOTED)
        return
    other = differing(_noted(work), key)
    if other:
        raise ConfigError(
            f"{work}: the interrupted training had {other} ({_NOTED})",
            "resume with those, or begin anew with --overwrite",
        )


def differing(noted: Key, key: Key) -> str:
    """Return in words where two trainings differ; nothing if they do not."""
    told = {
        "recipe": "other settings",
        "places": "other places",
        "contents": "other contents of its scenes",
        "begun_from": "another bundle to begin from",
    }
    return next((text for name, text in told.items() if noted.get(name) != key[name]), "")


def _noted(work: Path) -> Key:
    try:
        found = yaml.safe_load((work / _NOTED).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{work}: does not say what its training was begun with ({_NOTED})",
            "begin anew with --overwrite",
        )
    return found


def make_work(work: Path, key: Key) -> None:
    """Make the folder of checkpoints, empty but for what the training is begun with."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / _NOTED).write_text(
        yaml.safe_dump(key, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's tensors and numbers; anything that would run code is refused.

    Raises
    ------
    DataError
        If it is damaged, or holds more than that.
    """
    import torch

    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"{path}: is no checkpoint of weights and numbers alone, and could run code",
            "begin anew with --overwrite",
        ) from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError):
        raise DataError(f"{path}: is damaged", "begin anew with --overwrite") from None
    if not {"epoch", "state_dict"} <= found.keys():
        raise DataError(f"{path}: is no checkpoint of a training", "begin anew with --overwrite")
    return found
