"""The folder of checkpoints beside a bundle in the making, and who may write there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from demiurge.errors import ConfigError, UsageError
from demiurge.outputs import require_ours

#: The recipe that a training was begun with, in its folder of checkpoints.
_NOTED = "recipe.yaml"

#: Where launchers tell a process its number; Lightning's own and SLURM's among them.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def follows() -> bool:
    """Tell whether this process only helps another one that writes the results."""
    found = next((os.environ[name] for name in _RANKS if name in os.environ), "0")
    return found != "0"


def require_begun(work: Path) -> None:
    """Raise if there is no training to resume."""
    if not (work / "last.ckpt").exists():
        raise UsageError(f"{work}: there is no training to resume", "leave out --resume")


def check_work(work: Path, noted: str, *, resume: bool, overwrite: bool) -> None:
    """See that nobody's unfinished training is lost unasked, or resumed with other settings."""
    unfinished = (work / "last.ckpt").exists()
    if not resume:
        if unfinished and not overwrite:
            raise UsageError(
                f"{work}: holds an interrupted training", "add --resume to go on, or --overwrite"
            )
        if work.exists() and any(work.iterdir()):
            require_ours(work, _NOTED)
        return
    if (work / _NOTED).read_text(encoding="utf-8") != noted:
        raise ConfigError(
            f"{work}: the interrupted training had other settings ({_NOTED})",
            "resume with those, or begin anew with --overwrite",
        )


def make_work(work: Path, noted: str) -> None:
    """Make the folder of checkpoints, empty but for the recipe."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / _NOTED).write_text(noted, encoding="utf-8")
