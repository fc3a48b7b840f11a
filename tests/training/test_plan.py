"""Plans, and trainings that follow them."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("lightning")

import demiurge
from demiurge.errors import ConfigError, ResourceError, UsageError
from demiurge.scene.open import open_scene
from demiurge.training.fit import plan
from demiurge.training.plan import TrainingPlan, load_plan, make_plan

from .conftest import MakeScene, tiny_recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_a_plan_describes_the_scenes(make_scene: MakeScene, tmp_path: Path) -> None:
    scenes = [make_scene("a"), make_scene("b", east=60.0), make_scene("c", east=5000.0)]
    path = tmp_path / "plan.yaml"
    recipe = tiny_recipe(split={"by": "stripes", "buffer": 8})
    planned = plan(scenes, path, recipe=recipe)
    assert [s.place for s in planned.scenes] == [0, 0, 1], "a and b overlap"
    first = planned.scenes[0]
    assert first.pixel_size == 2
    assert (first.rows, first.columns) == (160, 192)
    assert first.voids == pytest.approx(100 / (160 * 192), abs=1e-3)
    assert first.truth == {"truth_dsm": 1.0}
    assert first.relief is not None
    assert first.relief > 5
    assert planned.cost is not None
    assert planned.cost.steps == 12
    assert planned.cost.parameters > 1000
    assert planned.cost.seconds_per_step > 0
    assert load_plan(path) == planned


def test_the_chip_size_is_reduced_to_fit_the_scenes(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(chips={"size": 128, "per_epoch": 8, "batch": 2}, split={"buffer": 8})
    planned = plan([make_scene(columns=384)], recipe=recipe)
    assert planned.settings().chips.size == 64
    assert "chips of 64 px, not 128" in planned.notes[0]


def test_the_batch_is_reduced_to_fit_the_memory(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demiurge.training import cost

    scene = make_scene()
    before = plan([scene], recipe=tiny_recipe())
    assert before.cost is not None
    per_chip = before.cost.memory_mb * 1e6 / 4
    monkeypatch.setattr(cost, "free_memory", lambda: 4.5 * per_chip)
    planned = plan([scene], recipe=tiny_recipe())
    assert planned.settings().chips.batch == 2
    assert "2 chips a step, not 4" in planned.notes[0]


def test_training_follows_a_plan_edited_by_hand(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene()
    path = tmp_path / "plan.yaml"
    plan([scene], path, recipe=tiny_recipe())
    content = yaml.safe_load(path.read_text())
    content["recipe"]["epochs"] = 1
    content["parts"][0]["width"] = 64
    path.write_text(yaml.safe_dump(content))
    bundle = demiurge.train([], tmp_path / "m.bundle", plan=path)
    assert len(bundle.card.metrics["history"]) == 1
    kept = bundle.card.provenance["plan"]
    assert kept["parts"][0]["width"] == 64
    assert kept["scenes"][0]["name"] == "scene"
    assert str(tmp_path) not in str(bundle.card.provenance), "paths are removed"
    assert bundle.card.recipe["epochs"] == 1


def test_invalid_plans(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene()
    path = tmp_path / "plan.yaml"
    with pytest.raises(ResourceError, match="no such plan"):
        load_plan(path)
    good = plan([scene], path, recipe=tiny_recipe())
    with pytest.raises(UsageError, match="exists already"):
        plan([scene], path, recipe=tiny_recipe())
    content = good.model_dump(mode="json")
    content["parts"][0]["width"] = 1000
    with pytest.raises(ConfigError, match="outside scene 'scene'"):
        TrainingPlan.model_validate(content).split([scene])
    content["parts"][0]["width"] = 192
    with pytest.raises(ConfigError, match="trains on ground that scene 'scene' validates on"):
        TrainingPlan.model_validate(content).split([scene])
    content["parts"][0]["scene"] = "nowhere"
    with pytest.raises(ConfigError, match="'nowhere', which is not given"):
        TrainingPlan.model_validate(content).split([scene])
    path.write_text("parts: 3\n")
    with pytest.raises(ConfigError, match="plan"):
        load_plan(path)


def test_scenes_of_the_same_name_get_unique_names(make_scene: MakeScene, tmp_path: Path) -> None:
    first = make_scene()
    (tmp_path / "other").mkdir()
    moved = (tmp_path / "scene").rename(tmp_path / "other" / "scene")
    second = make_scene(east=5000.0)
    scenes = [open_scene(moved), second, make_scene("c", east=9000.0)]
    prepared = make_plan(scenes, tiny_recipe(split={"by": "stripes", "buffer": 8}))
    assert [s.name for s in prepared.plan.scenes] == ["other/scene", f"{tmp_path.name}/scene", "c"]
    assert prepared.plan.split(scenes) == prepared.split
    regions = prepared.split.training
    assert [r.scene.grid.affine.c for r in regions] == [s.grid.affine.c for s in scenes]
    with pytest.raises(UsageError, match="scene' is given twice"):
        make_plan([second, second], tiny_recipe())
    assert first.name == second.name
