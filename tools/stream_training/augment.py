"""Augmentation of batches on the device: base heights of every quality, holes, missing layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from encoding import fill_voids

NAN = float("nan")


@dataclass(frozen=True)
class Draw:
    """Random numbers, one for each chip: (chips, 1, 1, 1)."""

    chips: int
    device: torch.device

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return uniform random numbers between two values."""
        return torch.rand(self.chips, 1, 1, 1, device=self.device) * (high - low) + low

    def log_uniform(self, low: float, high: float) -> Tensor:
        """Return log-uniform random numbers between two values."""
        return torch.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, share: float) -> Tensor:
        """Return True with a probability."""
        return torch.rand(self.chips, 1, 1, 1, device=self.device) < share


def augmented(
    values: Tensor, statistics: Tensor, gsd: float, good_inputs: float, waves: float
) -> Tensor:
    """Return augmented inputs of a batch of chips.

    Parameters
    ----------
    values
        float32 (chips, 7, side, side): DSM, left, right, NDVI, triangulation error, true DSM and
        DTM; NaN for no data.
    statistics
        float32 (chips, 4): mean and standard deviation of the left image, then of the right one.
    gsd
        Pixel size in metres.
    good_inputs
        Share of chips whose base starts from the truth.
    waves
        Share of chips that get smooth noise on the stereo DSM.

    Returns
    -------
    float32 (chips, 5, side, side), NaN for no data.
    """
    n, side = len(values), values.shape[-1]
    draw = Draw(n, values.device)
    stereo, truth = values[:, :1], values[:, 5:6]
    good = draw.chance(good_inputs)
    height = torch.where(draw.chance(waves), draw.log_uniform(0.05, 0.5) * (gsd / 0.5) ** 0.5, 0)
    noisy = stereo + height * smooth_noise(draw, side)
    base = torch.where(good, good_base(stereo, truth, draw), noisy)
    hole = torn(draw, side)
    enough = torch.isfinite(base).float().mean((1, 2, 3), keepdim=True) > 0.3
    base = torch.where(hole & enough, NAN, base)
    images = _images(values[:, 1:3], statistics, good, draw)
    ndvi = torch.where(draw.chance(0.4), NAN, values[:, 3:4])
    error = torch.where(good, values[:, 4:5] * draw.uniform(), values[:, 4:5])
    missing = draw.chance(0.45) | (good & draw.chance(0.4)) | torch.isnan(base)
    return torch.cat([base, images, ndvi, torch.where(missing, NAN, error)], 1)


def _images(images: Tensor, statistics: Tensor, good: Tensor, draw: Draw) -> Tensor:
    """Vary brightness and contrast; leave out one image or both."""
    n, device = draw.chips, draw.device
    image = statistics.view(n, 4, 1, 1)
    mean, deviation = image[:, 0::2], image[:, 1::2]
    gain = 1 + 0.1 * torch.randn(n, 2, 1, 1, device=device)
    shift = 0.1 * torch.randn(n, 2, 1, 1, device=device) * deviation
    images = (images - mean) * gain + mean + shift
    gone = torch.rand(n, 2, 1, 1, device=device) < 0.1
    gone = gone | draw.chance(0.15) | (good & draw.chance(0.25))
    return torch.where(gone, NAN, images)


def good_base(stereo: Tensor, truth: Tensor, draw: Draw) -> Tensor:
    """Return heights that start from the truth: exact, or a little worse.

    A part of the stereo's error, blur, white and smooth noise, and rounded heights, each on some
    chips; half of the chips keep the stereo's voids.
    """
    exact = draw.chance(0.25)
    share = torch.where(draw.chance(0.4), draw.uniform(0.1, 0.6), 0)
    there = torch.isfinite(stereo) | (share == 0)
    heights = torch.where(there, truth + share * torch.nan_to_num(stereo - truth), NAN)
    soft = draw.chance(0.3)
    full, known = fill_voids(heights)
    heights = torch.where(soft & known, blurred(full, draw.uniform(0.4, 1.0)), heights)
    white = torch.where(draw.chance(0.35), draw.log_uniform(0.02, 0.2), 0)
    heights = heights + white * torch.randn_like(heights)
    smooth = torch.where(draw.chance(0.3), draw.log_uniform(0.03, 0.4), 0)
    heights = heights + smooth * smooth_noise(draw, heights.shape[-1])
    step = draw.log_uniform(0.05, 0.5)
    heights = torch.where(draw.chance(0.2), torch.round(heights / step) * step, heights)
    heights = torch.where(exact, truth, heights)
    return torch.where(draw.chance(0.5) & ~torch.isfinite(stereo), NAN, heights)


def smooth_noise(draw: Draw, side: int) -> Tensor:
    """Return smooth noise of unit standard deviation and, per chip, a scale of 2 to 17 pixels."""
    noise = torch.zeros(draw.chips, 1, side, side, device=draw.device)
    pick = torch.randint(0, 5, (draw.chips, 1, 1, 1), device=draw.device)
    for i, step in enumerate((2, 3, 5, 9, 17)):
        m = side // step + 3
        field = F.interpolate(
            torch.randn(draw.chips, 1, m, m, device=draw.device),
            scale_factor=step, mode="bicubic", align_corners=False,
        )  # fmt: skip
        first = int(torch.randint(0, step, (1,)))
        field = field[..., first : first + side, first : first + side]
        field = field / field.std((-2, -1), keepdim=True).clamp(min=1e-6)
        noise = torch.where(pick == i, field, noise)
    return noise


def blurred(heights: Tensor, sigma: Tensor) -> Tensor:
    """Return heights (chips, 1, side, side) blurred by a Gaussian of each chip's sigma, 5 taps."""
    n = len(heights)
    taps = torch.arange(-2, 3, device=heights.device, dtype=torch.float32)
    kernel = torch.exp(-(taps.view(1, -1) ** 2) / (2 * sigma.view(-1, 1) ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    grouped = heights.transpose(0, 1)
    for pad, shape in (([2, 2, 0, 0], (n, 1, 1, 5)), ([0, 0, 2, 2], (n, 1, 5, 1))):
        padded = F.pad(grouped, pad, mode="replicate")
        grouped = F.conv2d(padded, kernel.view(shape), groups=n)
    return grouped.transpose(0, 1)


def torn(draw: Draw, side: int) -> Tensor:
    """Return the mask of a ragged void, on some chips: bool (chips, 1, side, side)."""
    rough = F.interpolate(
        torch.randn(draw.chips, 1, 14, 14, device=draw.device),
        size=(side, side), mode="bicubic", align_corners=False,
    )  # fmt: skip
    y = torch.arange(side, device=draw.device, dtype=torch.float32).view(1, 1, -1, 1)
    x = y.transpose(2, 3)
    away = torch.sqrt((y - draw.uniform(0, side)) ** 2 + (x - draw.uniform(0, side)) ** 2)
    away = away / (draw.log_uniform(0.02, 0.25) * side)
    return (away + 0.5 * rough / rough.std() < 1) & draw.chance(0.3)
