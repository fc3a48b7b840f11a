"""What happens around the steps: progress in metres, early stop, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from demiurge.console import note
from demiurge.model.losses import mean_over_processes
from demiurge.progress import Advance, progress, silent
from demiurge.training.dataset import ChipDataset
from demiurge.training.log import History, Log


def callbacks(
    chips: ChipDataset, log: Log, steps: int, quiet: bool
) -> tuple[list[Callback], History]:
    """Return the callbacks of a training and the list that its history is kept in.

    Parameters
    ----------
    chips
        For validation.
    steps
        Of the whole training.
    """
    history: History = []
    recipe = chips.recipe
    found: list[Callback] = [_Progress(chips, steps, history, log, quiet)]
    if recipe.patience is not None:
        found.append(EarlyStopping("mae", patience=recipe.patience))
    if recipe.ema:
        found.append(WeightAveraging(multi_avg_fn=averaging(recipe.ema)))
    return found, history


def averaging(decay: float) -> Callable[[Any, Any, Tensor], None]:
    """Return what updates exponential averages of weights, as torch's ``AveragedModel`` wants it.

    The decay rises to ``decay`` as (1 + n) / (10 + n) with the n-th step, as TensorFlow's
    ``ExponentialMovingAverage`` has it: in a short training the weights of chance that it began
    with would otherwise stay in the average.
    """

    def update(averages: Any, weights: Any, count: Tensor) -> None:
        n = int(count)
        now: Any = get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))  # type: ignore[no-untyped-call]
        now(averages, weights, count)

    return update


class _Progress(Callback):
    """Shows the validation error in metres beside the input's own, and writes the log."""

    def __init__(
        self, chips: ChipDataset, steps: int, history: History, log: Log, quiet: bool
    ) -> None:
        self.chips, self.steps, self.history = chips, steps, history
        self._log, self.quiet = log, quiet
        self._stack = ExitStack()
        self._advance: Advance = silent
        self._note = ""
        self._loss: Tensor | float = 0.0
        self._count = 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        quiet = self.quiet or not trainer.is_global_zero
        bar = progress("train", self.steps, quiet=quiet, unit="steps")
        self._advance = self._stack.enter_context(bar)
        if trainer.is_global_zero:
            self._log.begin()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning counts each optimiser's steps.
        if done := trainer.global_step // max(1, len(trainer.optimizers)):
            self._advance(done)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        loader.dataset.epoch = trainer.current_epoch

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self._loss, self._count = self._loss + outputs["loss"].detach(), self._count + 1
        self._advance(1, self._note)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        found = {k: float(v) for k, v in trainer.callback_metrics.items()}
        if "mae" not in found:
            return
        epoch, epochs = trainer.current_epoch + 1, self.chips.recipe.epochs
        total = torch.as_tensor(self._loss, device=pl_module.device)
        loss = mean_over_processes(total) / max(self._count, 1)
        self._loss, self._count = 0.0, 0
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append({"epoch": epoch, **found, "loss": float(loss), "rate": float(rate)})
        self._note = (
            f"epoch {epoch}/{epochs}: error {found['mae']:.3g} m, input {found['input_mae']:.3g} m"
        )
        if not (math.isfinite(found["mae"]) and math.isfinite(float(loss))):
            trainer.should_stop = True  # weights do not come back from NaN
            if trainer.is_global_zero and not self.quiet:
                note(f"note: the training diverged in epoch {epoch} and ends; the best one counts")
        if trainer.is_global_zero and self._log.folder is not None:
            self._log.write(self.history)
            self._log.picture(self.chips, _answer(pl_module, self.chips), epoch, self._note)
        self._advance(0, self._note)

    def state_dict(self) -> dict[str, Any]:
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history[:] = state_dict["history"]

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._stack.close()
        self._log.end()


@torch.no_grad()
def _answer(task: L.LightningModule, chips: ChipDataset) -> npt.NDArray[np.float32]:
    """Return what the network says to the telling chip."""
    encoded, _truth = chips.shown()
    planes = torch.from_numpy(encoded.planes)[None].to(task.device)
    found: Tensor = task(planes)
    return np.asarray(found[0].float().cpu().numpy(), np.float32)
