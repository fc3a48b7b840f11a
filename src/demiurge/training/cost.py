"""Expected cost of a training: memory of activations and time of a step, measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from demiurge.model.network import network_of
from demiurge.progress import progress
from demiurge.training.dataset import TrainingChips
from demiurge.training.module import make_module, uses_bf16
from demiurge.training.normalisation import make_contract
from demiurge.training.plan import Cost, PreparedPlan, TrainingPlan, with_chips
from demiurge.training.recipe import Recipe
from demiurge.training.split import Region

_STEPS, _BATCH = 3, 2


@dataclass(frozen=True)
class Measurement:
    """Number of trained weights, bytes of activations and seconds per chip."""

    parameters: int
    bytes_per_chip: float
    seconds_per_chip: float


def with_cost(prepared: PreparedPlan, *, quiet: bool = True) -> TrainingPlan:
    """Return a plan with its cost, and with a batch that fits half of the free memory.

    A few steps are trained and discarded.
    """
    plan, recipe = prepared.plan, prepared.plan.settings()
    measured = measure(prepared.split.training, recipe, quiet=quiet)
    most = max(1, int(free_memory() / 2 / measured.bytes_per_chip))
    notes = list(plan.notes)
    if most < recipe.chips.batch:
        notes.append(
            f"{most} chips a step, not {recipe.chips.batch}: half of the memory holds no more"
        )
        recipe = with_chips(recipe, batch=most)
    steps = recipe.epochs * -(-recipe.chips.per_epoch // recipe.chips.batch)
    seconds = measured.seconds_per_chip * recipe.chips.batch
    cost = Cost(
        parameters=measured.parameters,
        steps=steps,
        seconds_per_step=round(seconds, 4),
        hours=round(steps * seconds / 3600, 3),
        memory_mb=round(measured.bytes_per_chip * recipe.chips.batch / 1e6, 1),
    )
    return plan.model_copy(
        update={"recipe": recipe.model_dump(mode="json"), "notes": notes, "cost": cost}
    )


def measure(regions: Sequence[Region], recipe: Recipe, *, quiet: bool = True) -> Measurement:
    """Train a few steps of two chips each and discard the result."""
    contract = make_contract(regions, recipe, quiet=quiet)
    chips = TrainingChips(regions, recipe, contract)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network_of(recipe.network, contract)
    shape = (contract.channels, len(contract.targets))
    module = make_module(network, recipe, shape, steps=_STEPS + 1).to(device)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-6)
    saved = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    seconds = []
    with progress("measure", _STEPS, quiet=quiet, unit="steps", passing=True) as advance:
        for step in range(_STEPS):
            start = time.perf_counter()
            items = [chips[_BATCH * step + i] for i in range(_BATCH)]
            batch = {k: torch.stack([torch.from_numpy(i[k]) for i in items]) for k in items[0]}
            batch = {k: v.to(device) for k, v in batch.items()}
            saved = 0
            with (
                torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
                torch.autocast(device.type, dtype=torch.bfloat16, enabled=uses_bf16(recipe)),
            ):
                for loss in module.losses(batch):
                    loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
            advance()
    return Measurement(
        parameters=sum(p.numel() for p in module.parameters()),
        # Two chips were saved. Gradients take about as much again in the backward pass.
        bytes_per_chip=float(saved),
        seconds_per_chip=min(seconds) / _BATCH,
    )


def free_memory() -> float:
    """Return the free bytes of the GPU, or of the machine if it has none."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)
