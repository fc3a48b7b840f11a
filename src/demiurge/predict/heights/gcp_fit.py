"""Heights fitted to ground points: scale, offset and a smooth trend, robust to wrong points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demiurge.arrays import Array, Values
from demiurge.errors import DataError

#: Points from which a plane, and from which a bent trend, is fitted.
PLANE, BENT = 10, 40
_ROUNDS = 50
#: Tukey's constants: 95 % efficient for normal errors; and withstanding half of the points.
_TUKEY, _HALF = 4.685, 1.5476
#: Random minimal fits, how many of them are refined, and how many points they look at most.
_TRIALS, _REFINED, _LOOKED = 200, 10, 2000
#: Points have at least this standard deviation, in metres.
_FINEST = 0.01
#: Share of points set aside from which it is said.
_MANY = 0.1


@dataclass(frozen=True)
class Fit:
    """``scale`` · height + trend, and how well it fits.

    Attributes
    ----------
    scale
        Of the heights; 1 where only the trend was fitted.
    trend
        Coefficients in metres of 1, u, v, u², uv, v², as many as were fitted; u and v run from
        -1 to 1 over the raster.
    used, wrong
        Points inside the raster, and how many of them were set aside as gross errors.
    rmse, loo
        Root mean square in metres of the residuals of all points but the gross errors, and of
        what each of them would miss had the others alone been fitted (leave one out).
    standard_error
        Of the fitted surface at a typical point, metres.
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
            float64 (columns,) and (rows,): where they lie, -1 to 1 over the whole raster.
        """
        terms = _terms(u[None, :], v[:, None], len(self.trend))
        total = sum(c * t for c, t in zip(self.trend, terms, strict=True))
        return np.asarray(heights * np.float64(self.scale) + total, np.float32)


def _terms(u: Values, v: Values, count: int) -> list[Values]:
    return [np.ones(np.broadcast(u, v).shape), u, v, u * u, u * v, v * v][:count]


def fit_points(heights: Values, u: Values, v: Values, truth: Values, *, scaled: bool) -> Fit:
    """Fit heights to points.

    An MM-estimate (Yohai 1987, doi 10.1214/aos/1176350366): the scale of the residuals comes from
    an S-estimate, with the correction for small samples of Rousseeuw and Leroy (1987), and stays
    fixed while Tukey's weights are iterated. Gross errors have no say; points that only scatter
    keep theirs.

    Parameters
    ----------
    heights, truth
        float64 (count,): the surface's heights at the points, and the points' own, metres.
    u, v
        Where the points lie, -1 to 1 over the raster.
    scaled
        Fit the scale too, as relative heights need; else the heights are metres.

    Raises
    ------
    DataError
        If there are too few points for what is to be fitted.
    """
    count = len(truth)
    require_count(count, scaled=scaled)
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
    found, weights, spread = _robust(design, target)
    if scaled and found[-1] <= 0:
        raise DataError(
            "the ground points are low where the surface is high",
            "check their heights and their CRS",
        )
    good = weights > 0
    kept = int(good.sum())
    residual = (target - design @ found)[good]
    hat = _hat(design[good] * np.sqrt(weights[good])[:, None])
    missed = residual / np.maximum(1 - hat, 1e-6)
    error = float(np.sqrt(np.square(residual).sum() / max(kept - design.shape[1], 1)))
    if count - kept >= _MANY * count:
        notes.append(
            f"{count - kept} of {count} ground points lie more than {_TUKEY * spread:.3g} m off "
            "the fit and were set aside: check their heights, their CRS and the surface there"
        )
    return Fit(
        scale=float(found[-1]) if scaled else 1.0,
        trend=tuple(float(c) for c in found[:terms]),
        used=count,
        wrong=count - kept,
        rmse=float(np.sqrt(np.square(residual).mean())),
        loo=float("nan") if kept <= design.shape[1] else float(np.sqrt(np.square(missed).mean())),
        standard_error=error * float(np.sqrt(hat.mean())),
        notes=tuple(notes),
    )


def require_count(count: int, *, scaled: bool) -> None:
    """Raise DataError if points are too few for what is to be fitted."""
    least = 2 if scaled else 1
    if count < least:
        raise DataError(
            f"{count} ground points lie on the surface, {least} are needed",
            "give more points, or check their CRS with --points-crs",
        )


def _trend_terms(u: Values, v: Values) -> tuple[int, list[str]]:
    """Return how many terms of a trend the points settle, and what to say of it."""
    terms = 6 if len(u) >= BENT else 3 if len(u) >= PLANE else 1
    notes: list[str] = []
    while terms > 1 and not _spread(u, v, terms):
        terms = 3 if terms == 6 else 1
        notes = ["the points lie along a line: no trend across it is fitted"]
    return terms, notes


def _spread(u: Values, v: Values, terms: int) -> bool:
    """Tell whether the points settle all terms of a trend."""
    design = np.stack(_terms(u, v, terms), axis=1)
    values = np.linalg.svd(design, compute_uv=False)
    return bool(values[-1] > 1e-3 * values[0])


def _robust(design: Values, target: Values) -> tuple[Values, Values, float]:
    """Return coefficients, weights 0 … 1, and the scale of the residuals."""
    count, need = design.shape
    looked = np.arange(count)
    if count > _LOOKED:
        looked = np.random.default_rng(0).choice(count, _LOOKED, replace=False)
    found, spread = _begin(design[looked], target[looked])
    if count > need:
        spread = max(spread * (1 + 5 / (len(looked) - need)), _FINEST)
    weights = np.ones(count)
    for _ in range(_ROUNDS if count > need else 0):
        residual = target - design @ found
        weights = np.square(np.clip(1 - np.square(residual / (_TUKEY * spread)), 0, None))
        fresh = _weighted(design, target, weights)
        if np.allclose(fresh, found, rtol=1e-9, atol=1e-9):
            break
        found = fresh
    return found, weights, spread


def _weighted(design: Values, target: Values, weights: Values) -> Values:
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0])


def _begin(design: Values, target: Values) -> tuple[Values, float]:
    """Return the S-estimate: the fit whose residuals have the smallest robust scale, and that.

    It begins with plain least squares and the best of many random minimal fits.
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
        left = np.sort(np.abs(target - design @ fit))[:half]
        tried.append((float(left.sum()), fit))
    for _, found in sorted(tried, key=lambda entry: entry[0])[:_REFINED]:
        fit = found
        for _ in range(_ROUNDS):
            residual = target - design @ fit
            reach = _HALF * _scale(residual, need)
            weights = np.square(np.clip(1 - np.square(residual / reach), 0, None))
            fresh = _weighted(design, target, weights)
            if np.allclose(fresh, fit, rtol=1e-9, atol=1e-9):
                break
            fit = fresh
        scale = _scale(target - design @ fit, need)
        if scale < least:
            best, least = fit, scale
    return best, least


def _scale(residual: Values, need: int) -> float:
    """Return the M-estimate of scale that withstands half of the residuals, at least a centimetre.

    Parameters
    ----------
    need
        Coefficients that were fitted: so many degrees of freedom are lost.
    """
    free = max(len(residual) - need, 1)
    scale = max(1.4826 * float(np.median(np.abs(residual))), _FINEST)
    for _ in range(_ROUNDS):
        part = np.square(np.clip(np.abs(residual) / (_HALF * scale), 0, 1))
        share = float((3 * part - 3 * part**2 + part**3).sum()) / (0.5 * free)
        fresh = max(scale * float(np.sqrt(share)), _FINEST)
        if abs(fresh - scale) < 1e-6 * scale:
            break
        scale = fresh
    return fresh


def _hat(design: Values) -> Values:
    """Return how much each point has a say in its own fit."""
    q, _ = np.linalg.qr(design)
    return np.asarray(np.square(q).sum(axis=1))


def sample(plane: Array, rows: Values, columns: Values) -> Values:
    """Return heights between pixel centres, bilinear; NaN outside or beside unknown pixels.

    Parameters
    ----------
    plane
        float32 (rows, columns), also memory-mapped.
    rows, columns
        float64 (count,): where, with 0 the centre of the first pixel.
    """
    height, width = plane.shape
    inside = (rows >= -0.5) & (rows <= height - 0.5) & (columns >= -0.5) & (columns <= width - 0.5)
    found = np.full(len(rows), np.nan)
    r, c = np.clip(rows[inside], 0, height - 1), np.clip(columns[inside], 0, width - 1)
    top, left = np.floor(r).astype(int), np.floor(c).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = r - top, c - left
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    lower = plane[below, left] * (1 - across) + plane[below, right] * across
    found[inside] = upper * (1 - down) + lower * down
    return found
