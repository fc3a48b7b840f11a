"""The networks of pix2pix (Isola et al. 2017, doi 10.1109/CVPR.2017.632), as in ImageToDEM."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Pix2PixGenerator(nn.Module):
    """U-Net that halves the resolution down to one pixel, with dropout in the deepest levels.

    Parameters
    ----------
    channels, outputs
        Number of input and output planes.
    depth
        Number of halvings: 8 for windows of 256 px. Windows must be multiples of 2^depth.
    first
        Channels of the finest level, doubled at each halving up to eight times.
    """

    def __init__(self, channels: int, outputs: int, depth: int = 8, first: int = 64) -> None:
        super().__init__()
        widths = [first * min(2**level, 8) for level in range(depth)]
        self.down = nn.ModuleList()
        for level, (wide, width) in enumerate(zip([channels, *widths], widths, strict=False)):
            # The first level is not normalised, nor the last, which has one pixel.
            self.down.append(_halving(wide, width, level not in (0, depth - 1), level > 0))
        self.up = nn.ModuleList()
        for level in reversed(range(1, depth)):
            wide = widths[level] * (1 if level == depth - 1 else 2)
            self.up.append(_doubling(wide, widths[level - 1], level >= depth - 4 and level > 1))
        self.head = nn.ConvTranspose2d(2 * first, outputs, 4, stride=2, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Return outputs (batch, outputs, rows, columns) of planes (batch, channels, …)."""
        skips: list[Tensor] = []
        features = planes
        for level in self.down:
            features = level(features)
            skips.append(features)
        features = skips.pop()
        for level in self.up:
            features = torch.cat([level(features), skips.pop()], dim=1)
        output: Tensor = self.head(torch.relu(features))
        return output


def _halving(wide: int, width: int, normalised: bool, activated: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if activated else []
    layers.append(nn.Conv2d(wide, width, 4, stride=2, padding=1, bias=not normalised))
    return nn.Sequential(*layers, *([nn.BatchNorm2d(width)] if normalised else []))


def _doubling(wide: int, width: int, dropped: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        *([nn.Dropout(0.5)] if dropped else []),
    )


class PatchDiscriminator(nn.Module):
    """Scores patches of 70 px: truth or output of a generator.

    Parameters
    ----------
    channels
        Number of planes of the condition and the heights.
    first
        Channels of the first layer.
    """

    def __init__(self, channels: int, first: int = 64) -> None:
        super().__init__()
        widths = [channels, first, 2 * first, 4 * first, 8 * first]
        layers: list[nn.Module] = []
        for level, (wide, width) in enumerate(pairwise(widths)):
            stride = 1 if level == 3 else 2
            layers.append(nn.Conv2d(wide, width, 4, stride, 1, bias=level == 0))
            layers += [] if level == 0 else [nn.BatchNorm2d(width)]
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, planes: Tensor) -> Tensor:
        """Return a score for each patch: (batch, 1, rows, columns), high for truth."""
        scores: Tensor = self.layers(planes)
        return scores
