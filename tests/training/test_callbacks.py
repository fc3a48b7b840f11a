"""Callbacks of a training."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from demiurge.training.callbacks import ProgressCallback, averaging


def average_after(steps: int, decay: float) -> float:
    """Return the average of a weight that is 1 in the first step and 0 after it."""
    network = torch.nn.Linear(1, 1, bias=False)
    averaged = AveragedModel(network, multi_avg_fn=averaging(decay))
    for step in range(steps):
        torch.nn.init.constant_(network.weight, float(step == 0))
        averaged.update_parameters(network)
    return float(averaged.module.weight.detach())


def test_the_average_of_a_short_training_drops_the_initial_weights() -> None:
    """With a constant decay of 0.995, three tenths of the initial weights would remain."""
    assert 0 < average_after(240, 0.995) < 1e-3


def test_the_decay_reaches_its_configured_value() -> None:
    later, last = (average_after(n, 0.5) for n in (29, 30))
    assert last / later == pytest.approx(0.5)


@pytest.mark.parametrize("optimisers", [1, 2])
def test_the_bar_of_a_resumed_training_starts_at_the_finished_steps(optimisers: int) -> None:
    """Lightning counts the steps of every optimiser."""
    shown: list[float] = []
    progress: Any = ProgressCallback(SimpleNamespace(), 10, [], SimpleNamespace(), True)  # type: ignore[arg-type]
    progress._advance = shown.append
    trainer: Any = SimpleNamespace(global_step=6 * optimisers, optimizers=[None] * optimisers)
    progress.on_train_start(trainer, None)
    assert shown == [6]
