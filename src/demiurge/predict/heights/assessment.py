"""Judge a bundle on the user's own scene at reduced resolution, where the prior is the truth.

Image and prior are both made coarser by as much as the prior is coarser than the image. The
network's result for the coarser prior is compared with the prior as it is. Pansharpening is judged
so since Wald et al. 1997 (Photogramm. Eng. Remote Sens. 63(6), 691 to 699).

Where that cannot be done, none of the bundle's detail is added. How far heights are off is always
taken from the prior alone: made 2 times coarser and sharpened again, it misses itself about as much
as its sharpened heights miss the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array
from demiurge.layers import PRIOR, Kind
from demiurge.predict.heights.backprojection import back_projected, cells_under
from demiurge.predict.heights.prior import PriorConstraint
from demiurge.predict.inference import Network, predict_windows
from demiurge.predict.tiling import Tiling
from demiurge.raster.voids import fill_voids
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Pixels a side of the pieces of a scene that are looked at, unless the prior asks for more, and
#: how many pixels are read at most.
_PIECE, _MOST = 1536, 2 * 10**8
#: Fewest coarse pixels a side of a piece; of a block in the jackknife, and fewest blocks.
_LEAST, _BLOCK, _BLOCKS = 32, 12, 4
#: The detail is kept as far as it is sure to help: so many standard errors below the best share.
_SURE = 1.0
#: Factors on the predicted uncertainty, at most.
_FACTORS = (0.02, 20.0)
#: Pixels of the prior a side of the places that the uncertainty is taken from: fewest; fewest from
#: which it may be less than predicted; most of one place; of several.
_FEW, _ENOUGH, _ONE, _SEVERAL = 4, 16, 64, 48


@dataclass(frozen=True)
class Assessment:
    """What a bundle is worth on a scene at reduced resolution.

    Attributes
    ----------
    detail
        Share of the network's finer part that is kept, 0 to 1: what helps for sure, or what the
        user asks for.
    spread
        Factor on the predicted uncertainty, which brings its RMS to ``missed``.
    ratio
        RMSE with that share over that of the interpolated prior; NaN if not judged.
    coarser
        How many times coarser image and prior were made.
    reason
        Why the bundle could not be judged; empty if it was.
    missed
        RMS error in metres that is to be expected; NaN where the prior has too few pixels.
    told
        The user asked for that share of the detail.
    """

    detail: float
    spread: float
    ratio: float
    coarser: int
    reason: str = ""
    missed: float = math.nan
    told: bool = False

    @property
    def judged(self) -> bool:
        """Tell whether the scene allowed a judgement."""
        return not self.reason

    def __str__(self) -> str:
        doubt = (
            "the prior has too few pixels to say how far it is off, so that the uncertainty is the "
            "bundle's own"
            if math.isnan(self.missed)
            else f"about {self.missed:.3g} m of RMS error are to be expected, as the prior misses "
            "itself when made 2 times coarser"
        )
        if self.judged:
            kept = "is kept as told" if self.told else "is kept"
            return (
                f"judged on this scene made {self.coarser} times coarser, where the prior tells "
                f"the truth, {self.detail:.0%} of the bundle's detail {kept}; the RMSE there is "
                f"{self.ratio:.2f} of the interpolated prior's; {doubt}"
            )
        added = f"{self.detail:.0%} of its detail, as told, is" if self.told else "no detail is"
        return f"the bundle is not judged and {added} added: {self.reason}; {doubt}"


@dataclass(frozen=True)
class _Piece:
    """Coarse heights of one piece, float32 of one shape: interpolated, tied, and the truth.

    ``detail`` is what the network adds to ``tied``. The truth is NaN where there is none.
    """

    interpolated: Array
    tied: Array
    detail: Array
    truth: Array


def assess(
    scene: Scene,
    network: Network,
    tiling: Tiling,
    constraint: PriorConstraint,
    detail: float | None,
) -> Assessment:
    """Assess a bundle on a scene at reduced resolution.

    Parameters
    ----------
    detail
        Share of the bundle's detail that the user wants; None to determine it.

    Returns
    -------
    The judgement; one with a ``reason`` where scene, window or prior do not allow it.
    """
    rows, columns = scene.shape
    factor = max(2, round(constraint.cells(Window(rows // 2, columns // 2, 1, 1), 8).size))
    reason, windows = _windows(scene.shape, factor, tiling.size)
    pieces = list(_pieces(scene, network, tiling.size, factor, windows))
    sums = [part for piece in pieces for part in _sums(piece, _block(factor))]
    if not reason and len(sums) < _BLOCKS:
        reason = "the prior has too many voids"
    told = detail is not None
    if reason:
        missed, spread = _expected(scene, network, tiling, factor)
        return Assessment(detail or 0.0, spread, math.nan, factor, reason, missed, told)
    detail = _sure_share(np.array(sums)) if detail is None else detail
    before, sharp, after = (
        math.sqrt(_mean([(found - p.truth) ** 2 for p, found in zip(pieces, heights, strict=True)]))
        for heights in (
            [p.interpolated for p in pieces],
            [p.tied for p in pieces],
            [p.tied + np.float32(detail) * p.detail for p in pieces],
        )
    )
    share = after / sharp if sharp > 0 else 1.0
    missed, spread = _expected(scene, network, tiling, factor, share)
    ratio = after / before if before > 0 else 1.0
    return Assessment(detail, spread, ratio, factor, missed=missed, told=told)


def _block(factor: int) -> int:
    """Return the side of a block in the jackknife, in coarse pixels."""
    return max(_BLOCK, 2 * factor)


def _pieces(
    scene: Scene, network: Network, size: int, factor: int, windows: list[Window]
) -> Iterator[_Piece]:
    """Run the network at reduced resolution."""
    contract = network.contract
    names = [n for n in contract.names if n in scene.layers]
    normals = contract.normals(scene)
    for window in windows:
        side = window.height // factor
        found = np.full((len(contract.names), side, side), np.nan, np.float32)
        for name in names:
            kind = contract.layers[contract.names.index(name)].kind
            found[contract.names.index(name)] = _read_coarse(
                scene, window, name, factor, mask=kind is Kind.MASK
            )
        truth = found[contract.names.index(PRIOR)].copy()
        known = np.isfinite(truth)
        if not known.any():
            continue
        cells = cells_under(side, ((0, 1 / factor, 0), (0, 0, 1 / factor)))
        prior = cells.spread(cells.means(fill_voids(truth, known)), spline=False)
        found[contract.names.index(PRIOR)] = prior
        beyond = (0, size - side)
        square = np.pad(found, ((0, 0), beyond, beyond), mode="symmetric")
        encoded = contract.encode(square, scene.pixel_size * factor, normals)
        values = network.predict(encoded)[:, :side, :side]
        tied = back_projected(np.zeros_like(prior), prior, cells)
        changed = back_projected(values[0] - prior, prior, cells)
        inside = (slice(factor, -factor),) * 2
        yield _Piece(prior[inside], tied[inside], (changed - tied)[inside], truth[inside])


def _windows(shape: tuple[int, int], factor: int, most: int) -> tuple[str, list[Window]]:
    """Return squares spread over a raster, whole multiples of a coarse prior's pixels a side.

    Parameters
    ----------
    most
        Coarse pixels a side that the network takes.

    Returns
    -------
    Why there are none, or nothing; and the squares.
    """
    # At the rim of a piece a coarse prior's pixel lacks neighbours and is left out.
    need = math.ceil(max(_LEAST, 2 * factor + 2 * _block(factor)) / factor) * factor
    across = min(shape)
    if across < need * factor:
        return (
            f"over a prior {factor} times coarser than the image that takes {need * factor} px "
            f"across, the scene has {across}"
        ), []
    if most < need:
        return (
            f"over a prior {factor} times coarser than the image that takes windows of {need} px, "
            f"they have {most}"
        ), []
    if (need * factor) ** 2 > _MOST:
        return f"the prior is {factor} times coarser than the image", []
    side = min(most, across // factor, max(_PIECE // factor, need)) // factor * factor
    wide = side * factor
    counts = [min(2, n // wide) for n in shape]
    if counts[0] * counts[1] * wide**2 > _MOST:
        counts = [1, 1]
    rows, columns = (
        [(n - wide) * (2 * k + 1) // (2 * count) for k in range(count)]
        for n, count in zip(shape, counts, strict=True)
    )
    return "", [Window(row, column, wide, wide) for row in rows for column in columns]


def _read_coarse(scene: Scene, window: Window, name: str, factor: int, *, mask: bool) -> Array:
    """Read a layer and average whole squares of pixels, a strip of the window at a time."""
    strip = max(1, 2**20 // (factor * window.width)) * factor
    parts = []
    for top in range(0, window.height, strip):
        height = min(strip, window.height - top)
        part = Window(window.row + top, window.col, height, window.width)
        parts.append(_coarse(scene.read(part, [name])[0], factor, mask=mask))
        scene.release()
    return np.concatenate(parts)


def _coarse(plane: Array, factor: int, *, mask: bool) -> Array:
    rows, columns = (n // factor for n in plane.shape)
    found = plane.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(np.rint(found) if mask else found, np.float32)


def _expected(
    scene: Scene, network: Network, tiling: Tiling, factor: int, share: float = 1.0
) -> tuple[float, float]:
    """Return the RMS error in metres to expect, and the factor that brings the predicted one to it.

    Relief is much the same at all scales: what a prior of cells of two pixels misses of its pixels
    is about what the prior misses of far finer ones. Of those that are ``factor`` times finer, of
    relief that grows with the root of distance, it is less by the root of 1 - 1 / ``factor``.

    Parameters
    ----------
    share
        Error with the bundle's detail over that of the sharpened prior.
    """
    side, places = _places(scene.shape, factor)
    if side < _FEW or not network.contract.uncertainty:
        return math.nan, 1.0
    errors = [e for place in places for e in _missed(scene, place, factor)]
    if sum(e.size for e in errors) < _FEW**2:
        return math.nan, 1.0
    missed = share * math.sqrt(_mean(errors) * (1 - 1 / factor))
    variances = list(_predicted(scene, network, tiling, places))
    if not variances:
        return missed, 1.0
    low = 1.0 if side < _ENOUGH else _FACTORS[0]
    return missed, float(np.clip(missed / math.sqrt(_mean(variances)), low, _FACTORS[1]))


def _places(shape: tuple[int, int], factor: int) -> tuple[int, list[Window]]:
    """Return the pixels of the prior a side of squares spread over a raster, and the squares."""
    across = min(n // factor for n in shape)
    one = max(n // factor for n in shape) <= _ONE
    side = min(across, _ONE if one else _SEVERAL, math.isqrt(_MOST // 4) // factor) // 2 * 2
    count, wide = (1 if one else 2), side * factor
    rows, columns = ([(n - wide) * (2 * k + 1) // (2 * count) for k in range(count)] for n in shape)
    return side, [Window(row, column, wide, wide) for row in rows for column in columns]


def _missed(scene: Scene, place: Window, factor: int) -> Iterator[Array]:
    """Yield the squared errors of the prior in a place, made 2 times coarser and sharpened."""
    truth = _read_coarse(scene, place, PRIOR, factor, mask=False)
    known = np.isfinite(truth)
    if known.any():
        cells = cells_under(len(truth), ((0, 0.5, 0), (0, 0, 0.5)))
        prior = cells.spread(cells.means(fill_voids(truth, known)), spline=False)
        found = back_projected(np.zeros_like(prior), prior, cells)
        yield (found - truth)[known] ** 2


def _predicted(
    scene: Scene, network: Network, tiling: Tiling, places: list[Window]
) -> Iterator[Array]:
    """Yield the variances in square metres that are predicted in a window at each place."""
    amid = [Window(p.row + p.height // 2, p.col + p.width // 2, 1, 1) for p in places]
    parts = [tiling.touching(window) for window in amid]
    count = len(network.contract.targets)
    for row, column in sorted({(part.rows[0], part.columns[0]) for part in parts}):
        one = replace(tiling, rows=(row,), columns=(column,))
        for item, values in predict_windows(scene, network, one):
            if values is not None:
                height, width = item.valid.shape
                found = values[count, :height, :width]
                yield found[item.valid & item.measured] ** 2
        scene.release()


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


def _mean(planes: list[Array]) -> float:
    return float(np.nanmean(np.concatenate([p.ravel() for p in planes]), dtype=np.float64))


def settled(tie: PriorConstraint, judgement: Assessment) -> PriorConstraint:
    """Return the tie with what a judgement says."""
    return replace(tie, detail=judgement.detail, spread=judgement.spread)
