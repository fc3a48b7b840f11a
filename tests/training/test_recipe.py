from pathlib import Path

import pytest

from demiurge.errors import ConfigError, ResourceError
from demiurge.training.recipe import Recipe, load_recipe, shipped_recipes


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about


def test_deepdem_has_the_published_settings() -> None:
    recipe = load_recipe("deepdem")
    assert recipe.network.encoder == "resnet18"
    assert recipe.optimiser.name == "adam"
    assert recipe.optimiser.rate == 5e-4
    assert recipe.optimiser.schedule == "plateau"
    assert recipe.losses.gradient == recipe.losses.uncertainty == 0


def test_resdepth_has_the_published_settings() -> None:
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
        names = []
        for name, info in model.model_fields.items():  # type: ignore[attr-defined]
            inner = info.annotation
            if hasattr(inner, "model_fields"):
                names += missing(inner, f"{prefix}{name}.")
            elif not info.description:
                names.append(prefix + name)
        return names

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
        ("seed=-1", "seed"),
        ("seed=4294967296", "seed"),
        ("optimiser.rate=.inf", "optimiser.rate"),
        ("optimiser.momentum=1", "optimiser.momentum"),
        ("layers=[dsm, dsm, ortho_left, ortho_right, ndvi, triangulation_error]", "'dsm' twice"),
        ("targets=[dsm, dsm]", "targets names 'dsm' twice"),
        ("targets=[red]", "refine cannot have target 'red'"),
        ("base=ndvi", "base 'ndvi' holds no heights"),
        ("losses={absolute: 0, gradient: 0}", "must be above 0"),
        ("network={architecture: resdepth, depth: 6, decoder_channels: [8], detail: 0}",
         "window is 480"),
        ("network={architecture: pix2pix, depth: 8}", "needs a multiple of 256"),
        ("network.depth=6", "network: depth is above 5"),
    ],
)  # fmt: skip
def test_messages_name_the_invalid_key(change: str, match: str) -> None:
    changes = [change, "window=480"] if "480" in match else [change]
    with pytest.raises(ConfigError, match=match):
        load_recipe("demiurge", changes)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("chips={size: 96}", "chips.size is 96; a network of depth 6 needs a multiple of 64"),
        ("chips={size: 64, batch: 1}", "one chip of 64 px leave one pixel"),
        ("chips={size: 64, batch: 4, per_epoch: 21}", "one chip of 64 px leave one pixel"),
    ],
)
def test_chips_must_fit_the_depth(change: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_recipe("resdepth-0", ["network.depth=6", change])


def test_missing_and_invalid_files(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="name a YAML file or one of: deepdem"):
        load_recipe("nonsense")
    (tmp_path / "r.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="holds no keys"):
        load_recipe(tmp_path / "r.yaml")


def test_relief_needs_a_base() -> None:
    with pytest.raises(ConfigError, match="relief needs a base"):
        load_recipe("pix2pix", ["relief=[4]"])
