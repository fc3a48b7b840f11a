"""One step of training: encoded chips, heights, loss, validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import scene_file
from augment import augmented
from demiurge.model.contract import Contract
from demiurge.model.losses import gradient_loss, laplace_nll, masked_mean
from demiurge.training.recipe import Recipe
from encoding import encode
from pool import Pool, decoded, units


@dataclass(frozen=True)
class Batch:
    """Chips as network and loss take them, in units of the network's output.

    Attributes
    ----------
    planes
        (chips, channels, side, side): what the network sees.
    wanted
        (chips, 2, side, side): true corrections of DSM and DTM, 0 where the truth is unknown.
    known
        The same, 1 where the truth is known.
    gap
        (chips, 1, side, side): how far the DSM's start lies above the DTM's.
    """

    planes: Tensor
    wanted: Tensor
    known: Tensor
    gap: Tensor

    def joined(self, other: Batch) -> Batch:
        """Return the chips of both."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return Batch(*(torch.cat(pair) for pair in pairs))


def prepared(
    window: Tensor, truth: Tensor, gsd: float, statistics: Tensor, contract: Contract
) -> Batch:
    """Encode windows (batch, 5, side, side) with their truth (batch, 2, side, side) in metres."""
    planes, starts, unit = encode(window, gsd, statistics, contract)
    known = torch.isfinite(truth)
    wanted = torch.where(known, (truth - starts) / unit, 0)
    return Batch(planes, wanted, known.float(), (starts[:, :1] - starts[:, 1:2]) / unit)


@torch.no_grad()
def make_batch(
    pool: Pool, recipe: Recipe, contract: Contract, groups: int, rng: np.random.Generator
) -> Batch:
    """Draw and augment a batch of chips, in groups of one pixel size each."""
    batch: Batch | None = None
    for _ in range(groups):
        values, statistics, gsd = pool.draw(recipe.chips.batch // groups, recipe.chips.size, rng)
        good, waves = recipe.augment.good_inputs, recipe.augment.waves
        window = augmented(values, statistics, gsd, good, waves)
        truth = values[:, scene_file.INPUTS :]
        made = prepared(window, truth, gsd, statistics, contract)
        batch = made if batch is None else batch.joined(made)
    assert batch is not None
    return batch


def output_of(network: nn.Module, batch: Batch) -> Tensor:
    """Apply the network: bf16 on a GPU, float32 on the CPU; the output is float32."""
    kind = batch.planes.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        output = network(batch.planes.contiguous(memory_format=torch.channels_last))
    return output.float()


def corrections(output: Tensor, batch: Batch) -> Tensor:
    """Return the corrections of DSM and DTM; the DTM never lies above the DSM."""
    highest = output[:, :1] + batch.gap
    return torch.cat([output[:, :1], torch.minimum(output[:, 1:2], highest)], 1)


def loss_of(output: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the recipe's loss."""
    heights, known = corrections(output, batch), batch.known
    error = (heights - batch.wanted) * known
    losses = recipe.losses
    return (
        losses.absolute * masked_mean(error.abs(), known)
        + losses.gradient * gradient_loss(heights, batch.wanted, known)
        + losses.uncertainty * laplace_nll(output[:, 2:], error, known)
    )


class Validation:
    """Scenes of held-out places that monitor the training; they select nothing."""

    def __init__(self, folder: Path, contract: Contract, device: torch.device) -> None:
        paths = sorted(folder.glob("*.npz"))
        self.scenes = [scene_file.read(path)[:2] for path in paths]
        self.contract, self.device = contract, device

    @torch.no_grad()
    def report(self, network: nn.Module) -> str:
        """Return MAE over the input's on stereo with images, and the change of an exact DSM."""
        network.eval()
        rows: dict[str, list[tuple[float, float, float]]] = {"stereo": [], "exact": []}
        for planes, statistics in self.scenes:
            values = decoded(torch.from_numpy(planes)[None], units(torch.device("cpu")))
            for kind, figures_of_kind in rows.items():
                figures = self._figures(network, values.to(self.device), statistics, kind)
                if figures is not None:
                    figures_of_kind.append(figures)
        network.train()
        if not rows["stereo"]:
            return "no validation"
        stereo, exact = (np.mean(rows[kind], 0) for kind in ("stereo", "exact"))
        return (
            f"stereo {stereo[0]:.3f} of the input's MAE ({stereo[1]:.2f} m, ground RMSE "
            f"{stereo[2]:.2f} m); exact DSM changed by {exact[1]:.3f} m, ground {exact[2]:.2f} m"
        )

    def _figures(
        self, network: nn.Module, values: Tensor, statistics: np.ndarray, kind: str
    ) -> tuple[float, float, float] | None:
        """Return MAE over the input's, MAE and the ground's RMSE in metres, over four windows."""
        gsd, side = float(statistics[0]), scene_file.SIZE // 2
        images = torch.from_numpy(statistics[1:])[None].to(self.device)
        window, truth = values[:, : scene_file.INPUTS].clone(), values[:, scene_file.INPUTS :]
        window[:, 3:] = float("nan")
        if kind == "exact":
            window[:, 0], window[:, 1:] = truth[:, 0], float("nan")
        sums = torch.zeros(5)
        for row in (0, side):
            for column in (0, side):
                part = (..., slice(row, row + side), slice(column, column + side))
                batch = prepared(window[part].contiguous(), truth[part], gsd, images, self.contract)
                heights = corrections(output_of(network, batch), batch)
                error, known = (heights - batch.wanted) * batch.known, batch.known
                before = (batch.wanted[:, 0] * known[:, 0]).abs().sum()
                after, ground = error[:, 0].abs().sum(), (error[:, 1] ** 2).sum()
                counts = known[:, 0].sum(), known[:, 1].sum()
                sums += torch.stack([after, before, ground, *counts]).cpu()
        after, before, ground, surface_count, ground_count = sums.tolist()
        if surface_count == 0:
            return None
        metres = self.contract.heights.metres(gsd)
        rmse = math.sqrt(ground / max(ground_count, 1)) * metres
        return after / max(before, 1e-6), after / surface_count * metres, rmse
