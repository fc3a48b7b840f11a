"""What a training takes: memory by counting what is kept for the gradients, time by trying."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from demiurge.baselines.adversarial import make_task
from demiurge.model.network import build_network
from demiurge.progress import progress
from demiurge.training.dataset import ChipDataset, make_contract
from demiurge.training.recipe import Recipe, reduced
from demiurge.training.split import Region

_STEPS = 3


@dataclass(frozen=True)
class Trial:
    """What a few steps showed."""

    parameters: int
    bytes_per_chip: float
    seconds_per_chip: float


def try_out(regions: Sequence[Region], recipe: Recipe, *, quiet: bool = True) -> Trial:
    """Train a few steps of two chips each, and throw the result away."""
    contract = make_contract(regions, recipe, quiet=quiet)
    chips = ChipDataset(regions, recipe, contract, training=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_network(recipe.network, contract.channels, contract.outputs)
    shape = (contract.channels, len(contract.targets))
    task = make_task(network, recipe, shape, steps=_STEPS + 1).to(device)
    optimiser = torch.optim.AdamW(task.parameters(), lr=1e-6)
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    seconds = []
    with progress("try", _STEPS, quiet=quiet, unit="steps", passing=True) as advance:
        for step in range(_STEPS):
            begun = time.perf_counter()
            items = [chips[2 * step + i] for i in range(2)]
            batch = {k: torch.stack([torch.from_numpy(i[k]) for i in items]) for k in items[0]}
            batch = {k: v.to(device) for k, v in batch.items()}
            kept = 0
            with (
                torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
                torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced(recipe)),
            ):
                for loss in task.losses(batch):
                    loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
            advance()
    return Trial(
        # With a discriminator both networks are trained.
        parameters=sum(p.numel() for p in task.parameters()),
        # Two chips were kept; gradients take about as much again while they flow back.
        bytes_per_chip=float(kept),
        seconds_per_chip=min(seconds) / 2,
    )


def free_memory() -> float:
    """Return the bytes that are free on the GPU, or else on the machine."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)
