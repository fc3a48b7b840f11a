"""Checkpoints of a training: the work folder next to the bundle, and what may resume there.

The first process of a training writes the folder; other processes only read it.
"""

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
from demiurge.training.plan import TrainingPlan, unique_names

#: File in the work folder with the key of the training.
_KEY_NAME = "training.yaml"
#: Name of the last checkpoint in the work folder.
LAST_NAME = "last.ckpt"
#: Larger files are sampled: number of pieces and bytes of a piece. Their modification time counts.
_SAMPLED_FROM, _PIECES, _PIECE = 2**28, 256, 2**20

#: Environment variables with the number of a process, set by Lightning, torchrun or SLURM.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")

Key = dict[str, Any]


def is_secondary() -> bool:
    """Return whether another process of this training writes the results."""
    rank = next((os.environ[name] for name in _RANKS if name in os.environ), "0")
    return rank != "0"


def key_of(
    plan: TrainingPlan, scenes: Sequence[Scene], begin: Bundle | None, *, quiet: bool = True
) -> Key:
    """Return the key of a training: recipe, windows, checksums of scenes, initial bundle.

    Only a training with an equal key may be resumed.

    Parameters
    ----------
    scenes
        Scenes of the plan.
    """
    sums = {}
    with progress("checksums", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for name, scene in zip(unique_names(scenes), scenes, strict=True):
            sums[name] = contents(scene)
            advance()
    return {
        "recipe": plan.settings().model_dump(mode="json"),
        "places": [part.model_dump(mode="json") for part in plan.parts],
        "contents": sums,
        "begun_from": None if begin is None else dict(begin.card.sha256),
    }


def contents(scene: Scene) -> str:
    """Return a checksum of the grid and the files of a scene, independent of their paths."""
    grid = scene.grid
    digest = hashlib.sha256(f"{grid.crs} {tuple(grid.affine)[:6]} {scene.shape}".encode())
    sums: dict[str, str] = {}
    for name, source in sorted(scene.sources.items()):
        if source.path not in sums:
            sums[source.path] = _checksum(source.path)
        equalised = name in scene.equalised
        digest.update(
            f"{name} {source.vector or source.band} {equalised} {sums[source.path]}\n".encode()
        )
    return digest.hexdigest()


def _checksum(path: str) -> str:
    if is_remote(path) or not Path(path).is_file():
        return path
    size = Path(path).stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as file:
        if size <= _SAMPLED_FROM:
            return hashlib.file_digest(file, lambda: digest).hexdigest()
        digest.update(str(Path(path).stat().st_mtime_ns).encode())
        for piece in range(_PIECES):
            file.seek(piece * (size - _PIECE) // (_PIECES - 1))
            digest.update(file.read(_PIECE))
    return digest.hexdigest()


def require_started(work: Path) -> None:
    """Raise UsageError if there is no training to resume."""
    if not (work / LAST_NAME).exists():
        raise UsageError(f"{work}: there is no training to resume", "leave out --resume")


def check_work(work: Path, key: Key, *, resume: bool, overwrite: bool) -> None:
    """Raise if a training would be lost, or resumed with another key.

    Raises
    ------
    UsageError
        If the folder holds an interrupted training, and neither flag is set.
    ConfigError
        If the key of the interrupted training differs.
    """
    unfinished = (work / LAST_NAME).exists()
    if not resume:
        if unfinished and not overwrite:
            raise UsageError(
                f"{work}: holds an interrupted training",
                "add --resume to continue it, or --overwrite",
            )
        if work.exists() and any(work.iterdir()):
            require_replaceable(work, _KEY_NAME)
        return
    difference = describe_difference(_read_key(work), key)
    if difference:
        raise ConfigError(
            f"{work}: the interrupted training had {difference} ({_KEY_NAME})",
            "resume with those, or start again with --overwrite",
        )


def describe_difference(first: Key, second: Key) -> str:
    """Return in words the first difference of two keys; empty if they are equal."""
    texts = {
        "recipe": "other settings",
        "places": "other places",
        "contents": "other contents of its scenes",
        "begun_from": "another bundle to start from",
    }
    return next((text for name, text in texts.items() if first.get(name) != second[name]), "")


def _read_key(work: Path) -> Key:
    try:
        key = yaml.safe_load((work / _KEY_NAME).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        key = None
    if not isinstance(key, dict):
        raise ConfigError(
            f"{work}: the settings of its training cannot be read ({_KEY_NAME})",
            "start again with --overwrite",
        )
    return key


def make_work(work: Path, key: Key) -> None:
    """Make an empty work folder and write the key of the training."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / _KEY_NAME).write_text(
        yaml.safe_dump(key, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read the tensors and numbers of a checkpoint. Objects that would run code are refused.

    Raises
    ------
    DataError
        If the file is damaged or holds other objects.
    """
    import torch

    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"{path}: is not a checkpoint of weights and numbers only, and could run code",
            "start again with --overwrite",
        ) from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError):
        raise DataError(f"{path}: is damaged", "start again with --overwrite") from None
    if not {"epoch", "state_dict"} <= content.keys():
        raise DataError(f"{path}: is no checkpoint of a training", "start again with --overwrite")
    return content
