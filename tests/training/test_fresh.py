"""Training in a process of its own."""

import os
import pickle
from pathlib import Path

import pytest

pytest.importorskip("lightning")

from demiurge.errors import ConfigError, ResourceError
from demiurge.training import fresh
from demiurge.training.fresh import train_fresh
from demiurge.training.package import DivergedError

from .conftest import MakeScene, tiny_recipe


def test_an_error_is_raised_here_as_it_was_there(make_scene: MakeScene, tmp_path: Path) -> None:
    recipe = tiny_recipe(chips={"size": 32, "per_epoch": 8, "batch": 5})
    with pytest.raises(ConfigError, match="5 chips cannot be shared by 2 processes"):
        train_fresh(scenes=[make_scene()], output=tmp_path / "x.bundle", recipe=recipe, devices=2)


def test_a_process_that_dies_without_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "_wait", lambda _: -9)
    with pytest.raises(ResourceError, match="was ended by signal 9; see whether"):
        train_fresh(output="x.bundle")
    monkeypatch.setattr(fresh, "_wait", lambda _: 130)
    with pytest.raises(SystemExit) as stop:
        train_fresh(output="x.bundle")
    assert stop.value.code == 130


def test_every_error_can_reach_the_other_process() -> None:
    class LocalError(Exception):
        pass

    assert isinstance(pickle.loads(fresh._packed(DivergedError())), DivergedError)
    assert str(pickle.loads(fresh._packed(LocalError("why")))) == "LocalError: why"
    assert pickle.loads(fresh._packed(OSError(28, "full", "a.tif"))).errno == 28


def test_what_an_earlier_training_set_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would take the process for one that was started from outside, and wait."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = {}

    class StartedError(Exception):
        pass

    def started(*_: object, env: dict[str, str], **__: object) -> None:
        seen.update(env)
        raise StartedError

    monkeypatch.setattr(fresh.subprocess, "Popen", started)
    with pytest.raises(StartedError):
        train_fresh(output="x.bundle")
    assert seen["PATH"] == os.environ["PATH"]
    assert not {"LOCAL_RANK", "WORLD_SIZE"} & seen.keys()
