"""Assessment of a bundle on the user's own scene at reduced resolution, with the prior as truth.

Image and prior are both made coarser by the ratio of their pixel sizes, and the network's result
for the coarser prior is compared with the prior itself. Pansharpening is assessed in the same way
(Wald et al. 1997, Photogramm. Eng. Remote Sens. 63(6), 691 to 699). Without an assessment no
detail of the network is added.

The expected error comes from the prior alone: averaged to 2 times coarser pixels and sharpened
again, its error is about that of sharpened heights against the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from demiurge.arrays import Array, Mask, Values
from demiurge.layers import PRIOR
from demiurge.predict.heights.backprojection import PriorCells, back_project, cells_under
from demiurge.predict.heights.prior import PriorConstraint
from demiurge.predict.heights.sharpening import EXACT, Sharpening, sharpening_of
from demiurge.predict.inference import Network, predict_windows
from demiurge.predict.reduced import read_averaged
from demiurge.predict.tiling import Tiling
from demiurge.raster.voids import fill_voids
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Side in pixels of the areas that are assessed, unless a coarse prior needs more; and the maximum
#: number of pixels that are read.
_AREA_SIDE, _MOST_PIXELS = 1536, 2 * 10**8
#: Minimum side of an area, and of a jackknife block, in coarse pixels; minimum number of blocks.
_MIN_SIDE, _BLOCK, _MIN_BLOCKS = 32, 12, 4
#: Probability that the true best share of the detail is at least the share that is added.
_SAFE = 0.975
#: Bounds of the uncertainty factor.
_FACTORS = (0.02, 20.0)
#: Side in pixels of the prior of the areas that give the expected error: minimum; minimum for a
#: factor below 1; maximum of a single area, and of each of several.
_FEW, _ENOUGH, _ONE, _SEVERAL = 4, 16, 64, 48


@dataclass(frozen=True)
class Assessment:
    """Benefit of a bundle on a scene at reduced resolution.

    Attributes
    ----------
    detail
        Share of the network's detail to add, 0 to 1.
    uncertainty_factor
        Factor of the predicted uncertainty that brings its RMS to ``expected_rmse``.
    ratio
        RMSE with this share over that of the interpolated prior; NaN without an assessment.
    factor
        Ratio by which image and prior were made coarser.
    reason
        Why the bundle could not be assessed; empty if it was.
    expected_rmse
        Expected RMSE in metres; NaN if the prior has too few pixels.
    given
        The user chose ``detail``.
    sharpening
        How far the prior is sharpened.
    """

    detail: float
    uncertainty_factor: float
    ratio: float
    factor: int
    reason: str = ""
    expected_rmse: float = math.nan
    given: bool = False
    sharpening: Sharpening = EXACT

    @property
    def assessed(self) -> bool:
        """Return whether the scene allowed an assessment."""
        return not self.reason

    def constrain(self, constraint: PriorConstraint) -> PriorConstraint:
        """Return a constraint with the shares of detail and lost means, factor and errors."""
        return replace(
            constraint, detail=self.detail, restored=self.sharpening.restored,
            uncertainty_factor=self.uncertainty_factor, errors=self.sharpening.errors,
        )  # fmt: skip

    def __str__(self) -> str:
        error = (
            "the prior has too few pixels to estimate the error, so the uncertainty is the "
            "bundle's own"
            if math.isnan(self.expected_rmse)
            else f"the expected RMSE is about {self.expected_rmse:.3g} m, the error of the prior "
            "made 2 times coarser and sharpened again"
        )
        restored, assumed = self.sharpening.restored, self.sharpening.assumed
        if assumed:
            error += (
                f"; the prior is assumed to err by {assumed:.2g} m, independently from pixel to "
                "pixel, which the uncertainty includes"
            )
        if restored < 1:
            error += (
                f"; {restored:.0%} of what interpolation takes from the means of the prior's "
                "pixels is restored, because errors would be amplified, too: --prior-accuracy "
                "states how large they are, and 0 restores all"
            )
        given = ", as requested," if self.given else ""
        if self.assessed:
            return (
                f"assessed on this scene made {self.factor} times coarser, with the prior as "
                f"truth: {self.detail:.0%} of the bundle's detail{given} is added; the RMSE there "
                f"is {self.ratio:.2f} of the interpolated prior's; {error}"
            )
        added = f"{self.detail:.0%} of its detail{given} is" if self.given else "no detail is"
        return f"the bundle is not assessed and {added} added: {self.reason}; {error}"


@dataclass(frozen=True)
class _Area:
    """Heights of an area at reduced resolution, float32 of one shape.

    Attributes
    ----------
    interpolated, sharpened
        The coarse prior interpolated, and with its means restored by backprojection.
    detail
        What the network adds to ``sharpened``.
    truth
        The prior itself, NaN for no data.
    """

    interpolated: Array
    sharpened: Array
    detail: Array
    truth: Array

    def sums(self, block: int) -> Iterator[tuple[float, float]]:
        """Yield for each block the sums of missing · detail and of detail²."""
        missing = (self.truth - self.sharpened).astype(np.float64)
        detail = self.detail.astype(np.float64)
        for row in range(0, missing.shape[0] - block + 1, block):
            for col in range(0, missing.shape[1] - block + 1, block):
                here = (slice(row, row + block), slice(col, col + block))
                if np.isfinite(missing[here]).all():
                    yield (
                        float((missing[here] * detail[here]).sum()),
                        float((detail[here] ** 2).sum()),
                    )


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
        Share of the detail that the user wants; None to determine it.

    Returns
    -------
    The assessment; with a ``reason`` if scene, windows or prior do not allow one.
    """
    rows, columns = scene.shape
    factor = max(2, round(constraint.cells(Window(rows // 2, columns // 2, 1, 1), 8).size))
    sharpening = sharpening_of(scene, constraint, _places(scene.shape, factor)[1])
    restored = sharpening.restored
    reason, windows = _windows(scene.shape, factor, tiling.size)
    areas = list(_areas(scene, network, tiling.size, factor, windows))
    sums = [part for area in areas for part in area.sums(_block(factor))]
    if not reason and len(sums) < _MIN_BLOCKS:
        reason = "the prior has too many voids"
    given = detail is not None
    if reason:
        rmse, uncertainty = _expected(scene, network, tiling, factor, restored)
        return Assessment(
            detail or 0.0, uncertainty, math.nan, factor, reason, rmse, given, sharpening
        )
    share = _safe_share(np.array(sums)) if detail is None else detail
    interpolated = _rmse([a.interpolated - a.truth for a in areas])
    sharpened = _rmse([a.sharpened - a.truth for a in areas])
    added = _rmse([a.sharpened + np.float32(share) * a.detail - a.truth for a in areas])
    gain = added / sharpened if sharpened > 0 else 1.0
    rmse, uncertainty = _expected(scene, network, tiling, factor, restored, gain)
    ratio = added / interpolated if interpolated > 0 else 1.0
    return Assessment(
        share, uncertainty, ratio, factor, expected_rmse=rmse, given=given, sharpening=sharpening
    )


def _block(factor: int) -> int:
    """Return the side of a jackknife block in coarse pixels."""
    return max(_BLOCK, 2 * factor)


def _areas(
    scene: Scene, network: Network, size: int, factor: int, windows: list[Window]
) -> Iterator[_Area]:
    """Run the network at reduced resolution in windows of ``size`` pixels."""
    contract = network.contract
    normals = contract.normals(scene)
    for window in windows:
        side = window.height // factor
        layers = np.full((len(contract.names), side, side), np.nan, np.float32)
        for index, entry in enumerate(contract.layers):
            if entry.name in scene.layers:
                layers[index] = read_averaged(scene, window, [entry.name], factor)[0]
        index = contract.names.index(PRIOR)
        truth = layers[index].copy()
        known = np.isfinite(truth)
        if not known.any():
            continue
        cells = cells_under(side, ((0, 1 / factor, 0), (0, 0, 1 / factor)))
        prior = _interpolated_means(truth, known, cells)
        layers[index] = prior
        padding = (0, size - side)
        square = np.pad(layers, ((0, 0), padding, padding), mode="symmetric")
        encoded = contract.encode(square, scene.pixel_size * factor, normals, network.sun)
        values = network.predict(encoded)[:, :side, :side]
        sharpened = back_project(np.zeros_like(prior), prior, cells)
        detailed = back_project(values[0] - prior, prior, cells)
        inside = (slice(factor, -factor),) * 2
        yield _Area(prior[inside], sharpened[inside], (detailed - sharpened)[inside], truth[inside])


def _interpolated_means(truth: Array, known: Mask, cells: PriorCells) -> Array:
    """Return heights averaged over cells and interpolated again, as GDAL reads a coarse prior."""
    return cells.interpolate(cells.means(fill_voids(truth, known)), spline=False)


def _windows(shape: tuple[int, int], factor: int, most: int) -> tuple[str, list[Window]]:
    """Return the windows to assess, spread over a raster.

    Their side is a multiple of ``factor``² pixels.

    Parameters
    ----------
    most
        Maximum side in coarse pixels: the network's window.

    Returns
    -------
    The reason if there are none, else an empty string; and the windows.
    """
    # Cells at the edge of an area lack neighbours and are left out.
    need = math.ceil(max(_MIN_SIDE, 2 * factor + 2 * _block(factor)) / factor) * factor
    across = min(shape)
    if across < need * factor:
        return (
            f"a prior {factor} times coarser than the image needs a scene {need * factor} px "
            f"across, this one has {across}"
        ), []
    if most < need:
        return (
            f"a prior {factor} times coarser than the image needs windows of {need} px, they have "
            f"{most}"
        ), []
    if (need * factor) ** 2 > _MOST_PIXELS:
        return f"the prior is {factor} times coarser than the image", []
    side = min(most, across // factor, max(_AREA_SIDE // factor, need)) // factor * factor
    wide = side * factor
    counts = [min(2, n // wide) for n in shape]
    if counts[0] * counts[1] * wide**2 > _MOST_PIXELS:
        counts = [1, 1]
    return "", _spread_out(shape, wide, counts)


def _spread_out(shape: tuple[int, int], side: int, counts: list[int]) -> list[Window]:
    """Return square windows evenly spaced over a raster."""
    rows, columns = (
        [(n - side) * (2 * k + 1) // (2 * count) for k in range(count)]
        for n, count in zip(shape, counts, strict=True)
    )
    return [Window(row, column, side, side) for row in rows for column in columns]


def _expected(
    scene: Scene,
    network: Network,
    tiling: Tiling,
    factor: int,
    restored: float,
    gain: float = 1.0,
) -> tuple[float, float]:
    """Return the expected RMSE in metres, and the factor that scales the predicted one to it.

    Relief is similar at all scales: the error of a prior with cells of 2 pixels is about that of
    the prior against far finer pixels. Against pixels that are ``factor`` times finer it is smaller
    by the root of 1 - 1 / ``factor``, for relief that grows with the root of distance.

    Parameters
    ----------
    gain
        RMSE with the network's detail over that of the sharpened prior.
    """
    side, places = _places(scene.shape, factor)
    if side < _FEW or not network.contract.uncertainty:
        return math.nan, 1.0
    errors = [e for place in places for e in _prior_errors(scene, place, factor, restored)]
    if sum(e.size for e in errors) < _FEW**2:
        return math.nan, 1.0
    rmse = gain * math.sqrt(_mean([e**2 for e in errors]) * (1 - 1 / factor))
    uncertainties = list(_uncertainties(scene, network, tiling, places))
    if not uncertainties:
        return rmse, 1.0
    low = 1.0 if side < _ENOUGH else _FACTORS[0]
    predicted = math.sqrt(_mean([u**2 for u in uncertainties]))
    return rmse, float(np.clip(rmse / predicted, low, _FACTORS[1]))


def _places(shape: tuple[int, int], factor: int) -> tuple[int, list[Window]]:
    """Return the side of square areas in pixels of the prior, and the areas."""
    across = min(n // factor for n in shape)
    one = max(n // factor for n in shape) <= _ONE
    most = math.isqrt(_MOST_PIXELS // 4) // factor
    side = min(across, _ONE if one else _SEVERAL, most) // 2 * 2
    count = 1 if one else 2
    return side, _spread_out(shape, side * factor, [count, count])


def _prior_errors(scene: Scene, place: Window, factor: int, restored: float) -> Iterator[Array]:
    """Yield the errors of the prior in an area, made 2 times coarser and sharpened again."""
    truth = read_averaged(scene, place, [PRIOR], factor)[0]
    known = np.isfinite(truth)
    if known.any():
        cells = cells_under(len(truth), ((0, 0.5, 0), (0, 0, 0.5)))
        prior = _interpolated_means(truth, known, cells)
        none = np.zeros_like(prior)
        yield (back_project(none, prior, cells, restored=restored) - truth)[known]


def _uncertainties(
    scene: Scene, network: Network, tiling: Tiling, places: list[Window]
) -> Iterator[Array]:
    """Yield the predicted uncertainties in metres of one window at the centre of each area."""
    centres = [Window(p.row + p.height // 2, p.col + p.width // 2, 1, 1) for p in places]
    parts = [tiling.touching(window) for window in centres]
    count = len(network.contract.targets)
    for row, column in sorted({(part.rows[0], part.columns[0]) for part in parts}):
        one = replace(tiling, rows=(row,), columns=(column,))
        for item, values in predict_windows(scene, network, one):
            if values is not None:
                height, width = item.valid.shape
                yield values[count, :height, :width][item.valid & item.measured]
        scene.release()


def _safe_share(sums: Values) -> float:
    """Return a share of the detail that does no harm, 0 to 1.

    It is the lower confidence bound of the least-squares share, by the jackknife and Student's t.

    Parameters
    ----------
    sums
        float64 (blocks, 2): see :meth:`_Area.sums`.
    """
    total = sums.sum(axis=0)
    if total[1] <= 0:
        return 0.0
    without = (total[0] - sums[:, 0]) / np.maximum(total[1] - sums[:, 1], 1e-12 * total[1])
    count = len(sums)
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    margin = float(stdtrit(count - 1, _SAFE)) * error
    return float(np.clip(total[0] / total[1] - margin, 0, 1))


def _mean(planes: list[Array]) -> float:
    return float(np.nanmean(np.concatenate([p.ravel() for p in planes]), dtype=np.float64))


def _rmse(errors: list[Array]) -> float:
    return math.sqrt(_mean([error**2 for error in errors]))
