"""Fit of heights to ground control points (GCPs): scale, offset and a smooth trend.

The number of points decides the trend: an offset below 10 points, a plane below 40, else a
quadratic surface; and a simpler one if the points lie along a line. Relative heights also get a
scale, which takes two points. Gross errors among the points are set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox
from scipy import ndimage

from demiurge.arrays import Array, Values
from demiurge.errors import DataError
from demiurge.scene.points import GroundPoints

#: Minimum number of points for a plane, and for a quadratic surface.
PLANE, QUADRATIC = 10, 40
#: Maximum number of iterations of a reweighting.
_ROUNDS = 50
#: Tukey's constants: 95 % efficiency for normal errors, and a breakdown point of 50 %.
_TUKEY, _HALF = 4.685, 1.5476
#: Random minimal fits, how many of them are refined, and the maximum number of points used.
_TRIALS, _REFINED, _MOST_POINTS = 200, 10, 2000
#: Minimum standard deviation of points in metres.
_MIN_SCALE = 0.01
#: Share of gross errors above which the user is warned.
_MANY = 0.1
#: Rows that are fitted at a time.
_STRIP = 256


@dataclass(frozen=True)
class GcpPixels:
    """Ground control points in pixels of a grid.

    Attributes
    ----------
    rows, columns
        float64 (count,): 0 is the centre of the first pixel.
    z
        float64 (count,): heights in metres.
    notes
        Assumptions made about the file of points, in sentences.
    """

    rows: Values
    columns: Values
    z: Values
    notes: tuple[str, ...] = ()


def place_gcps(points: GroundPoints, grid: GeoBox, name: str) -> GcpPixels:
    """Return the points that lie on a grid, in its pixels.

    Raises
    ------
    DataError
        If no point lies on the grid; the message begins with ``name``.
    """
    assert grid.crs is not None
    moved = points.in_crs(grid.crs.proj)
    columns, rows = ~grid.affine @ (moved.x, moved.y)
    rows, columns = np.asarray(rows) - 0.5, np.asarray(columns) - 0.5
    height, width = grid.shape
    inside = (rows >= -0.5) & (rows < height - 0.5) & (columns >= -0.5) & (columns < width - 0.5)
    if not inside.any():
        raise DataError(
            f"{name}: none of its {len(rows)} points lies on the image",
            "check their CRS, or name it with --points-crs",
        )
    return GcpPixels(rows[inside], columns[inside], moved.z[inside], points.notes)


@dataclass(frozen=True)
class GcpFit:
    """``scale`` · height + trend, and its accuracy.

    Attributes
    ----------
    scale
        Factor of the heights; 1 if not fitted.
    trend
        Coefficients in metres of 1, u, v, u², uv, v²; 1, 3 or 6 of them. u and v run from -1 to 1
        over the raster.
    used, wrong
        Number of points with a height of the surface, and of gross errors among them.
    rmse, loo
        RMSE in metres of the points without gross errors: of their residuals, and leave-one-out
        (each point predicted from the others).
    standard_error
        Mean standard error in metres of the fitted surface at the points.
    notes
        Sentences for the user.
    """

    scale: float
    trend: tuple[float, ...]
    used: int
    wrong: int
    rmse: float
    loo: float
    standard_error: float
    notes: tuple[str, ...] = ()

    def apply(self, heights: Array, u: Values, v: Values) -> Array:
        """Return fitted heights.

        Parameters
        ----------
        heights
            float32 (rows, columns).
        u, v
            float64 (columns,) and (rows,): positions, -1 to 1 over the raster.
        """
        terms = _terms(u[None, :], v[:, None], len(self.trend))
        total = sum(c * t for c, t in zip(self.trend, terms, strict=True))
        return np.asarray(heights * np.float64(self.scale) + total, np.float32)


def fit_rows(
    rows: Path, bands: Sequence[str], grid: GeoBox, gcps: GcpPixels, *, relative: bool
) -> tuple[Path, GcpFit, float]:
    """Fit predicted rows to GCPs and write the result to a file next to them.

    GCPs lie on the bare earth: the fit is made on ``dtm`` if there is one, and applied to all
    heights. Uncertainties are scaled, and the standard error of the fit is added to them.

    Parameters
    ----------
    rows
        float32 (bands, rows, columns) without a header.
    bands
        Names of the bands.
    relative
        Heights are relative: their scale is fitted too, and they become metres.

    Returns
    -------
    The file of the fitted rows, in metres; the fit; and the mean of the first uncertainty band, NaN
    without one.
    """
    height, width = grid.shape
    shape = (len(bands), height, width)
    source = np.memmap(rows, np.float32, "r", shape=shape)
    lead = next((i for i, name in enumerate(bands) if name.startswith("dtm")), 0)
    heights = sample_bilinear(source[lead], gcps.rows, gcps.columns)
    known = np.isfinite(heights)
    u, v = _unit(gcps.columns, width), _unit(gcps.rows, height)
    fit = fit_gcps(heights[known], u[known], v[known], gcps.z[known], scaled=relative)
    out = rows.with_name("fitted.f32")
    target = np.memmap(out, np.float32, "w+", shape=shape)
    across = _unit(np.arange(width), width)
    first = next((i for i, name in enumerate(bands) if name.endswith("_uncertainty")), None)
    total, count = 0.0, 0
    for top in range(0, height, _STRIP):
        part = slice(top, min(top + _STRIP, height))
        down = _unit(np.arange(height)[part], height)
        for index, name in enumerate(bands):
            plane = np.asarray(source[index, part])
            if name.endswith("_uncertainty"):
                target[index, part] = np.hypot(fit.scale * plane, fit.standard_error)
            else:
                target[index, part] = fit.apply(plane, across, down)
        if first is not None:
            strip = np.asarray(target[first, part])
            total += float(np.nansum(strip, dtype=np.float64))
            count += int(np.isfinite(strip).sum())
    target.flush()
    return out, fit, total / count if count else float("nan")


def _unit(pixels: npt.NDArray[np.number], length: int) -> Values:
    """Return pixel positions as -1 to 1 over a length in pixels."""
    return np.asarray(2 * (np.asarray(pixels, np.float64) + 0.5) / length - 1, np.float64)


def _terms(u: Values, v: Values, count: int) -> list[Values]:
    return [np.ones(np.broadcast(u, v).shape), u, v, u * u, u * v, v * v][:count]


def fit_gcps(heights: Values, u: Values, v: Values, truth: Values, *, scaled: bool) -> GcpFit:
    """Fit heights to GCPs by an MM-estimate (Yohai 1987, doi 10.1214/aos/1176350366).

    The scale of the residuals comes from an S-estimate, with the small-sample correction of
    Rousseeuw and Leroy (1987), and stays fixed while Tukey's weights are iterated. Gross errors
    get no weight; points with merely large residuals keep theirs.

    Parameters
    ----------
    heights, truth
        float64 (count,): heights of the surface at the points, and of the points in metres.
    u, v
        float64 (count,): positions, -1 to 1 over the raster.
    scaled
        Fit the scale too, for relative heights; otherwise the heights are metres.

    Raises
    ------
    DataError
        If the points cannot determine the fit.
    """
    count = len(truth)
    require_gcps(count, scaled=scaled)
    terms, notes = _trend_terms(u, v)
    columns = _terms(u, v, terms)
    if scaled:
        if np.ptp(heights) < 1e-6 * max(1.0, float(np.abs(heights).max())):
            raise DataError(
                "the surface has the same height at all ground points, so its scale stays unknown",
                "give points at different heights",
            )
        columns.append(heights)
    target = truth if scaled else truth - heights
    design = np.stack(columns, axis=1)
    coefficients, weights, sigma = _robust(design, target)
    if scaled and coefficients[-1] <= 0:
        raise DataError(
            "the ground points are low where the surface is high",
            "check their heights and their CRS",
        )
    return _with_accuracy(design, target, coefficients, weights, sigma, terms, notes)


def _with_accuracy(
    design: Values,
    target: Values,
    coefficients: Values,
    weights: Values,
    sigma: float,
    terms: int,
    notes: list[str],
) -> GcpFit:
    """Return the fit with its errors; the first ``terms`` coefficients are the trend."""
    count = len(target)
    good = weights > 0
    kept = int(good.sum())
    residual = (target - design @ coefficients)[good]
    # The leverage of each point is the diagonal of the hat matrix.
    q, _ = np.linalg.qr(design[good] * np.sqrt(weights[good])[:, None])
    leverage = np.square(q).sum(axis=1)
    left_out = residual / np.maximum(1 - leverage, 1e-6)
    error = float(np.sqrt(np.square(residual).sum() / max(kept - design.shape[1], 1)))
    if count - kept >= _MANY * count:
        notes.append(
            f"{count - kept} of {count} ground points lie more than {_TUKEY * sigma:.3g} m off "
            "the fit and were set aside: check their heights, their CRS and the surface there"
        )
    exact = kept <= design.shape[1]
    return GcpFit(
        scale=float(coefficients[-1]) if len(coefficients) > terms else 1.0,
        trend=tuple(float(c) for c in coefficients[:terms]),
        used=count,
        wrong=count - kept,
        rmse=float(np.sqrt(np.square(residual).mean())),
        loo=float("nan") if exact else float(np.sqrt(np.square(left_out).mean())),
        standard_error=error * float(np.sqrt(leverage.mean())),
        notes=tuple(notes),
    )


def require_gcps(count: int, *, scaled: bool) -> None:
    """Raise DataError if there are too few points for a fit."""
    least = 2 if scaled else 1
    if count < least:
        raise DataError(
            f"{count} ground points lie on the surface, {least} are needed",
            "give more points, or check their CRS with --points-crs",
        )


def _trend_terms(u: Values, v: Values) -> tuple[int, list[str]]:
    """Return the number of trend terms that the points determine, and notes for the user."""
    terms = 6 if len(u) >= QUADRATIC else 3 if len(u) >= PLANE else 1
    notes: list[str] = []
    while terms > 1:
        singular = np.linalg.svd(np.stack(_terms(u, v, terms), axis=1), compute_uv=False)
        if singular[-1] > 1e-3 * singular[0]:
            break
        terms = 3 if terms == 6 else 1
        notes = ["the points lie along a line: no trend across it is fitted"]
    return terms, notes


def _robust(design: Values, target: Values) -> tuple[Values, Values, float]:
    """Return coefficients, weights 0 to 1, and the scale of the residuals."""
    count, need = design.shape
    chosen = np.arange(count)
    if count > _MOST_POINTS:
        chosen = np.random.default_rng(0).choice(count, _MOST_POINTS, replace=False)
    fit, sigma = _s_estimate(design[chosen], target[chosen])
    if count <= need:
        return fit, np.ones(count), sigma
    sigma = max(sigma * (1 + 5 / (len(chosen) - need)), _MIN_SCALE)
    fit, weights = _iterate(design, target, fit, lambda _: _TUKEY * sigma)
    return fit, weights, sigma


def _iterate(
    design: Values, target: Values, fit: Values, limit: Callable[[Values], float]
) -> tuple[Values, Values]:
    """Return fit and weights of least squares reweighted by Tukey's biweight.

    Parameters
    ----------
    fit
        Initial coefficients.
    limit
        Returns the residual beyond which weights are 0, given all residuals.
    """
    weights = np.ones(len(target))
    for _ in range(_ROUNDS):
        residual = target - design @ fit
        weights = np.square(np.clip(1 - np.square(residual / limit(residual)), 0, None))
        previous, fit = fit, _weighted(design, target, weights)
        if np.allclose(fit, previous, rtol=1e-9, atol=1e-9):
            return previous, weights
    return fit, weights


def _weighted(design: Values, target: Values, weights: Values) -> Values:
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0])


def _s_estimate(design: Values, target: Values) -> tuple[Values, float]:
    """Return the fit whose residuals have the smallest robust scale, and that scale.

    The candidates are plain least squares and the best of many random minimal fits.
    """
    count, need = design.shape
    best = _weighted(design, target, np.ones(count))
    least = _scale(target - design @ best, need)
    if count <= need + 1:
        return best, least
    rng = np.random.default_rng(0)
    half = max(need + 1, (count + need + 1) // 2)
    tried: list[tuple[float, Values]] = []
    for _ in range(_TRIALS):
        some = rng.choice(count, need, replace=False)
        try:
            rough = np.linalg.solve(design[some], target[some])
        except np.linalg.LinAlgError:
            continue
        closest = np.argsort(np.abs(target - design @ rough))[:half]
        fit = _weighted(design[closest], target[closest], np.ones(half))
        smallest = np.sort(np.abs(target - design @ fit))[:half]
        tried.append((float(smallest.sum()), fit))
    for _, start in sorted(tried, key=lambda entry: entry[0])[:_REFINED]:
        fit, _ = _iterate(design, target, start, lambda residual: _HALF * _scale(residual, need))
        scale = _scale(target - design @ fit, need)
        if scale < least:
            best, least = fit, scale
    return best, least


def _scale(residual: Values, need: int) -> float:
    """Return the M-estimate of scale with a breakdown point of 50 %, at least a centimetre.

    Parameters
    ----------
    need
        Number of fitted coefficients, which reduce the degrees of freedom.
    """
    free = max(len(residual) - need, 1)
    scale = max(1.4826 * float(np.median(np.abs(residual))), _MIN_SCALE)
    for _ in range(_ROUNDS):
        part = np.square(np.clip(np.abs(residual) / (_HALF * scale), 0, 1))
        share = float((3 * part - 3 * part**2 + part**3).sum()) / (0.5 * free)
        fresh = max(scale * float(np.sqrt(share)), _MIN_SCALE)
        if abs(fresh - scale) < 1e-6 * scale:
            break
        scale = fresh
    return fresh


def sample_bilinear(plane: Array, rows: Values, columns: Values) -> Values:
    """Return heights between pixel centres; NaN outside or next to no data.

    Parameters
    ----------
    plane
        float32 (rows, columns), also memory-mapped.
    rows, columns
        float64 (count,): positions; 0 is the centre of the first pixel.
    """
    height, width = plane.shape
    inside = (rows >= -0.5) & (rows <= height - 0.5) & (columns >= -0.5) & (columns <= width - 0.5)
    heights = np.full(len(rows), np.nan)
    at = np.clip([rows[inside], columns[inside]], 0, [[height - 1], [width - 1]])
    heights[inside] = ndimage.map_coordinates(plane, at, np.float64, order=1, mode="nearest")
    return heights
