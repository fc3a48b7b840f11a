"""What happens around the steps: progress in metres, early stop, averaged weights."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from demiurge.progress import Advance, progress, silent
from demiurge.training.chips import Chips
from demiurge.training.recipe import Recipe

History = list[dict[str, float]]


def callbacks(recipe: Recipe, chips: Chips, quiet: bool) -> tuple[list[Callback], History]:
    """Return the callbacks of a training and the list that its history is kept in."""
    history: History = []
    found: list[Callback] = [_Progress(recipe, chips, history, quiet)]
    if recipe.patience is not None:
        found.append(EarlyStopping("mae", patience=recipe.patience))
    if recipe.ema:
        average: Any = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        found.append(WeightAveraging(multi_avg_fn=average))
    return found, history


class _Progress(Callback):
    """Shows the validation error in metres beside the input's own, and tells chips the epoch."""

    def __init__(self, recipe: Recipe, chips: Chips, history: History, quiet: bool) -> None:
        self.recipe, self.chips, self.history, self.quiet = recipe, chips, history, quiet
        self._stack = ExitStack()
        self._advance: Advance = silent
        self._note = ""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        steps = self.recipe.epochs * math.ceil(len(self.chips) / self.recipe.chips.batch)
        quiet = self.quiet or not trainer.is_global_zero
        bar = progress("train", steps, quiet=quiet, unit="steps")
        self._advance = self._stack.enter_context(bar)
        if trainer.global_step:
            self._advance(trainer.global_step)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.chips.epoch = trainer.current_epoch

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self._advance(1, self._note)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        found = {k: float(v) for k, v in trainer.callback_metrics.items()}
        if "mae" not in found:
            return
        self.history.append({"epoch": trainer.current_epoch + 1, **found})
        self._note = (
            f"epoch {trainer.current_epoch + 1}/{self.recipe.epochs}: error {found['mae']:.3g} m, "
            f"input {found['input_mae']:.3g} m"
        )
        self._advance(0, self._note)

    def state_dict(self) -> dict[str, Any]:
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history[:] = state_dict["history"]

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._stack.close()
