"""The contract's encoding of windows, for batches in PyTorch.

The same numbers as :meth:`demiurge.model.contract.Contract.encode`, but for two things. Gaps in the
distribution of heights are not narrowed: 2 % of the chips have one, at cliffs and high towers.
Relief planes are not made: the recipe has none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from demiurge.model.contract import Contract

Pick = Callable[[Tensor, Tensor], Tensor]


def encode(
    window: Tensor, gsd: float, statistics: Tensor, contract: Contract
) -> tuple[Tensor, Tensor, float]:
    """Encode windows of layers as input planes of the network.

    Parameters
    ----------
    window
        float32 (batch, layers, height, width) in the contract's order, the base first, NaN for no
        data. Sides are powers of two.
    gsd
        Pixel size in metres, of all windows.
    statistics
        float32 (batch, 4): mean and standard deviation of the left image, then of the right one.

    Returns
    -------
    Planes (batch, channels, height, width); starts in metres (batch, targets, height, width), to
    which corrections are added; metres of one unit of the network's output.
    """
    unit = contract.heights.metres(gsd)
    known = torch.isfinite(window)
    base, measured = fill_voids(window[:, :1])
    count = measured.sum((-2, -1), keepdim=True)
    total = torch.where(measured, window[:, :1], 0).sum((-2, -1), keepdim=True)
    middle = torch.where(count > 0, total / count.clamp(min=1), 0)
    about = base - middle
    planes = [(about - tent_mean(about, contract.local)) / unit]
    image = statistics.view(-1, 4, 1, 1)
    normals = {
        "ortho_left": (image[:, 0:1], image[:, 1:2]),
        "ortho_right": (image[:, 2:3], image[:, 3:4]),
    }
    for i, layer in enumerate(contract.layers[1:], start=1):
        offset, scale = normals.get(layer.name, (layer.offset, layer.scale))
        planes.append(torch.where(known[:, i : i + 1], (window[:, i : i + 1] - offset) / scale, 0))
    planes.append(known.float())
    for side in contract.ground:
        opened = smooth_opening(about, round(side / gsd))
        planes.append((about - opened) / unit)
    return torch.cat(planes, 1), torch.cat([base, opened + middle], 1), unit


def fill_voids(heights: Tensor) -> tuple[Tensor, Tensor]:
    """Fill NaN by pull-push interpolation, as :func:`demiurge.raster.voids.fill_voids`.

    Parameters
    ----------
    heights
        (batch, 1, height, width), sides powers of two; all NaN becomes 0.

    Returns
    -------
    The filled heights, and where they were measured.
    """
    known = torch.isfinite(heights)
    count = known.sum((-2, -1), keepdim=True).clamp(min=1)
    about = torch.where(known, heights, 0).sum((-2, -1), keepdim=True) / count
    values = torch.where(known, heights - about, 0)
    levels = [(values, known)]
    while min(values.shape[-2:]) > 1:
        weight = 4 * F.avg_pool2d(levels[-1][1].float(), 2)
        values = torch.where(weight > 0, 4 * F.avg_pool2d(values, 2) / weight.clamp(min=1), 0)
        levels.append((values, weight > 0))
    filled = levels[-1][0]
    for values, there in reversed(levels[:-1]):
        finer = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
        filled = torch.where(there, values, finer)
    return torch.where(known, heights, filled + about), known


def smooth_opening(heights: Tensor, side: int) -> Tensor:
    """Return an opening by a square of ``side`` pixels, smoothed over about half a side."""
    return tent_mean(opening(heights, side), 1 << max(int(side) // 4, 1).bit_length())


def opening(heights: Tensor, side: int) -> Tensor:
    """Return the highest of the lowest within a square of ``side`` pixels, made odd."""
    reach = max(side, 1) // 2
    if reach == 0:
        return heights
    lowest = _slide(_slide(heights, reach, torch.minimum, -2), reach, torch.minimum, -1)
    return _slide(_slide(lowest, reach, torch.maximum, -2), reach, torch.maximum, -1)


def tent_mean(heights: Tensor, width: int) -> Tensor:
    """Return tent-weighted means that reach ``width`` pixels, a power of two."""
    rows, columns = [0, 0, width - 1, width - 1], [width - 1, width - 1, 0, 0]
    for dim, pad in ((-2, rows), (-1, columns)):
        heights = F.pad(heights, pad, mode="replicate")
        heights = _box(_box(heights, width, dim), width, dim)
    return heights


def _box(values: Tensor, width: int, dim: int) -> Tensor:
    """Return the means of runs of ``width`` values, a power of two."""
    step = 1
    while step < width:
        n = values.shape[dim] - step
        values = values.narrow(dim, 0, n) + values.narrow(dim, step, n)
        step *= 2
    return values / width


def _slide(values: Tensor, reach: int, pick: Pick, dim: int) -> Tensor:
    """Return the extreme within ``reach`` pixels along a dimension."""
    pad = [reach, reach, 0, 0] if dim == -1 else [0, 0, reach, reach]
    outside = float("inf") if pick is torch.minimum else float("-inf")
    return _runs(F.pad(values, pad, value=outside), 2 * reach + 1, pick, dim)


def _runs(values: Tensor, length: int, pick: Pick, dim: int) -> Tensor:
    """Return the extreme of every run of ``length`` values, by doubling."""

    def paired(values: Tensor, step: int) -> Tensor:
        n = values.shape[dim] - step
        return pick(values.narrow(dim, 0, n), values.narrow(dim, step, n))

    width = 1
    while 2 * width <= length:
        values = paired(values, width)
        width *= 2
    return paired(values, length - width) if length > width else values
