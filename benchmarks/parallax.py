"""Correlation of two orthos at assumed heights, as planes that a network could see.

An ortho made with the heights ``h`` shows a point of height ``z`` displaced by ``d · (z - h)``,
where ``d`` is the displacement per metre of its view. At the right height both orthos show the
same point at the displaced pixels, and correlate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Relative parallax of the hypotheses in pixels, in the order of their signed heights.
STEPS = (-6, -4, -2, -1, 0, 1, 2, 4, 6)
#: Planes: one correlation per hypothesis, the most likely height, the height of one pixel of
#: parallax, and whether the views are known.
PLANES = len(STEPS) + 3
#: Side in pixels of the correlated squares, and the variance added to that of each image, which
#: is 1 over a scene.
SIDE, FLOOR = 5, 0.02
#: Least parallax in pixels per pixel size of height; below it the planes are absent.
LEAST = 0.05


class Pair(NamedTuple):
    """Two orthos (chips, 1, rows, columns) and their views.

    Attributes
    ----------
    left, right
        Images of zero mean and unit variance, NaN for no data.
    displacement
        (chips, 2, 2): pixels (row, column) per metre of height, of the left and the right image.
    """

    left: Tensor
    right: Tensor
    displacement: Tensor


def correlation(left: Tensor, right: Tensor) -> Tensor:
    """Return the zero-mean normalised cross-correlation of squares; NaN without complete data."""
    known = (torch.isfinite(left) & torch.isfinite(right)).float()
    a, b = (torch.nan_to_num(image) for image in (left, right))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, SIDE, stride=1, padding=SIDE // 2)

    full = mean(known) > 1 - 1e-4
    ma, mb = mean(a), mean(b)
    va, vb = ((mean(i * i) - m * m).clamp(min=0) for i, m in ((a, ma), (b, mb)))
    score = (mean(a * b) - ma * mb) / torch.sqrt((va + FLOOR) * (vb + FLOOR))
    return torch.where(full, score, float("nan"))


def at_heights(pair: Pair, change: Tensor) -> tuple[Tensor, Tensor]:
    """Return what both orthos show of points that lie ``change`` metres above the orthos' DSM."""
    return tuple(
        displaced(image, change * pair.displacement[:, i, :, None, None])
        for i, image in enumerate((pair.left, pair.right))
    )  # type: ignore[return-value]


def parallax_of(displacement: Tensor) -> Tensor:
    """Return the length of the parallax in pixels per metre of height: (chips,)."""
    return (displacement[:, 1] - displacement[:, 0]).norm(dim=-1)


def planes(pair: Pair, offset: Tensor, gsd: float, unit: float) -> Tensor:
    """Return the input planes (chips, PLANES, rows, columns); 0 where nothing is known.

    Parameters
    ----------
    offset
        (chips, 1, rows, columns): heights that the hypotheses are relative to, above those that
        the orthos were made with, in metres.
    gsd, unit
        Pixel size, and unit of the network's heights, in metres.
    """
    parallax = parallax_of(pair.displacement)
    seen = (parallax * gsd > LEAST).view(-1, 1, 1, 1)
    step = (1 / parallax.clamp(min=1e-6)).view(-1, 1, 1, 1)
    scores = [correlation(*at_heights(pair, offset + k * step)) for k in STEPS]
    score = torch.cat(scores, 1)
    known = torch.isfinite(score)
    score = torch.where(known, score, 0)
    likely = torch.softmax(torch.where(known, 12 * score, -12), 1)
    heights = torch.tensor(STEPS, device=score.device).view(1, -1, 1, 1) * step / unit
    best = (likely * heights).sum(1, keepdim=True).clamp(-4, 4)
    size = (step / unit).clamp(max=4).expand_as(best)
    parts = torch.cat([score, torch.where(known.any(1, keepdim=True), best, 0), size], 1)
    return torch.where(seen, torch.cat([parts, torch.ones_like(best)], 1), 0)


def displaced(image: Tensor, by: Tensor) -> Tensor:
    """Sample images at pixels displaced by (chips, 2, rows, columns) rows and columns."""
    rows, columns = image.shape[-2:]
    r = torch.arange(rows, dtype=image.dtype).view(1, -1, 1) + by[:, 0]
    c = torch.arange(columns, dtype=image.dtype).view(1, 1, -1) + by[:, 1]
    grid = torch.stack([2 * c / max(columns - 1, 1) - 1, 2 * r / max(rows - 1, 1) - 1], -1)
    known = torch.isfinite(image)
    both = torch.cat([torch.where(known, image, 0), known.to(image.dtype)], 1)
    sampled = F.grid_sample(both, grid, mode="bilinear", align_corners=True)
    return torch.where(sampled[:, 1:] > 0.99, sampled[:, :1], float("nan"))
