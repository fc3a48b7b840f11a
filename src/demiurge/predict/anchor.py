"""Heights fitted to ground points: scale, offset and a smooth trend, robust to wrong points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demiurge.errors import DataError

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

#: Points from which a plane, and from which a bent trend, is fitted.
PLANE, BENT = 10, 40
_ROUNDS = 50
#: Tukey's constant: 95 % efficient for normal errors.
_TUKEY = 4.685
_TRIALS = 500
#: No point is set aside for less than a few of these metres.
_FINEST = 0.01


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
        Root mean square in metres of the residuals of the points kept, and of what each of them
        would miss had the others alone been fitted (leave one out).
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

    Iteratively reweighted least squares with Tukey's weights, begun from the best of many random
    minimal fits (Fischler and Bolles 1981), so that gross errors among the points have no say.

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
    count, notes = len(truth), []
    least = 2 if scaled else 1
    if count < least:
        raise DataError(
            f"{count} ground points lie on the surface, {least} are needed",
            "give more points, or check their CRS with --points-crs",
        )
    terms = 6 if count >= BENT else 3 if count >= PLANE else 1
    while terms > 1 and not _spread(u, v, terms):
        terms = 3 if terms == 6 else 1
        notes.append("the points lie along a line: no trend across it is fitted")
    columns = _terms(u, v, terms)
    if scaled:
        columns.append(heights)
    target = truth if scaled else truth - heights
    design = np.stack(columns, axis=1)
    if scaled and np.ptp(heights) < 1e-6 * max(1.0, float(np.abs(heights).max())):
        raise DataError(
            "the surface has the same height at all ground points, so its scale stays unknown",
            "give points at different heights",
        )
    found, weights = _robust(design, target)
    if scaled and found[-1] <= 0:
        raise DataError(
            "the ground points are low where the surface is high",
            "check their heights and their CRS",
        )
    kept = weights > 0.05
    residual = (target - design @ found)[kept]
    hat = _hat(design[kept])
    missed = residual / np.maximum(1 - hat, 1e-6)
    free = max(int(kept.sum()) - design.shape[1], 1)
    error = float(np.sqrt(np.square(residual).sum() / free))
    exact = int(kept.sum()) <= design.shape[1]
    return Fit(
        scale=float(found[-1]) if scaled else 1.0,
        trend=tuple(float(c) for c in found[:terms]),
        used=count,
        wrong=int(count - kept.sum()),
        rmse=float(np.sqrt(np.square(residual).mean())),
        loo=float("nan") if exact else float(np.sqrt(np.square(missed).mean())),
        standard_error=error * float(np.sqrt(hat.mean())),
        notes=tuple(dict.fromkeys(notes)),
    )


def _spread(u: Values, v: Values, terms: int) -> bool:
    """Tell whether the points settle all terms of a trend."""
    design = np.stack(_terms(u, v, terms), axis=1)
    values = np.linalg.svd(design, compute_uv=False)
    return bool(values[-1] > 1e-3 * values[0])


def _robust(design: Values, target: Values) -> tuple[Values, Values]:
    """Return coefficients, and weights 0 … 1."""
    found = _begin(design, target)
    weights = np.ones(len(target))
    for _ in range(_ROUNDS):
        residual = target - design @ found
        spread = max(1.4826 * float(np.median(np.abs(residual))), _FINEST)
        weights = np.square(np.clip(1 - np.square(residual / (_TUKEY * spread)), 0, None))
        root = np.sqrt(weights)
        fresh = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        if np.allclose(fresh, found, rtol=1e-9, atol=1e-9):
            break
        found = fresh
    return found, weights


def _begin(design: Values, target: Values) -> Values:
    """Return the fit through few points that half of the others lie closest to."""
    count, need = design.shape
    best = np.linalg.lstsq(design, target, rcond=None)[0]
    if count <= need + 1:
        return np.asarray(best)
    least = float(np.median(np.abs(target - design @ best)))
    rng = np.random.default_rng(0)
    for _ in range(_TRIALS):
        some = rng.choice(count, need, replace=False)
        try:
            tried = np.linalg.solve(design[some], target[some])
        except np.linalg.LinAlgError:
            continue
        middle = float(np.median(np.abs(target - design @ tried)))
        if middle < least:
            best, least = tried, middle
    return np.asarray(best)


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
