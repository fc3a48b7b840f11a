"""Cross-validation over stripes."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning")

from demiurge.errors import ConfigError, UsageError
from demiurge.model.bundle import load_bundle
from demiurge.training.folds import Fold, pooled, train_folds

from .conftest import MakeScene, tiny_recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_each_fold_makes_a_bundle_and_is_tested(make_scene: MakeScene, tmp_path: Path) -> None:
    recipe = tiny_recipe(split={"buffer": 8}, epochs=1)
    scene, path = make_scene(columns=288), tmp_path / "x.bundle"
    results = train_folds([scene], path, 3, recipe=recipe)
    assert [fold.bundle for fold in results] == [f"x.fold{i}.bundle" for i in (1, 2, 3)]
    assert all(fold.input_mae == pytest.approx(3, abs=0.3) for fold in results)
    assert json.loads((tmp_path / "x.folds.json").read_text())[1]["mae"] == results[1].mae
    parts = load_bundle(tmp_path / "x.fold2.bundle").card.provenance["plan"]["parts"]
    assert {p["use"] for p in parts} == {"training", "validating", "testing"}
    with pytest.raises(UsageError, match="exists already"):
        train_folds([scene], path, 3, recipe=recipe)


def test_pooled_errors_weigh_pixels() -> None:
    folds = [Fold("a", 1.0, 1.0, 2.0, 100), Fold("b", 4.0, 7.0, 8.0, 300)]
    every = pooled(folds)
    assert every.mae == pytest.approx(3.25)
    assert every.rmse == pytest.approx(np.sqrt(0.25 + 0.75 * 49))
    assert every.input_mae == pytest.approx(6.5)


def test_too_few_or_too_narrow(make_scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 3"):
        train_folds([make_scene()], tmp_path / "x.bundle", 2, recipe=tiny_recipe())
    with pytest.raises(ConfigError, match="too small to hold chips"):
        train_folds([make_scene("b")], tmp_path / "x.bundle", 8, recipe=tiny_recipe())


def test_several_nodes_are_refused(make_scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one node, not on 2; leave out --nodes, or train the fol"):
        train_folds([make_scene()], tmp_path / "x.bundle", 3, recipe=tiny_recipe(), nodes=2)


@pytest.mark.parametrize("variables", [{"SLURM_NTASKS": "2"}, {"RANK": "1"}])
def test_processes_of_a_launcher_are_refused(
    variables: dict[str, str],
    make_scene: MakeScene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="cannot use those of srun or torchrun; start it without"):
        train_folds([make_scene()], tmp_path / "x.bundle", 3, recipe=tiny_recipe(), devices=2)
