"""Several networks as one: the mean of their heights, and an uncertainty that has their spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Range of the logarithms of scales, as in the loss.
_LOGARITHMS = -12.0, 12.0


class Ensemble(nn.Module):
    """Networks of the same inputs and outputs whose heights are averaged.

    The predicted errors have Laplace distributions, whose variance is twice the squared scale. The
    variance of the mean is the mean of the members' variances plus the variance between their
    heights (Lakshminarayanan et al. 2017, doi:10.48550/arXiv.1612.01474).

    Parameters
    ----------
    members
        At least one network.
    targets
        Number of outputs that are heights; the others are logarithms of the scale of their errors.
    """

    def __init__(self, members: Sequence[nn.Module], targets: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.targets = targets

    def forward(self, planes: Tensor) -> Tensor:
        """Return outputs (batch, outputs, rows, columns) of planes (batch, channels, …)."""
        outputs = torch.stack([member(planes) for member in self.members])
        heights = outputs[:, :, : self.targets]
        mean = heights.mean(0)
        if outputs.shape[2] == self.targets:
            return mean
        # A scale squared is half a variance.
        own = (2 * outputs[:, :, self.targets :].clamp(*_LOGARITHMS)).exp().mean(0)
        between = (heights - mean).square().mean(0) / 2
        return torch.cat([mean, (own + between).log() / 2], 1)
