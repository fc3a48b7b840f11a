"""Certify the accuracy of a surface from a few check points.

Every figure has a confidence interval that does not assume normal errors. The surface's own
uncertainty is recalibrated on the check points by split conformal prediction (Vovk et al. 2005,
"Algorithmic Learning in a Random World"): with k = ceil((n + 1) p), the k-th smallest ratio of
absolute error and standard deviation times the standard deviation bounds a new error with
probability p or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Values
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.accuracy_map import share_within, write_accuracy_map
from demiurge.evaluation.certificate import Calibration, Certificate, Comparison, Verdict
from demiurge.evaluation.check_points import (
    FEWEST,
    CheckPoints,
    moved_between,
    open_check_points,
    require_spread,
    sample,
)
from demiurge.evaluation.consistency import require_level
from demiurge.evaluation.inputs import common_grid, is_above_ground, is_relative, uncertainty_of
from demiurge.evaluation.intervals import (
    Interval,
    bootstrap_interval,
    nmad_interval,
    points_needed,
    quantile_interval,
)
from demiurge.evaluation.metrics import error_statistics
from demiurge.layers import layer
from demiurge.outputs import check_output
from demiurge.paths import PathLike, split_band
from demiurge.scene.source import Source

#: Linear errors by name: quantiles of absolute errors.
LINEAR = {"LE68": 0.68, "LE90": 0.90, "LE95": 0.95}
#: Figures that a requirement can name.
FIGURES = (*LINEAR, "NMAD", "RMSE", "bias")
#: The linear error that is mapped if no requirement names one.
_MAPPED = "LE90"


def certify(
    surface: PathLike,
    points: PathLike,
    *,
    require: Mapping[str, float] | None = None,
    other: PathLike | None = None,
    output: PathLike | None = None,
    points_crs: str | None = None,
    confidence: float = 0.95,
    allow_offset: bool = False,
    overwrite: bool = False,
) -> Certificate:
    """State a surface's accuracy from check points that it never used.

    Parameters
    ----------
    surface
        Raster of heights in metres; ``FILE:BAND`` for another band.
    points
        Check points (CSV, GeoPackage, LAS, LAZ) or a reference raster.
    require
        Largest permitted value in metres by figure: LE68, LE90, LE95, NMAD, RMSE, bias.
    other
        Another surface to compare at the same points.
    output
        GeoTIFF to write: the recalibrated linear error of each pixel in metres, and 1 where it is
        within the limit, 0 elsewhere.
    points_crs
        CRS of the points if the file has none.
    confidence
        Probability that an interval holds the true figure.
    allow_offset
        Continue where the vertical reference seems to differ.

    Raises
    ------
    UsageError
        For unknown figures, or an output of the surface without uncertainty.
    DataError
        For relative heights or heights above ground, fewer than 10 usable points, points in one
        place, or a vertical offset.
    """
    limits = _limits(require or {})
    target = _map_path(output, (surface, points, other), overwrite=overwrite)
    heights = _open(surface)
    grid, notes = common_grid({"surface": heights, "reference": heights})
    checks = open_check_points(str(points), heights, grid, points_crs)
    sampled = sample(heights, grid, checks)
    known = np.flatnonzero(np.isfinite(sampled))
    voids = len(checks) - known.size
    _require_enough(str(points), known.size, voids, str(surface))
    used, errors = checks.at(known), sampled[known] - checks.heights[known]
    notes += [*checks.notes, *require_spread(used, grid, str(points))]
    statistics = error_statistics(errors.astype(np.float32), errors.size)
    notes += require_level(statistics, str(surface), allow_offset=allow_offset)
    figures = figures_of(errors, confidence)
    uncertainty = uncertainty_of(heights)
    calibration = None
    if uncertainty is not None:
        calibration = _calibrated(uncertainty, grid, used, errors, figures, limits)
        if calibration is None:
            notes.append(_too_few(limits, known.size))
    if target is not None:
        if calibration is None or uncertainty is None:
            raise _no_map(surface, "" if uncertainty is None else notes[-1])
        _write_map(target, uncertainty, grid, calibration)
    return Certificate(
        surface=str(surface),
        points=str(points),
        count=int(known.size),
        voids=int(voids),
        confidence=confidence,
        figures=figures,
        verdicts=tuple(verdict(figures, name, limit, known.size) for name, limit in limits.items()),
        calibration=calibration,
        comparison=None if other is None else _compared(other, grid, used, errors, confidence),
        quadrants=_quadrants(used, grid),
        notes=tuple(notes),
    )


def _map_path(
    output: PathLike | None, inputs: Iterable[PathLike | None], *, overwrite: bool
) -> Path | None:
    """Return the path of the map; raise if it cannot be written, or would replace an input."""
    if output is None:
        return None
    files = [file for file in inputs if file is not None]
    check_output(Path(output), overwrite=overwrite, inputs=files, suffixes=(".tif", ".tiff"))
    return Path(output)


def _write_map(path: Path, uncertainty: Source, grid: GeoBox, calibration: Calibration) -> None:
    limits = calibration.factor, calibration.limit, calibration.figure
    write_accuracy_map(path, uncertainty, grid, *limits)


def _no_map(surface: PathLike, reason: str) -> UsageError:
    """Return the error of a map without calibration; without a reason there is no uncertainty."""
    return UsageError(
        f"{surface}: no map can be written"
        + (f": {reason}" if reason else " without an uncertainty band"),
        "leave out the map, or give a surface that demiurge refine or generate wrote",
    )


def figures_of(errors: Values, confidence: float = 0.95) -> dict[str, Interval]:
    """Return accuracy figures of errors in metres, each with its confidence interval.

    Parameters
    ----------
    errors
        float64 (count,), finite: surface minus check point.
    """
    absolute = np.abs(errors)
    figures = {n: quantile_interval(absolute, share, confidence) for n, share in LINEAR.items()}
    figures["bias"] = quantile_interval(errors, 0.5, confidence)
    figures["NMAD"] = nmad_interval(errors, confidence)
    figures["mean"] = bootstrap_interval(errors, "mean", confidence)
    figures["RMSE"] = bootstrap_interval(errors, "rmse", confidence)
    return figures


def verdict(figures: Mapping[str, Interval], name: str, limit: float, count: int) -> Verdict:
    """Compare a figure's interval with a limit; the bias counts by its absolute value."""
    value, low, high = figures[name]
    if name == "bias":
        low, high = (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(-low, high)
        value = abs(value)
    if high <= limit:
        return Verdict(name, limit, "met")
    if low > limit:
        return Verdict(name, limit, "not met")
    if not math.isfinite(high):
        return Verdict(name, limit, "undecided", points_needed(LINEAR[name]))
    distance = abs(limit - value)
    width = (high - value) if limit > value else (value - low)
    # Intervals narrow with the square root of the number of points.
    needed = 0 if distance == 0 else math.ceil(count * (width / distance) ** 2)
    return Verdict(name, limit, "undecided", needed)


def conformal_factor(errors: Values, deviations: Values, share: float) -> float:
    """Return the factor on standard deviations that bounds a share of absolute errors.

    Parameters
    ----------
    errors, deviations
        float64 (count,): errors, and the standard deviations predicted for them, in metres.
    share
        Probability p that a new error is within factor times its standard deviation.

    Returns
    -------
    The k-th smallest ratio, k = ceil((n + 1) p); infinite if there are fewer than k points.
    """
    ratios = np.sort(np.abs(errors) / deviations)
    rank = math.ceil((len(ratios) + 1) * share)
    return float(ratios[rank - 1]) if rank <= len(ratios) else math.inf


def compare_errors(errors: Values, others: Values, confidence: float) -> tuple[Interval, Interval]:
    """Compare the errors of two surfaces at the same points.

    Returns
    -------
    Median of abs(others) - abs(errors) with its interval; share of points where ``errors`` is the
    smaller one, with its exact interval (Clopper and Pearson 1934), ties counted half.
    """
    from scipy.stats import beta

    gains = np.abs(others) - np.abs(errors)
    count = len(gains)
    wins = float((gains > 0).sum() + 0.5 * (gains == 0).sum())
    tail = (1 - confidence) / 2
    low = 0.0 if wins == 0 else float(beta.ppf(tail, wins, count - wins + 1))
    high = 1.0 if wins == count else float(beta.ppf(1 - tail, wins + 1, count - wins))
    return quantile_interval(gains, 0.5, confidence), Interval(wins / count, low, high)


def _limits(require: Mapping[str, float]) -> dict[str, float]:
    names = {name.lower(): name for name in FIGURES}
    limits: dict[str, float] = {}
    for name, limit in require.items():
        if name.lower() not in names:
            raise UsageError(f"{name}: not a figure", f"choose among {', '.join(FIGURES)}")
        if not 0 < limit < math.inf:
            raise UsageError(f"{name}={limit:g}: not a limit in metres", "give a number above 0")
        limits[names[name.lower()]] = float(limit)
    return limits


def _open(path: PathLike) -> Source:
    file, band = split_band(str(path))
    source = Source.open(file, layer("dsm"), band, role="surface")
    if is_relative(source.path):
        raise DataError(
            f"{path}: its heights are relative",
            "fit it to ground control points with demiurge generate --points, or give a --prior",
        )
    if is_above_ground(source.path):
        raise DataError(
            f"{path}: its heights are above ground, and check points are elevations",
            "make a surface with demiurge generate --prior, and certify that",
        )
    return source


def _require_enough(name: str, count: int, voids: int, surface: str) -> None:
    if count >= FEWEST:
        return
    lie = f", and {voids} lie on voids of {surface}" if voids else ""
    raise DataError(
        f"{name}: only {count} check points have a height in the surface{lie}",
        f"give {FEWEST} or more; 72 give LE95 an upper bound",
    )


def _mapped(limits: Mapping[str, float]) -> str:
    """Return the linear error that is mapped: the first that is required, else LE90."""
    return next((name for name in limits if name in LINEAR), _MAPPED)


def _too_few(limits: Mapping[str, float], count: int) -> str:
    name = _mapped(limits)
    share = LINEAR[name]
    least = math.ceil(share / (1 - share))
    return (
        f"{count} check points with an uncertainty are too few to recalibrate {name}: {least} or "
        "more are needed"
    )


def _calibrated(
    uncertainty: Source,
    grid: GeoBox,
    points: CheckPoints,
    errors: Values,
    figures: Mapping[str, Interval],
    limits: Mapping[str, float],
) -> Calibration | None:
    from scipy.stats import norm

    deviations = sample(uncertainty, grid, points)
    usable = np.isfinite(deviations) & (deviations > 0)
    name = _mapped(limits)
    factor = conformal_factor(errors[usable], deviations[usable], LINEAR[name])
    if not math.isfinite(factor):
        return None
    limit = limits.get(name, figures[name].value)
    share = share_within(uncertainty, grid, factor, limit)
    return Calibration(name, factor, float(norm.ppf((1 + LINEAR[name]) / 2)), limit, share)


def _compared(
    other: PathLike, grid: GeoBox, points: CheckPoints, errors: Values, confidence: float
) -> Comparison:
    source = _open(other)
    # It is interpolated on its own grid, not resampled before.
    own, _ = common_grid({"surface": source, "reference": source})
    rows, columns, inside = moved_between(points, grid, own)
    moved = CheckPoints(rows, columns, points.heights)
    heights = np.where(inside, sample(source, own, moved), np.nan)
    both = np.isfinite(heights)
    count = int(both.sum())
    if count < FEWEST:
        raise DataError(
            f"{other}: only {count} check points have a height in both surfaces",
            f"give {FEWEST} or more",
        )
    gain, better = compare_errors(errors[both], (heights - points.heights)[both], confidence)
    state = "better" if better.low > 0.5 else "worse" if better.high < 0.5 else "undecided"
    return Comparison(str(other), count, gain, better, state)


def _quadrants(points: CheckPoints, grid: GeoBox) -> tuple[float, float, float, float]:
    south = points.rows > grid.shape[0] / 2 - 0.5
    east = points.columns > grid.shape[1] / 2 - 0.5
    shares = [float((s & e).mean()) for s in (~south, south) for e in (~east, east)]
    return shares[0], shares[1], shares[2], shares[3]
