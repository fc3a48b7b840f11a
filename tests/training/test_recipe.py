import json
from pathlib import Path

import numpy as np
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
def test_faults_name_the_key(change: str, match: str) -> None:
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


def test_recipes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="name a YAML file or one of: deepdem"):
        load_recipe("nonsense")
    (tmp_path / "r.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="holds no keys"):
        load_recipe(tmp_path / "r.yaml")


def test_relief_needs_a_base() -> None:
    with pytest.raises(ConfigError, match="relief needs a base"):
        load_recipe("pix2pix", ["relief=[4]"])


CHOICES: dict[str, list[object]] = {
    "network.architecture": [
        "unet", "unetplusplus", "fpn", "linknet", "manet", "resdepth", "pix2pix"
    ],
    "network.encoder": ["resnet18", "tu-mobilenetv3_small_050"],
    "network.depth": [3, 4, 5, 6, 7],
    "network.decoder_channels": [None, [4], [8, 4, 4], [8, 8, 4, 4], [8, 8, 8, 4, 4]],
    "network.detail": [0, 0, 4],
    "chips.size": [32, 64, 96, 128],
    "chips.batch": [1, 2, 4],
    "chips.per_epoch": [1, 4, 5, 9],
    "base": [None, "dsm", "ortho_left"],
    "layers": [["dsm"], ["dsm", "ortho_left"], ["ortho_left"]],
    "targets": [["dsm"], ["dtm"], ["dsm", "dtm"]],
    "ground": [[], [6.0]],
    "heights.relative": [False, True],
    "heights.scaled": [False, True],
    "losses.absolute": [0.0, 1.0],
    "losses.gradient": [0.0, 0.5],
    "losses.uncertainty": [0.0, 0.1],
    "losses.adversarial": [0.0, 0.0, 1.0],
    "optimiser.schedule": ["onecycle", "plateau", "constant"],
    "epochs": [1, 5],
}  # fmt: skip


def test_a_recipe_is_refused_or_its_network_takes_every_step() -> None:
    """Random recipes: a sentence, or a network whose last and smallest step can be taken."""
    pytest.importorskip("lightning")
    rng = np.random.default_rng(0)
    outcomes = {"refused": 0, "built": 0}
    while outcomes["built"] < 30:
        changes = [
            f"{key}={json.dumps(options[rng.integers(len(options))])}"
            for key, options in CHOICES.items()
        ]
        changes += ["losses.judge_width=4", "optional=[]"]
        try:
            recipe = load_recipe("demiurge", changes)
        except ConfigError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        _take_a_step(recipe, changes)
        outcomes["built"] += 1
    assert outcomes["refused"] > 30


def _take_a_step(recipe: Recipe, changes: list[str]) -> None:
    import torch

    from demiurge.baselines.adversarial import make_task
    from demiurge.model.contract import Contract, InputLayer
    from demiurge.model.network import build_network

    contract = Contract(
        layers=[InputLayer(name=name) for name in recipe.layers],
        base=recipe.base,
        targets=recipe.targets,
        ground=recipe.ground,
        uncertainty=recipe.losses.uncertainty > 0,
    )
    network = build_network(recipe.network, contract.channels, contract.outputs)
    chips, targets = recipe.chips, len(recipe.targets)
    steps = recipe.epochs * -(-chips.per_epoch // chips.batch)
    task = make_task(network, recipe, (contract.channels, targets), steps)
    task.configure_optimizers()
    count, side = chips.per_epoch % chips.batch or chips.batch, (chips.size, chips.size)
    batch = {
        "planes": torch.randn(count, contract.channels, *side),
        "truth": torch.randn(count, targets, *side),
        "known": torch.ones(count, targets, *side),
        "unit": torch.ones(count, 1),
        "relative": torch.full((count, 1, 1, 1), float(recipe.heights.relative)),
    }
    for loss in task.losses(batch):
        loss.backward()
        assert loss.isfinite(), changes


@pytest.mark.parametrize("steps", range(1, 12))
def test_every_number_of_steps_has_a_schedule(steps: int) -> None:
    pytest.importorskip("lightning")
    import torch

    from demiurge.training.module import HeightModule

    task = HeightModule(torch.nn.Conv2d(1, 1, 1), load_recipe("demiurge"), 1, steps)
    found = task.configure_optimizers()
    for _ in range(steps):
        found["optimizer"].step()
        if found["lr_scheduler"]["scheduler"].last_epoch + 1 < steps:
            found["lr_scheduler"]["scheduler"].step()
