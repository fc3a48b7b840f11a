"""Lightning callbacks: progress and history, early stopping, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from demiurge.arrays import Array
from demiurge.console import note
from demiurge.model.losses import mean_over_processes
from demiurge.progress import Advance, progress, silent
from demiurge.training.dataset import ValidationChips
from demiurge.training.log import History, Log


def make_callbacks(
    chips: ValidationChips, log: Log, steps: int, quiet: bool
) -> tuple[list[Callback], History]:
    """Return the callbacks of a training, and the list that receives its history.

    Parameters
    ----------
    steps
        Number of steps of the entire training.
    """
    history: History = []
    recipe = chips.recipe
    callbacks: list[Callback] = [ProgressCallback(chips, steps, history, log, quiet)]
    if recipe.patience is not None:
        callbacks.append(EarlyStopping("mae", patience=recipe.patience))
    if recipe.ema:
        callbacks.append(WeightAveraging(multi_avg_fn=averaging(recipe.ema)))
    return callbacks, history


def averaging(decay: float) -> Callable[[Any, Any, Tensor], None]:
    """Return the update of an exponential moving average, for torch's ``AveragedModel``.

    In step n the decay is at most (1 + n) / (10 + n), as in TensorFlow's
    ``ExponentialMovingAverage``. The average of a short training would otherwise keep much of the
    random initial weights.
    """

    def update(averages: Any, weights: Any, count: Tensor) -> None:
        n = int(count)
        step: Any = get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))  # type: ignore[no-untyped-call]
        step(averages, weights, count)

    return update


class ProgressCallback(Callback):
    """Shows the validation error next to that of the input, and writes history and log.

    Sets the epoch of the training chips. Stops a training that diverged.
    """

    def __init__(
        self, chips: ValidationChips, steps: int, history: History, log: Log, quiet: bool
    ) -> None:
        self.chips, self.steps, self.history = chips, steps, history
        self._log, self.quiet = log, quiet
        self._stack = ExitStack()
        self._advance: Advance = silent
        self._note = ""
        self._loss: Tensor | float = 0.0
        self._count = 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the progress bar and, in the first process, the log."""
        quiet = self.quiet or not trainer.is_global_zero
        bar = progress("train", self.steps, quiet=quiet, unit="steps")
        self._advance = self._stack.enter_context(bar)
        if trainer.is_global_zero:
            self._log.open()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Advance the bar by the steps of a resumed training."""
        # Lightning counts the steps of every optimiser.
        if done := trainer.global_step // max(1, len(trainer.optimizers)):
            self._advance(done)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Pass the epoch to the training chips, which seeds their drawing."""
        loader: Any = trainer.train_dataloader
        loader.dataset.epoch = trainer.current_epoch

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Add the loss of the step and advance the bar."""
        self._loss, self._count = self._loss + outputs["loss"].detach(), self._count + 1
        self._advance(1, self._note)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report and log the errors of the epoch."""
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        if "mae" not in metrics:
            return
        epoch, epochs = trainer.current_epoch + 1, self.chips.recipe.epochs
        total = torch.as_tensor(self._loss, device=pl_module.device)
        loss = float(mean_over_processes(total) / max(self._count, 1))
        self._loss, self._count = 0.0, 0
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append({"epoch": epoch, **metrics, "loss": loss, "rate": float(rate)})
        self._note = (
            f"epoch {epoch}/{epochs}: error {metrics['mae']:.3g} m, "
            f"input {metrics['input_mae']:.3g} m"
        )
        if not (math.isfinite(metrics["mae"]) and math.isfinite(loss)):
            trainer.should_stop = True
            if trainer.is_global_zero and not self.quiet:
                note(
                    f"note: the training diverged in epoch {epoch} and stops; the best epoch is "
                    "kept"
                )
        if trainer.is_global_zero and self._log.folder is not None:
            self._log.write(self.history)
            self._log.draw(self.chips, _output(pl_module, self.chips), epoch, self._note)
        self._advance(0, self._note)

    def state_dict(self) -> dict[str, Any]:
        """Return the history of errors for the checkpoint."""
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of errors from a checkpoint."""
        self.history[:] = state_dict["history"]

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Close the progress bar and the log."""
        self._stack.close()
        self._log.close()


@torch.no_grad()
def _output(module: L.LightningModule, chips: ValidationChips) -> Array:
    """Return the output of the network for the example chip."""
    encoded, _truth, _gsd = chips.example()
    planes = torch.from_numpy(encoded.planes)[None].to(module.device)
    output: Tensor = module(planes)
    return np.asarray(output[0].float().cpu().numpy(), np.float32)
