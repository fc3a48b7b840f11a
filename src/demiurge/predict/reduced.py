"""A judgement of a bundle on the user's own scene, where the truth is known: at reduced resolution.

Image and prior are both made coarser by as much as the prior is coarser than the image. The prior
that there is then stands where a finer truth would, and what the network makes of the coarser one
can be held against it. Pansharpening is judged so since Wald et al. 1997 (Photogramm. Eng. Remote
Sens. 63(6), 691 to 699).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from demiurge.layers import PRIOR, Kind
from demiurge.predict.cells import back_projected, cells_under
from demiurge.predict.runtime import Runtime
from demiurge.predict.tie import Tie
from demiurge.predict.turns import gather, turns_of
from demiurge.raster.voids import fill_voids
from demiurge.scene.grid import Window

if TYPE_CHECKING:
    from demiurge.predict.job import Job

Array = npt.NDArray[np.float32]

#: Pixels a side of the pieces of a scene that are looked at, and how many there are at most.
_PIECE, _PIECES = 1536, 4
#: Fewest coarse pixels a side that a judgement can rest on, and of a block in its jackknife.
_LEAST, _BLOCK = 32, 12
#: The detail is kept as far as it is sure to help: so many standard errors below the best share.
_SURE = 1.0
#: Spread factors beyond these say more of the judgement than of the network.
_FACTORS = (0.05, 5.0)
#: A Laplace distribution holds 90 % within so many scales; a spread is √2 scales.
_NINETY = math.log(10) / math.sqrt(2)


@dataclass(frozen=True)
class Judgement:
    """What a bundle is worth on a scene at reduced resolution.

    Attributes
    ----------
    detail
        Share of the network's finer part that helps for sure, 0 to 1.
    spread
        Factor that makes the predicted uncertainty hold 90 % of the errors.
    ratio
        RMSE with that share over that of the interpolated prior.
    coarser
        How many times coarser image and prior were made.
    """

    detail: float
    spread: float
    ratio: float
    coarser: int

    def __str__(self) -> str:
        return (
            f"judged on this scene made {self.coarser} times coarser, where the prior tells the "
            f"truth, {self.detail:.0%} of the bundle's detail is kept; the RMSE there is "
            f"{self.ratio:.2f} of the interpolated prior's"
        )


@dataclass(frozen=True)
class _Piece:
    """Coarse heights of one piece, float32 of one shape: interpolated, tied, and the truth.

    ``detail`` is what the network adds to ``tied``; ``spread`` its uncertainty, if it tells one.
    The truth is NaN where there is none.
    """

    interpolated: Array
    tied: Array
    detail: Array
    truth: Array
    spread: Array | None


def judge(job: Job, tie: Tie, runtime: Runtime) -> Judgement | None:
    """Judge a job's bundle on its scene at reduced resolution.

    Returns
    -------
    The judgement; None if the scene is too small for one, or its prior has too many voids.
    """
    rows, columns = job.scene.shape
    factor = max(2, round(tie.cells(Window(rows // 2, columns // 2, 1, 1), 8).size))
    pieces = list(_pieces(job, runtime, factor))
    block = max(_BLOCK, 2 * factor)
    sums = [part for piece in pieces for part in _sums(piece, block)]
    if len(sums) < 4:
        return None
    detail = _sure_share(np.array(sums))
    before = math.sqrt(_mean([(p.interpolated - p.truth) ** 2 for p in pieces]))
    errors = [p.tied + np.float32(detail) * p.detail - p.truth for p in pieces]
    ratio = math.sqrt(_mean([e**2 for e in errors])) / before if before > 0 else 1.0
    return Judgement(detail, _spread(errors, pieces), ratio, factor)


def _pieces(job: Job, runtime: Runtime, factor: int) -> Iterator[_Piece]:
    """Ask the network at reduced resolution."""
    contract, scene = job.bundle.contract, job.scene
    names = [n for n in contract.names if n in scene.layers]
    normals, turns = contract.normals(scene), turns_of(job.tta)
    for window in _windows(scene.shape, factor, min(job.plan.size, _PIECE // factor)):
        side = window.height // factor
        found = np.full((len(contract.names), side, side), np.nan, np.float32)
        for name in names:
            kind = contract.layers[contract.names.index(name)].kind
            found[contract.names.index(name)] = _coarse(
                scene.read(window, [name])[0], factor, mask=kind is Kind.MASK
            )
        scene.release()
        truth = found[contract.names.index(PRIOR)].copy()
        known = np.isfinite(truth)
        if not known.any():
            continue
        cells = cells_under(side, ((0, 1 / factor, 0), (0, 0, 1 / factor)))
        prior = cells.spread(cells.means(fill_voids(truth, known)), spline=False)
        found[contract.names.index(PRIOR)] = prior
        beyond = (0, job.plan.size - side)
        square = np.pad(found, ((0, 0), beyond, beyond), mode="symmetric")
        encoded = contract.encode(square, scene.pixel_size * factor, normals)
        answers = list(runtime.answers((turn.forth(encoded.planes) for turn in turns), 2))
        values = gather(contract, encoded, answers, turns)[:, :side, :side]
        tied = back_projected(np.zeros_like(prior), prior, cells)
        changed = back_projected(values[0] - prior, prior, cells)
        inside = (slice(factor, -factor),) * 2
        yield _Piece(
            prior[inside], tied[inside], (changed - tied)[inside], truth[inside],
            values[len(contract.targets)][inside] if contract.uncertainty else None,
        )  # fmt: skip


def _windows(shape: tuple[int, int], factor: int, most: int) -> Iterator[Window]:
    """Yield squares spread over a raster, whole multiples of a coarse prior's pixels a side."""
    side = min(most, *(n // factor for n in shape)) // factor * factor
    if side < _LEAST:
        return
    wide = side * factor
    counts = [min(2, n // wide) for n in shape]
    for i in range(counts[0]):
        for j in range(counts[1]):
            row, col = (
                (n - wide) * (2 * k + 1) // (2 * c)
                for n, k, c in zip(shape, (i, j), counts, strict=True)
            )
            yield Window(row, col, wide, wide)


def _coarse(plane: Array, factor: int, *, mask: bool) -> Array:
    rows, columns = (n // factor for n in plane.shape)
    found = plane.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(np.rint(found) if mask else found, np.float32)


def _sums(piece: _Piece, block: int) -> Iterator[tuple[float, float]]:
    """Yield for each block what the detail shares with what is needed, and with itself."""
    need = (piece.truth - piece.tied).astype(np.float64)
    detail = piece.detail.astype(np.float64)
    for row in range(0, need.shape[0] - block + 1, block):
        for col in range(0, need.shape[1] - block + 1, block):
            here = (slice(row, row + block), slice(col, col + block))
            if not np.isfinite(need[here]).all():
                continue
            yield float((need[here] * detail[here]).sum()), float((detail[here] ** 2).sum())


def _sure_share(sums: npt.NDArray[np.float64]) -> float:
    """Return the least-squares share less its jackknife standard error, within 0 and 1."""
    total = sums.sum(axis=0)
    if total[1] <= 0:
        return 0.0
    without = (total[0] - sums[:, 0]) / np.maximum(total[1] - sums[:, 1], 1e-12 * total[1])
    count = len(sums)
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    return float(np.clip(total[0] / total[1] - _SURE * error, 0, 1))


def _spread(errors: list[Array], pieces: list[_Piece]) -> float:
    spreads = [p.spread for p in pieces if p.spread is not None]
    if not spreads:
        return 1.0
    shares = np.concatenate([
        (np.abs(e) / s).ravel() for e, s in zip(errors, spreads, strict=True)
    ])  # fmt: skip
    return float(np.clip(np.nanquantile(shares, 0.9) / _NINETY, *_FACTORS))


def _mean(planes: list[Array]) -> float:
    return float(np.nanmean(np.concatenate([p.ravel() for p in planes]), dtype=np.float64))


def settled(tie: Tie, judgement: Judgement | None) -> Tie:
    """Return the tie with what a judgement says; unchanged where there is none."""
    if judgement is None:
        return tie
    return replace(tie, detail=judgement.detail, spread=judgement.spread)
