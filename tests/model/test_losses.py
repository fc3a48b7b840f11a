"""Losses."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from demiurge.model.losses import (  # noqa: E402
    centred,
    gradient_loss,
    laplace_nll,
    masked_mean,
    relief,
)


def test_masked_pixels_are_ignored() -> None:
    values = torch.tensor([1.0, 100.0, 3.0])
    mask = torch.tensor([1.0, 0.0, 1.0])
    assert masked_mean(values, mask) == 2.0
    assert masked_mean(values, mask * 0) == 0.0


def test_gradient_loss_ignores_an_offset_but_not_a_tilt() -> None:
    truth = torch.rand(2, 1, 8, 8)
    mask = torch.ones_like(truth)
    assert gradient_loss(truth + 5, truth, mask) < 1e-6
    tilt = 0.5 * torch.arange(8.0)
    assert gradient_loss(truth + tilt, truth, mask) == pytest.approx(0.5, abs=1e-5)


def test_gradient_loss_of_wide_forms_counts_at_large_strides() -> None:
    truth, mask = torch.rand(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    tilt = torch.arange(32.0).expand(1, 1, 32, 32) * 0.5
    error = gradient_loss(truth + tilt, truth, mask, (1, 8))
    assert error == pytest.approx(0.5 + 8 * 0.5, abs=1e-5)


def test_relief_is_that_of_relative_chips_and_not_below_a_minimum() -> None:
    truth = torch.zeros(3, 1, 8, 8)
    truth[0, ..., ::2], truth[0, ..., 1::2] = 2.0, -2.0
    truth[1] = truth[0]
    mask = torch.ones(3, 1, 8, 8)
    mask[0, :, 4:] = 0  # half of the pixels are known
    relative = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    assert relief(truth, mask, relative).flatten().tolist() == pytest.approx([2.0, 1.0, 0.05])


def test_gradient_loss_skips_steps_across_the_mask() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    heights = truth.clone()
    heights[..., 2] = 1e6
    mask = torch.ones_like(truth)
    mask[..., 2] = 0
    assert gradient_loss(heights, truth, mask) == 0


def test_laplace_likelihood_is_best_at_the_mean_absolute_error() -> None:
    error = torch.tensor([1.0, 2.0, 3.0])
    mask = torch.ones(3)
    at = {b: float(laplace_nll(torch.full((3,), np.log(b)), error, mask)) for b in (1.0, 2.0, 4.0)}
    assert at[2.0] == min(at.values())


def test_the_scale_gives_the_heights_no_gradient() -> None:
    error = torch.ones(3, requires_grad=True)
    log_scale = torch.zeros(3, requires_grad=True)
    laplace_nll(log_scale, error, torch.ones(3)).backward()
    assert error.grad is None
    assert log_scale.grad is not None


def test_centred() -> None:
    heights = torch.tensor([[[[1.0, 3.0], [99.0, 2.0]]]])
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 1.0]]]])
    relative = torch.ones(1, 1, 1, 1)
    assert centred(heights, mask, relative)[0, 0, 0].tolist() == [-1.0, 1.0]
    assert torch.equal(centred(heights, mask, 0 * relative), heights)
