"""The Lightning module: one step, shared by training and validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from demiurge.model.losses import centred, gradient_loss, laplace_nll, masked_mean
from demiurge.training.recipe import Recipe

#: Weight of the mean of relative heights.
_LEVEL = 0.1

Batch = dict[str, Tensor]


class HeightModule(L.LightningModule):
    """Learns corrections of heights and how far off they are."""

    def __init__(self, network: nn.Module, recipe: Recipe, targets: int, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.targets = targets
        self.steps = steps
        self._sums: dict[str, Tensor] = {}

    def forward(self, planes: Tensor) -> Tensor:
        # Channels last is what bf16 convolutions want, and costs the others nothing.
        out: Tensor = self.network(planes.contiguous(memory_format=torch.channels_last))
        return out

    def _parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss and the absolute error in metres (batch, targets, height, width)."""
        return self._loss(self(batch["planes"]).float(), batch)

    def _loss(self, answer: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        known, losses = batch["known"], self.recipe.losses
        heights, truth = self._tied(answer[:, : self.targets], batch), batch["truth"]
        relative = batch["relative"]
        level = (relative * (heights * known).mean(dim=(-2, -1), keepdim=True).abs()).mean()
        heights, truth = (centred(h, known, relative) for h in (heights, truth))
        error = (heights - truth) * known
        loss = losses.absolute * masked_mean(error.abs(), known)
        # Relative heights are about zero, so that where nothing is known none are far off.
        loss = loss + _LEVEL * level
        if losses.gradient:
            loss = loss + losses.gradient * gradient_loss(heights, truth, known)
        if losses.uncertainty:
            log_scale = answer[:, self.targets :]
            loss = loss + losses.uncertainty * laplace_nll(log_scale, error, known)
        return loss, error.detach().abs() * batch["unit"][:, :, None, None]

    def _tied(self, heights: Tensor, batch: Batch) -> Tensor:
        """Keep the bare earth from rising above the surface, as the contract does."""
        if "gap" not in batch:
            return heights
        surface, earth = (self.recipe.targets.index(t) for t in ("dsm", "dtm"))
        planes = list(heights.unbind(1))
        planes[earth] = torch.minimum(planes[earth], planes[surface] + batch["gap"][:, 0])
        return torch.stack(planes, 1)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        (loss,) = self.losses(batch)
        return loss

    def losses(self, batch: Batch) -> Iterator[Tensor]:
        """Yield what a step takes gradients of, in order."""
        loss, _error = self._parts(batch)
        yield loss

    def on_validation_epoch_start(self) -> None:
        self._sums = {k: torch.zeros((), device=self.device) for k in ("error", "input", "count")}

    def validation_step(self, batch: Batch, _: int) -> None:
        _loss, error = self._parts(batch)
        known = batch["known"]
        before = centred(batch["truth"], known, batch["relative"]).abs() * known
        before *= batch["unit"][:, :, None, None]
        self._sums["error"] += error.sum()
        self._sums["input"] += before.sum()
        self._sums["count"] += batch["known"].sum()

    def on_validation_epoch_end(self) -> None:
        sums = {k: torch.as_tensor(self.all_gather(v)).sum() for k, v in self._sums.items()}
        count = sums["count"].clamp(min=1)
        self.log("mae", sums["error"] / count)
        self.log("input_mae", sums["input"] / count)

    def configure_optimizers(self) -> Any:
        return self._optimiser(self.parameters())

    def _optimiser(self, parameters: Iterator[nn.Parameter]) -> Any:
        settings = self.recipe.optimiser
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
        optimiser = kind(
            parameters,
            lr=settings.rate,
            weight_decay=settings.decay,
            betas=(settings.momentum, 0.999),
        )
        if settings.schedule == "onecycle":
            # OneCycleLR divides by the length of its rise less one step.
            share = 0.4 if round(0.2 * self.steps, 6) == 1 else 0.2
            cycle = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, settings.rate, total_steps=self.steps, pct_start=share
            )
            return {
                "optimizer": optimiser,
                "lr_scheduler": {"scheduler": cycle, "interval": "step"},
            }
        if settings.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=5, factor=0.5)
            return {
                "optimizer": optimiser,
                "lr_scheduler": {"scheduler": plateau, "monitor": "mae"},
            }
        return optimiser
