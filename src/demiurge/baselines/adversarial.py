"""The Lightning module with a second network that learns to tell results from the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from demiurge.baselines.pix2pix import PatchDiscriminator
from demiurge.model.losses import centred
from demiurge.training.module import Batch, HeightModule
from demiurge.training.recipe import Recipe


class AdversarialTask(HeightModule):
    """Adds to the loss that a judge of patches takes the result for the truth."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, channels: int, targets: int, steps: int
    ) -> None:
        super().__init__(network, recipe, targets, steps)
        self.judge = PatchDiscriminator(channels + targets, recipe.losses.judge_width)
        # Two optimisers take turns.
        self.automatic_optimization = False
        self._plain = torch.zeros(())

    def training_step(self, batch: Batch, _: int) -> Tensor:
        first, second = cast(tuple[Any, Any], self.optimizers())
        # The discriminator's turn comes first; the second loss already sees its new weights.
        for optimiser, loss in zip((second, first), self.losses(batch), strict=True):
            self._move(optimiser, loss)
        return self._plain

    def losses(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the discriminator's loss, then the network's; each is computed when it is asked."""
        answer = self(batch["planes"]).float()
        known, truth = batch["known"], batch["truth"]
        heights = self._tied(answer[:, : self.targets], batch)
        heights, truth = (centred(h, known, batch["relative"]) for h in (heights, truth))
        false = torch.cat([batch["planes"], heights * known], 1)
        true = torch.cat([batch["planes"], truth * known], 1)
        told = self.judge(false.detach())
        yield (_believed(self.judge(true), True) + _believed(told, False)) / 2
        loss, _error = self._loss(answer, batch)
        self._plain = loss.detach()
        yield loss + self.recipe.losses.adversarial * _believed(self.judge(false), True)

    def _move(self, optimiser: Any, loss: Tensor) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimiser, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        optimiser.step()

    def on_train_batch_end(self, *_: Any) -> None:
        schedule: Any = self.lr_schedulers()
        if schedule is not None and self.recipe.optimiser.schedule == "onecycle":
            schedule.step()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        schedule: Any = self.lr_schedulers()
        if schedule is not None and self.recipe.optimiser.schedule == "plateau":
            schedule.step(self.trainer.callback_metrics["mae"])

    def configure_optimizers(self) -> Any:
        found = self._optimiser(self.network.parameters())
        settings = self.recipe.optimiser
        beta = (settings.momentum, 0.999)
        judge = torch.optim.Adam(self.judge.parameters(), lr=settings.rate, betas=beta)
        if isinstance(found, dict):
            return [found["optimizer"], judge], [found["lr_scheduler"]]
        return [found, judge]


def make_task(
    network: nn.Module, recipe: Recipe, shape: tuple[int, int], steps: int
) -> HeightModule:
    """Return what trains a recipe's network; ``shape`` is planes in and targets out."""
    if recipe.losses.adversarial:
        return AdversarialTask(network, recipe, *shape, steps)
    return HeightModule(network, recipe, shape[1], steps)


def _believed(told: Tensor, true: bool) -> Tensor:
    return binary_cross_entropy_with_logits(told, torch.full_like(told, float(true)))
