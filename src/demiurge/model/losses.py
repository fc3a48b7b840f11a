"""Losses over the pixels whose truth is known. Heights in the network's unit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from demiurge.model.processes import mean_over_processes


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` where ``mask`` is 1; 0 if it is nowhere.

    Of several processes each divides by the mean count, so that the mean over processes is the
    mean over all pixels.
    """
    return (values * mask).sum() / mean_over_processes(mask.sum()).clamp(min=1)


def gradient_loss(heights: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of the height differences to the right and downward.

    Parameters
    ----------
    heights, truth, mask
        (batch, targets, height, width); mask is 1 where the truth is known.
    """
    error = heights - truth
    across = masked_mean((error[..., 1:] - error[..., :-1]).abs(), mask[..., 1:] * mask[..., :-1])
    down = masked_mean(
        (error[..., 1:, :] - error[..., :-1, :]).abs(), mask[..., 1:, :] * mask[..., :-1, :]
    )
    return across + down


def laplace_nll(log_scale: Tensor, error: Tensor, mask: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of |error| under a Laplace distribution.

    The error is taken as given (no gradient), so that the heights follow the plain absolute
    error and the scale learns how large that is; a heavy-tailed likelihood would let the network
    give up on difficult pixels.
    """
    log_scale = log_scale.clamp(-12, 12)
    nll = math.log(2) + log_scale + error.detach().abs() * torch.exp(-log_scale)
    return masked_mean(nll, mask)


def centred(heights: Tensor, mask: Tensor, relative: Tensor) -> Tensor:
    """Return the heights of chips less their mean over the mask where ``relative`` is 1.

    Parameters
    ----------
    heights, mask
        (batch, targets, height, width).
    relative
        (batch, 1, 1, 1): 1 for chips whose heights are known up to an offset, else 0.
    """
    total = mask.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    return heights - relative * (heights * mask).sum(dim=(-2, -1), keepdim=True) / total
