from pathlib import Path

import pytest

from demiurge.errors import ConfigError, ResourceError
from demiurge.training.recipe import Recipe, load_recipe, shipped_recipes


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about


def test_deepdem_is_what_its_authors_describe() -> None:
    recipe = load_recipe("deepdem")
    assert recipe.network.encoder == "resnet18"
    assert recipe.optimiser.name == "adam"
    assert recipe.optimiser.rate == 5e-4
    assert recipe.optimiser.schedule == "plateau"
    assert recipe.losses.gradient == recipe.losses.uncertainty == 0


def test_resdepth_is_what_its_authors_describe() -> None:
    layers = {"0": 1, "mono": 2, "stereo": 3}
    for name, count in layers.items():
        recipe = load_recipe(f"resdepth-{name}")
        assert len(recipe.layers) == count
        assert recipe.base == recipe.layers[0] == "dsm"
        assert recipe.network.architecture == "resdepth"
        assert (recipe.chips.batch, recipe.optimiser.rate) == (20, 2e-4)
        assert recipe.losses.gradient == recipe.losses.uncertainty == 0


def test_every_setting_has_a_help() -> None:
    def missing(model: type, prefix: str = "") -> list[str]:
        found = []
        for name, info in model.model_fields.items():  # type: ignore[attr-defined]
            inner = info.annotation
            if hasattr(inner, "model_fields"):
                found += missing(inner, f"{prefix}{name}.")
            elif not info.description:
                found.append(prefix + name)
        return found

    assert missing(Recipe) == []


def test_settings_are_changed_by_dots() -> None:
    recipe = load_recipe("demiurge", ["chips.size=128", "layers=[dsm]", "optional=[]"])
    assert recipe.chips.size == 128
    assert recipe.layers == ["dsm"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("chips.sice=128", "chips.sice: is not a known key"),
        ("chips.size=100", "chips.size"),
        ("chips.size=big", "chips.size"),
        ("layers=[dsm, foo]", "no layer called 'foo'"),
        ("layers=[dsm, truth_dsm]", "is truth and cannot be an input"),
        ("base=dtm", "not among the layers"),
        ("targets=[ndvi]", "targets.0"),
        ("epochs", "is no setting"),
        ("epochs=[", "not valid YAML"),
        ("name.first=1", "has no keys below"),
    ],
)
def test_faults_name_the_key(change: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_recipe("demiurge", [change])


def test_recipes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="name a YAML file or one of: deepdem"):
        load_recipe("nonsense")
    (tmp_path / "r.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="holds no keys"):
        load_recipe(tmp_path / "r.yaml")
