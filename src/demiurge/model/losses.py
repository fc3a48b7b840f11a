"""Losses over pixels with known truth, in the network's unit, and sums over several processes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as dist

#: Minimum relief of a chip, in the network's unit.
_FLAT = 0.05


def process_count() -> int:
    """Return the number of processes that train together; 1 without torch.distributed."""
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    return int(dist.get_world_size())


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a number over all processes, without gradient."""
    if process_count() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` where ``mask`` is 1; 0 if ``mask`` is 0 everywhere.

    Each process divides by the mean pixel count of all processes, so that the mean over processes
    is the mean over all pixels.
    """
    return (values * mask).sum() / mean_over_processes(mask.sum()).clamp(min=1)


def gradient_loss(
    heights: Tensor, truth: Tensor, mask: Tensor, strides: Sequence[int] = (1,)
) -> Tensor:
    """Return the mean absolute error of height differences, summed over rows, columns and strides.

    Parameters
    ----------
    heights, truth, mask
        (batch, targets, height, width); mask is 1 where the truth is known. Differences that
        involve a masked pixel are left out.
    strides
        Distances in pixels, less than height and width.
    """
    error = heights - truth
    parts = []
    for k in strides:
        across, down = error[..., k:] - error[..., :-k], error[..., k:, :] - error[..., :-k, :]
        parts.append(masked_mean(across.abs(), mask[..., k:] * mask[..., :-k]))
        parts.append(masked_mean(down.abs(), mask[..., k:, :] * mask[..., :-k, :]))
    return torch.stack(parts).sum()


def laplace_nll(log_scale: Tensor, error: Tensor, mask: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of ``error`` under a Laplace distribution.

    No gradient flows through the error: the heights are trained by the absolute error alone, and
    the scale learns its size. With a gradient, the network could lower the loss on difficult
    pixels by raising the scale instead of improving the heights.

    Parameters
    ----------
    log_scale
        Natural logarithm of the Laplace scale; clamped to -12 to 12.
    """
    log_scale = log_scale.clamp(-12, 12)
    nll = math.log(2) + log_scale + error.detach().abs() * torch.exp(-log_scale)
    return masked_mean(nll, mask)


def centred(heights: Tensor, mask: Tensor, relative: Tensor) -> Tensor:
    """Subtract the mean over the mask from the heights of chips whose ``relative`` is 1.

    Parameters
    ----------
    heights, mask
        (batch, targets, height, width).
    relative
        (batch, 1, 1, 1): 1 for chips whose heights are relative, else 0.
    """
    total = mask.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    return heights - relative * (heights * mask).sum(dim=(-2, -1), keepdim=True) / total


def relief(truth: Tensor, mask: Tensor, relative: Tensor) -> Tensor:
    """Return the standard deviation of the truth of each chip; 1 for chips of absolute heights.

    Parameters
    ----------
    truth, mask
        (batch, targets, height, width); the truth has zero mean over the mask.
    relative
        (batch, 1, 1, 1): 1 for chips whose heights are relative, else 0.

    Returns
    -------
    (batch, targets, 1, 1), at least 0.05.
    """
    total = mask.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    variance = (truth.square() * mask).sum(dim=(-2, -1), keepdim=True) / total
    return relative * variance.sqrt().clamp(min=_FLAT) + (1 - relative)
