"""Steps of the Lightning modules."""

import json

import numpy as np
import pytest

pytest.importorskip("lightning")

import torch

from demiurge.errors import ConfigError
from demiurge.model.contract import Contract
from demiurge.model.network import build_network
from demiurge.model.normals import InputLayer
from demiurge.training.module import AdversarialModule, HeightModule, make_module
from demiurge.training.recipe import Recipe, load_recipe


@pytest.mark.parametrize("name", ["demiurge", "deepdem", "resdepth-stereo", "generate", "pix2pix"])
def test_a_step_creates_no_tensor_on_another_device(name: str) -> None:
    """Tensors on the meta device cannot be combined with others, like those on a GPU."""
    recipe = load_recipe(name)
    channels, targets, side = 6, len(recipe.targets), 256
    outputs = targets * (2 if recipe.losses.uncertainty else 1)
    network = build_network(recipe.network, channels, outputs)
    module = make_module(network, recipe, (channels, targets), steps=10).to("meta")
    planes = torch.empty(2, channels, side, side, device="meta")
    surfaces = torch.empty(2, targets, side, side, device="meta")
    batch = {"planes": planes, "known": surfaces, "truth": surfaces,
             "relative": torch.empty(2, 1, 1, 1, device="meta"),
             "unit": torch.empty(2, 1, device="meta")}  # fmt: skip
    if targets == 2:
        batch["gap"] = torch.empty(2, 1, side, side, device="meta")
    loss, error = module.loss_and_error(batch)
    if isinstance(module, AdversarialModule):
        loss = loss + module.discriminator(torch.cat([planes, surfaces], 1)).mean()
    loss.backward()
    assert {loss.device.type, error.device.type} == {"meta"}
    assert all(p.grad is not None and p.grad.is_meta for p in module.parameters())


#: A choice that most others exclude comes rarely, so that recipes are built soon.
CHOICES: dict[str, list[object]] = {
    "network.architecture": [
        "unet", "unetplusplus", "fpn", "linknet", "manet", "resdepth", "pix2pix"
    ],
    "network.encoder": ["resnet18", "tu-mobilenetv3_small_050"],
    "network.depth": [3, 4, 4, 5, 5, 6, 7],
    "network.decoder_channels": [
        None, None, [4], [8, 4, 4], [8, 8, 4, 4], [8, 8, 8, 4, 4]
    ],
    "network.detail": [0, 0, 0, 4],
    "chips.size": [32, 64, 64, 96, 128],
    "chips.batch": [1, 2, 4],
    "chips.per_epoch": [1, 4, 5, 9],
    "base": [None, "dsm", "dsm", "dsm", "ortho_left"],
    "layers": [["dsm"], ["dsm", "ortho_left"], ["ortho_left"]],
    "targets": [["dsm"], ["dtm"], ["dsm", "dtm"]],
    "ground": [[], [], [6.0]],
    "heights.relative": [False, False, True],
    "heights.scaled": [False, False, True],
    "losses.absolute": [0.0, 1.0],
    "losses.gradient": [0.0, 0.5],
    "losses.uncertainty": [0.0, 0.1],
    "losses.adversarial": [0.0, 0.0, 1.0],
    "optimiser.schedule": ["onecycle", "plateau", "constant"],
    "epochs": [1, 5],
}  # fmt: skip


def test_a_random_recipe_is_refused_or_its_smallest_step_runs() -> None:
    """Random recipes end in a one-line error, or in a network that can be trained."""
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
    module = make_module(network, recipe, (contract.channels, targets), steps)
    module.configure_optimizers()
    count, side = chips.per_epoch % chips.batch or chips.batch, (chips.size, chips.size)
    batch = {
        "planes": torch.randn(count, contract.channels, *side),
        "truth": torch.randn(count, targets, *side),
        "known": torch.ones(count, targets, *side),
        "unit": torch.ones(count, 1),
        "relative": torch.full((count, 1, 1, 1), float(recipe.heights.relative)),
    }
    for loss in module.losses(batch):
        loss.backward()
        assert loss.isfinite(), changes


@pytest.mark.parametrize("steps", range(1, 12))
def test_onecycle_works_for_any_number_of_steps(steps: int) -> None:
    pytest.importorskip("lightning")
    import torch

    module = HeightModule(torch.nn.Conv2d(1, 1, 1), load_recipe("demiurge"), 1, steps)
    optimisers = module.configure_optimizers()
    for _ in range(steps):
        optimisers["optimizer"].step()
        if optimisers["lr_scheduler"]["scheduler"].last_epoch + 1 < steps:
            optimisers["lr_scheduler"]["scheduler"].step()
