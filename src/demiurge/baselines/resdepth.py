"""The U-Net of ResDepth (Stucker and Schindler 2022, doi 10.1016/j.isprsjprs.2021.11.009)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResDepthUNet(nn.Module):
    """One convolution per level, max pooling down, transposed convolutions up, skips across.

    The outer residual connection is part of the contract, which adds the output to the base.

    Parameters
    ----------
    channels, outputs
        Number of input and output planes.
    depth
        Number of halvings of the resolution.
    first, widest
        Channels of the finest level, doubled at each halving up to ``widest``.
    """

    def __init__(
        self, channels: int, outputs: int, depth: int = 5, first: int = 64, widest: int = 512
    ) -> None:
        super().__init__()
        widths = [min(first * 2**level, widest) for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _level(wide, width)
            for wide, width in zip([channels, *widths[:-2]], widths[:-1], strict=True)
        )
        self.bottom = _level(widths[-2], widths[-1])
        self.raise_ = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2)
            for level in reversed(range(depth))
        )
        self.up = nn.ModuleList(
            _level(2 * widths[level], widths[level]) for level in reversed(range(depth))
        )
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(first, outputs, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Return outputs (batch, outputs, rows, columns) of planes (batch, channels, …)."""
        skips: list[Tensor] = []
        features = planes
        for level in self.down:
            features = level(features)
            skips.append(features)
            features = self.pool(features)
        features = self.bottom(features)
        for upsample, level in zip(self.raise_, self.up, strict=True):
            features = level(torch.cat([upsample(features), skips.pop()], dim=1))
        output: Tensor = self.head(features)
        return output


def _level(wide: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(wide, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
