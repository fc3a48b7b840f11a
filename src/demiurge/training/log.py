"""Log of a training on disk: a table, a picture per epoch and TensorBoard events."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import ResourceError
from demiurge.figure import Panel, draw
from demiurge.model.encoded import Encoded
from demiurge.training.dataset import ValidationChips

TABLE_NAME = "metrics.csv"
History = list[dict[str, float]]


@dataclass
class Log:
    """Writes the history of a training to a folder, if there is one.

    Attributes
    ----------
    folder
        Folder for ``metrics.csv`` and ``epoch_NNN.png``; None: nothing is written.
    """

    folder: Path | None = None
    _events: Any = field(default=None, repr=False)

    def open(self) -> None:
        """Make the folder, and open TensorBoard's event file if TensorBoard is installed.

        Raises
        ------
        ResourceError
            If the folder cannot be made.
        """
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
        """Write the complete table, so that a resumed training lists every epoch once."""
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

    def draw(self, chips: ValidationChips, output: Array, epoch: int, note: str) -> None:
        """Draw the example chip with the output of the network, (outputs, size, size)."""
        if self.folder is not None:
            encoded, truth, gsd = chips.example()
            panels = _panels(chips, encoded, truth, output)
            draw(self.folder / f"epoch_{epoch:03d}.png", note, panels, gsd, columns=5)

    def close(self) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()


def _panels(chips: ValidationChips, encoded: Encoded, truth: Array, output: Array) -> list[Panel]:
    """Return input, output, truth, error and uncertainty, one row per target."""
    contract = chips.contract
    decoded = contract.decode(output, encoded)
    panels = []
    for index, target in enumerate(contract.targets):
        start, heights, true = encoded.starts[index], decoded[index], truth[index]
        if contract.relative:
            known = np.isfinite(true)
            heights = heights - heights[known].mean() + true[known].mean()
        panels += [
            Panel(f"{target}: input", start, "height")
            if contract.base
            else Panel("first input", _grey(encoded.planes[0]), "image"),
            Panel("network", heights, "height"),
            Panel("truth", true, "height"),
            Panel("error", heights - true, "error"),
        ]
        if contract.uncertainty:
            uncertainty = decoded[len(contract.targets) + index]
            panels.append(Panel("uncertainty", uncertainty, "uncertainty"))
    return panels


def _grey(plane: Array) -> Array:
    return np.repeat(plane[..., None], 3, axis=2)
