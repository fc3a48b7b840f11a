"""A step of training, whatever it runs on."""

import pytest

pytest.importorskip("lightning")

import torch

from demiurge.baselines.adversarial import AdversarialTask, make_task
from demiurge.model.network import build_network
from demiurge.training.recipe import load_recipe


@pytest.mark.parametrize("name", ["demiurge", "deepdem", "resdepth-stereo", "generate", "pix2pix"])
def test_a_step_stays_on_its_device(name: str) -> None:
    """Tensors of the meta device go with no others, as those of a GPU do."""
    recipe = load_recipe(name)
    channels, targets, side = 6, len(recipe.targets), 256
    outputs = targets * (2 if recipe.losses.uncertainty else 1)
    network = build_network(recipe.network, channels, outputs)
    task = make_task(network, recipe, (channels, targets), steps=10).to("meta")
    planes = torch.empty(2, channels, side, side, device="meta")
    surfaces = torch.empty(2, targets, side, side, device="meta")
    batch = {"planes": planes, "known": surfaces, "truth": surfaces,
             "relative": torch.empty(2, 1, 1, 1, device="meta"),
             "unit": torch.empty(2, 1, device="meta")}  # fmt: skip
    if targets == 2:
        batch["gap"] = torch.empty(2, 1, side, side, device="meta")
    loss, error = task._parts(batch)
    if isinstance(task, AdversarialTask):
        loss = loss + task.judge(torch.cat([planes, surfaces], 1)).mean()
    loss.backward()
    assert {loss.device.type, error.device.type} == {"meta"}
    assert all(p.grad is not None and p.grad.is_meta for p in task.parameters())
