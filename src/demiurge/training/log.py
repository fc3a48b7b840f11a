"""The course of a training on disk: a table, a picture for each epoch, TensorBoard's events."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import ResourceError
from demiurge.figure import Panel, draw
from demiurge.training.dataset import ChipDataset

TABLE_NAME = "metrics.csv"
History = list[dict[str, float]]


@dataclass
class Log:
    """A folder that a training is written down in, or nothing at all.

    Attributes
    ----------
    folder
        Holds ``metrics.csv`` and ``epoch_NNN.png``; None writes nothing.
    """

    folder: Path | None = None
    _events: Any = field(default=None, repr=False)

    def begin(self) -> None:
        """Make the folder."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{self.folder}: cannot be made ({error.strerror})", "choose another --log"
            ) from None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._events = SummaryWriter(str(self.folder))

    def write(self, history: History) -> None:
        """Write the whole table anew: after a resumption it has every epoch once."""
        if self.folder is None or not history:
            return
        partial = self.folder / ".metrics.csv"
        with partial.open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, list(history[-1]), extrasaction="ignore")
            rows.writeheader()
            rows.writerows(history)
        partial.replace(self.folder / TABLE_NAME)
        if self._events is not None:
            last = dict(history[-1])
            epoch = int(last.pop("epoch"))
            for name, value in last.items():
                self._events.add_scalar(name, value, epoch)
            self._events.flush()

    def picture(self, chips: ChipDataset, answer: Array, epoch: int, note: str) -> None:
        """Draw what the network makes of the telling chip."""
        if self.folder is not None:
            panels = _panels(chips, answer)
            place, _ = chips.telling
            gsd = chips.regions[place].scene.pixel_size
            draw(self.folder / f"epoch_{epoch:03d}.png", note, panels, gsd, columns=5)

    def end(self) -> None:
        """Close what is open."""
        if self._events is not None:
            self._events.close()


def _panels(chips: ChipDataset, answer: Array) -> list[Panel]:
    """Return input, output, truth, error and uncertainty, a row for each target."""
    encoded, truth = chips.shown()
    contract = chips.contract
    decoded = contract.decode(answer, encoded)
    panels = []
    for index, target in enumerate(contract.targets):
        start, found, true = encoded.starts[index], decoded[index], truth[index]
        if contract.relative:
            known = np.isfinite(true)
            found = found - found[known].mean() + true[known].mean()
        panels += [
            Panel(f"{target}: begins from", start, "height")
            if contract.base
            else Panel("first input", _grey(encoded.planes[0]), "image"),
            Panel("network", found, "height"),
            Panel("truth", true, "height"),
            Panel("error", found - true, "error"),
        ]
        if contract.uncertainty:
            spread = decoded[len(contract.targets) + index]
            panels.append(Panel("uncertainty", spread, "spread"))
    return panels


def _grey(plane: Array) -> Array:
    return np.repeat(plane[..., None], 3, axis=2)
