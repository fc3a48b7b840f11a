"""How fast a network is trained, next to plain eager float32 training of the same network."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from common import Claim, at_least, interleaved, main, median
from data import LAYERS, write_layers
from demiurge.model.network import build_network
from demiurge.scene.prepare import prepare
from demiurge.training.dataset import TrainingChips
from demiurge.training.module import HeightModule, uses_bf16
from demiurge.training.normalisation import make_contract
from demiurge.training.recipe import load_recipe
from demiurge.training.split import split_places


def measure(quick: bool) -> list[Claim]:
    """Steps of a ResNet-18 U-Net at 256 px, batch of 8, chips read and encoded each time."""
    batch, repeats = (2, 1) if quick else (8, 5)
    recipe = load_recipe("deepdem", [f"chips.batch={batch}", "split.buffer=0"])
    with tempfile.TemporaryDirectory() as name:
        scene = prepare(write_layers(Path(name) / "layers", 1536, LAYERS), Path(name) / "scene")
        regions = split_places([scene], recipe).training
        contract = make_contract(regions, recipe)
        chips = TrainingChips(regions, recipe, contract)
        network = build_network(recipe.network, contract.channels, contract.outputs)
        module = HeightModule(network, recipe, len(contract.targets), steps=1000)
        plain = build_network(recipe.network, contract.channels, contract.outputs)
        optimisers = [torch.optim.Adam(n.parameters(), 1e-5) for n in (module, plain)]

        def items() -> dict[str, torch.Tensor]:
            some = [chips[i] for i in range(batch)]
            return {k: torch.stack([torch.from_numpy(i[k]) for i in some]) for k in some[0]}

        def ours() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=uses_bf16(recipe)):
                loss = module.training_step(items(), 0)
            _step(loss, optimisers[0])

        def theirs() -> None:
            given = items()
            error = (plain(given["planes"])[:, :1] - given["truth"]).abs() * given["known"]
            _step(error.sum() / given["known"].sum(), optimisers[1])

        times = interleaved({"ours": ours, "plain": theirs}, repeats)
    speed = {name: batch / median(values) for name, values in times.items()}
    return [
        Claim("chips per second, eager float32", speed["plain"], "/s"),
        Claim("chips per second, as demiurge trains here", speed["ours"], "/s"),
        at_least("  over eager float32", speed["ours"] / speed["plain"], "", 4.0),
    ]


def _step(loss: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()


if __name__ == "__main__":
    main(measure)
