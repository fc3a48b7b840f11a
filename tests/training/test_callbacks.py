"""What happens around the steps of a training."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from demiurge.training.callbacks import _Progress, averaging


def average_after(steps: int, decay: float) -> float:
    """Start at 1, be 0 from the second step on."""
    network = torch.nn.Linear(1, 1, bias=False)
    averaged = AveragedModel(network, multi_avg_fn=averaging(decay))
    for step in range(steps):
        torch.nn.init.constant_(network.weight, float(step == 0))
        averaged.update_parameters(network)
    return float(averaged.module.weight.detach())


def test_a_short_training_forgets_the_weights_it_began_with() -> None:
    """At a fixed decay of 0.995 three tenths of them would be left."""
    assert 0 < average_after(240, 0.995) < 1e-3


def test_in_the_long_run_averages_decay_as_asked() -> None:
    later, last = (average_after(n, 0.5) for n in (29, 30))
    assert last / later == pytest.approx(0.5)


@pytest.mark.parametrize("optimisers", [1, 2])
def test_a_resumed_training_shows_the_steps_it_has_behind_it(optimisers: int) -> None:
    """Lightning counts each of several optimisers' steps."""
    shown: list[float] = []
    progress: Any = _Progress(SimpleNamespace(), 10, [], SimpleNamespace(), True)  # type: ignore[arg-type]
    progress._advance = shown.append
    trainer: Any = SimpleNamespace(global_step=6 * optimisers, optimizers=[None] * optimisers)
    progress.on_train_start(trainer, None)
    assert shown == [6]
