"""Training in a separate process; ``tests/e2e/test_processes.py`` starts real ones."""

import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lightning")

from demiurge.errors import ConfigError, ResourceError
from demiurge.training import fit, processes
from demiurge.training.package import DivergedError
from demiurge.training.processes import train_in_process

from .conftest import tiny_recipe


def test_processes_share_a_batch_equally() -> None:
    chips: Any = SimpleNamespace(recipe=tiny_recipe(chips={"size": 32, "batch": 5}))
    with pytest.raises(ConfigError, match="5 chips cannot be shared by 2 processes"):
        fit._loaders(chips, chips, 2)


def test_a_process_that_dies_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_wait", lambda _: -9)
    with pytest.raises(ResourceError, match="was ended by signal 9; see whether"):
        train_in_process(output="x.bundle")
    monkeypatch.setattr(processes, "_wait", lambda _: 130)
    with pytest.raises(SystemExit) as stop:
        train_in_process(output="x.bundle")
    assert stop.value.code == 130


def test_errors_are_pickled() -> None:
    class LocalError(Exception):
        pass

    assert isinstance(pickle.loads(processes._packed(DivergedError())), DivergedError)
    assert str(pickle.loads(processes._packed(LocalError("why")))) == "LocalError: why"
    assert pickle.loads(processes._packed(OSError(28, "full", "a.tif"))).errno == 28


def test_variables_of_an_earlier_training_are_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lightning would assume that a launcher started the process, and wait for others."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = {}

    class StartedError(Exception):
        pass

    def started(*_: object, env: dict[str, str], **__: object) -> None:
        seen.update(env)
        raise StartedError

    monkeypatch.setattr(processes.subprocess, "Popen", started)
    with pytest.raises(StartedError):
        train_in_process(output="x.bundle")
    assert seen["PATH"] == os.environ["PATH"]
    assert not {"LOCAL_RANK", "WORLD_SIZE"} & seen.keys()
