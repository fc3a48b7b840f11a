"""Lightning modules: loss, training step and validation step, with or without a discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from demiurge.baselines.pix2pix import PatchDiscriminator
from demiurge.errors import DataError
from demiurge.model.backend.openvino import has_bf16
from demiurge.model.bundle import Bundle
from demiurge.model.contract import Contract
from demiurge.model.export import load_weights
from demiurge.model.losses import centred, gradient_loss, laplace_nll, masked_mean, relief
from demiurge.model.network import network_of
from demiurge.training.recipe import Recipe

#: Weight of the absolute mean of relative heights in the loss.
_MEAN_WEIGHT = 0.1

Batch = dict[str, Tensor]


class HeightModule(L.LightningModule):
    """Trains a network to predict corrections of heights and the scale of their error.

    Parameters
    ----------
    network
        Maps (batch, channels, height, width) to (batch, targets, …), with uncertainty
        (batch, 2 · targets, …).
    targets
        Number of targets.
    steps
        Number of steps of the entire training, for the learning rate.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, targets: int, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.targets = targets
        self.steps = steps
        self._sums: dict[str, Tensor] = {}

    def forward(self, planes: Tensor) -> Tensor:
        """Return the outputs of the network for planes (batch, channels, rows, columns)."""
        # bf16 convolutions are fastest in channels-last memory format; others do not suffer.
        out: Tensor = self.network(planes.contiguous(memory_format=torch.channels_last))
        return out

    def loss_and_error(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss and the absolute error in metres (batch, targets, height, width)."""
        return self._loss(self(batch["planes"]).float(), batch)

    def _loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        known, losses = batch["known"], self.recipe.losses
        heights, truth = self._heights(output, batch), batch["truth"]
        relative = batch["relative"]
        mean = (relative * (heights * known).mean(dim=(-2, -1), keepdim=True).abs()).mean()
        heights, truth = (centred(h, known, relative) for h in (heights, truth))
        error = (heights - truth) * known
        if losses.by_relief:
            weight = 1 / relief(truth, known, relative)
            heights, truth = heights * weight, truth * weight
        loss = losses.absolute * masked_mean((heights - truth).abs(), known)
        # Relative heights are kept near zero mean, so that no offset grows where truth is unknown.
        loss = loss + _MEAN_WEIGHT * mean
        if losses.gradient:
            loss = loss + losses.gradient * gradient_loss(heights, truth, known, losses.strides)
        if losses.uncertainty:
            log_scale = output[:, self.targets :]
            loss = loss + losses.uncertainty * laplace_nll(log_scale, error, known)
        return loss, error.detach().abs() * batch["unit"][:, :, None, None]

    def _heights(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the corrections, with the DTM not above the DSM, as in the contract."""
        heights = output[:, : self.targets]
        if "gap" not in batch:
            return heights
        surface, earth = (self.recipe.targets.index(t) for t in ("dsm", "dtm"))
        planes = list(heights.unbind(1))
        planes[earth] = torch.minimum(planes[earth], planes[surface] + batch["gap"][:, 0])
        return torch.stack(planes, 1)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        (loss,) = self.losses(batch)
        return loss

    def losses(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the losses of one step, one per optimiser."""
        loss, _error = self.loss_and_error(batch)
        yield loss

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of errors."""
        self._sums = {k: torch.zeros((), device=self.device) for k in ("error", "input", "count")}

    def validation_step(self, batch: Batch, _: int) -> None:
        """Add the errors of a batch, and those of its input, in metres."""
        _loss, error = self.loss_and_error(batch)
        known = batch["known"]
        before = centred(batch["truth"], known, batch["relative"]).abs() * known
        before *= batch["unit"][:, :, None, None]
        self._sums["error"] += error.sum()
        self._sums["input"] += before.sum()
        self._sums["count"] += batch["known"].sum()

    def on_validation_epoch_end(self) -> None:
        """Log the mean absolute errors over all processes."""
        sums = {k: torch.as_tensor(self.all_gather(v)).sum() for k, v in self._sums.items()}
        count = sums["count"].clamp(min=1)
        self.log("mae", sums["error"] / count)
        self.log("input_mae", sums["input"] / count)

    def configure_optimizers(self) -> Any:
        """Return the optimiser with its schedule."""
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
            # OneCycleLR divides by the number of rising steps minus one.
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


class AdversarialModule(HeightModule):
    """Adds the adversarial loss of a patch discriminator, as in pix2pix.

    Parameters
    ----------
    channels
        Number of input planes of the network, which the discriminator sees too.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, channels: int, targets: int, steps: int
    ) -> None:
        super().__init__(network, recipe, targets, steps)
        width = recipe.losses.judge_width
        self.discriminator = PatchDiscriminator(channels + targets, width)
        # The two optimisers alternate.
        self.automatic_optimization = False
        self._plain_loss = torch.zeros(())

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Update the discriminator, then the network."""
        first, second = cast(tuple[Any, Any], self.optimizers())
        # The discriminator is updated first; the network's loss uses its new weights.
        for optimiser, loss in zip((second, first), self.losses(batch), strict=True):
            self._step(optimiser, loss)
        return self._plain_loss

    def losses(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the discriminator's loss, then the network's, each computed on demand."""
        output = self(batch["planes"]).float()
        known, truth = batch["known"], batch["truth"]
        heights = self._heights(output, batch)
        heights, truth = (centred(h, known, batch["relative"]) for h in (heights, truth))
        false = torch.cat([batch["planes"], heights * known], 1)
        true = torch.cat([batch["planes"], truth * known], 1)
        false_score = self.discriminator(false.detach())
        yield (_entropy(self.discriminator(true), True) + _entropy(false_score, False)) / 2
        loss, _error = self._loss(output, batch)
        self._plain_loss = loss.detach()
        weight = self.recipe.losses.adversarial
        yield loss + weight * _entropy(self.discriminator(false), True)

    def _step(self, optimiser: Any, loss: Tensor) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimiser, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        optimiser.step()

    def on_train_batch_end(self, *_: Any) -> None:
        """Advance the one-cycle schedule."""
        schedule: Any = self.lr_schedulers()
        if schedule is not None and self.recipe.optimiser.schedule == "onecycle":
            schedule.step()

    def on_validation_epoch_end(self) -> None:
        """Log the errors; advance the schedule that reduces on plateau."""
        super().on_validation_epoch_end()
        schedule: Any = self.lr_schedulers()
        if schedule is not None and self.recipe.optimiser.schedule == "plateau":
            schedule.step(self.trainer.callback_metrics["mae"])

    def configure_optimizers(self) -> Any:
        """Return the optimisers of the network and the discriminator."""
        optimiser = self._optimiser(self.network.parameters())
        settings = self.recipe.optimiser
        second = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.rate, betas=(settings.momentum, 0.999)
        )
        if isinstance(optimiser, dict):
            return [optimiser["optimizer"], second], [optimiser["lr_scheduler"]]
        return [optimiser, second]


def initial_network(recipe: Recipe, contract: Contract, begin: Bundle | None) -> nn.Module:
    """Return a network with random weights of the recipe's seed, or with those of a bundle.

    Raises
    ------
    DataError
        If layers, targets or weights of the bundle do not fit.
    """
    L.seed_everything(recipe.seed, verbose=False)
    network = network_of(recipe.network, contract)
    if begin is None:
        return network
    same = ("names", "targets", "ground", "relief", "local", "sun")
    if any(getattr(begin.contract, key) != getattr(contract, key) for key in same):
        raise DataError(
            f"{begin.path}: sees {', '.join(begin.contract.names)}, the recipe "
            f"{', '.join(contract.names)}",
            "start from a bundle with the same layers and targets",
        )
    try:
        load_weights(network, begin)
    except RuntimeError:
        raise DataError(
            f"{begin.path}: its weights do not fit the recipe's network",
            "use the recipe that the bundle was trained with",
        ) from None
    return network


def make_module(
    network: nn.Module, recipe: Recipe, shape: tuple[int, int], steps: int
) -> HeightModule:
    """Return the Lightning module of a recipe.

    Parameters
    ----------
    shape
        Number of input planes and number of targets.
    steps
        Number of steps of the entire training.
    """
    if recipe.losses.adversarial:
        return AdversarialModule(network, recipe, *shape, steps)
    return HeightModule(network, recipe, shape[1], steps)


def uses_bf16(recipe: Recipe) -> bool:
    """Return whether a recipe trains in bf16 on this machine."""
    if recipe.precision == "auto":
        return torch.cuda.is_available() or has_bf16()
    return recipe.precision == "bf16"


def _entropy(score: Tensor, true: bool) -> Tensor:
    return binary_cross_entropy_with_logits(score, torch.full_like(score, float(true)))
