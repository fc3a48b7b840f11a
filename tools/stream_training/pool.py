"""Scenes on the device: a thread takes them from the pool's folder while the network trains."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import scene_file


class Pool:
    """Scenes read so far, by pixel size.

    Parameters
    ----------
    folder
        Where scenes appear. They are removed once read, unless ``keep``.
    most
        Scenes to hold at most: 3.7 MB each on the device.
    """

    def __init__(self, folder: Path, device: torch.device, *, keep: bool, most: int) -> None:
        self.folder, self.device, self.keep, self.most = folder, device, keep, most
        self.scenes: dict[float, list[tuple[Tensor, Tensor]]] = {}
        self.count = 0
        self.stopped = False
        self._units = units(device)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        seen: set[str] = set()
        stream = torch.cuda.Stream() if self.device.type == "cuda" else None
        while not self.stopped and self.count < self.most:
            new = [p for p in sorted(self.folder.glob("s*.npz")) if p.name not in seen]
            for path in new:
                seen.add(path.name)
                self._take(path, stream)
                if self.stopped or self.count >= self.most:
                    break
            if not new:
                time.sleep(0.3)

    def _take(self, path: Path, stream: torch.cuda.Stream | None) -> None:
        try:
            planes, statistics, _ = scene_file.read(path)
        except Exception as error:  # a damaged file must not end the training
            print(f"cannot read {path.name}: {error}", flush=True)
            return
        scene = torch.from_numpy(planes), torch.from_numpy(statistics[1:])
        if stream is not None:
            with torch.cuda.stream(stream):
                scene = scene[0].to(self.device), scene[1].to(self.device)
            stream.synchronize()
        self.scenes.setdefault(round(float(statistics[0]), 3), []).append(scene)
        self.count += 1
        if not self.keep:
            path.unlink(missing_ok=True)

    def draw(self, count: int, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, float]:
        """Draw chips of one pixel size, rotated and mirrored; half have their images exchanged.

        Returns
        -------
        float32 (count, 7, side, side) with NaN for no data; float32 (count, 4) of the images;
        pixel size in metres.
        """
        sizes = {gsd: len(scenes) for gsd, scenes in list(self.scenes.items())}
        shares = np.array(list(sizes.values()), float)
        gsd = list(sizes)[int(rng.choice(len(sizes), p=shares / shares.sum()))]
        chips, statistics = [], []
        for _ in range(count):
            planes, figures = self.scenes[gsd][int(rng.integers(sizes[gsd]))]
            row, column = (int(rng.integers(s - side + 1)) for s in planes.shape[1:])
            chip = turned(planes[:, row : row + side, column : column + side], int(rng.integers(8)))
            if rng.random() < 0.5:
                chip, figures = chip[[0, 2, 1, 3, 4, 5, 6]], figures[[2, 3, 0, 1]]
            chips.append(chip)
            statistics.append(figures)
        return decoded(torch.stack(chips), self._units), torch.stack(statistics), gsd


def turned(chip: Tensor, way: int) -> Tensor:
    """Return one of the eight orientations of a chip."""
    if way & 1:
        chip = chip.transpose(1, 2)
    if way & 2:
        chip = chip.flip(1)
    return chip.flip(2) if way & 4 else chip


def units(device: torch.device) -> Tensor:
    """Return the units of a scene's planes: (1, 7, 1, 1)."""
    return torch.tensor(list(scene_file.UNITS.values()), device=device).view(1, -1, 1, 1)


def decoded(planes: Tensor, units: Tensor) -> Tensor:
    """Return stored planes (batch, 7, rows, columns) as float32, NaN for no data."""
    return torch.where(planes == scene_file.NONE, float("nan"), planes.float() * units)
