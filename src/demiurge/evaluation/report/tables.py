"""Tables of results, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Sequence

from demiurge.evaluation.evaluate import Evaluation
from demiurge.evaluation.sites import Sites

Row = tuple[str, ...]
#: Headings and rows.
Table = tuple[Row, Sequence[Row]]

#: Key of a statistic, its name and its format.
STATISTICS = (
    ("count", "pixels compared", "{:d}"),
    ("coverage", "coverage of the reference", "{:.2%}"),
    ("mean", "mean error, m", "{:+.3f}"),
    ("median", "median error, m", "{:+.3f}"),
    ("mae", "MAE, m", "{:.3f}"),
    ("rmse", "RMSE, m", "{:.3f}"),
    ("std", "standard deviation, m", "{:.3f}"),
    ("nmad", "NMAD, m", "{:.3f}"),
    ("le68", "LE68, m", "{:.3f}"),
    ("le90", "LE90, m", "{:.3f}"),
    ("le95", "LE95, m", "{:.3f}"),
    ("q01", "1 % quantile, m", "{:+.3f}"),
    ("q99", "99 % quantile, m", "{:+.3f}"),
    ("within_1", "within 1 m", "{:.1%}"),
    ("within_2", "within 2 m", "{:.1%}"),
    ("within_5", "within 5 m", "{:.1%}"),
)
SLOPES = (
    ("slope_mean", "slope, mean error, °", "{:+.2f}"),
    ("slope_mae", "slope, MAE, °", "{:.2f}"),
    ("slope_rmse", "slope, RMSE, °", "{:.2f}"),
    ("aspect_mae", "aspect, MAE, °", "{:.1f}"),
)
_SITES = ("site", "pixels", "coverage", "median, m", "MAE, m", "RMSE, m", "NMAD, m")
_POOLED = {
    "mean": "mean error, m",
    "mae": "MAE, m",
    "rmse": "RMSE, m",
    "mae_ratio": "MAE over the baseline's",
    "rmse_ratio": "RMSE over the baseline's",
}


def statistics(evaluation: Evaluation) -> Table:
    """Return the statistics of the surface and, on common pixels, of the baseline."""
    ratios = evaluation.ratios()
    based = evaluation.common is not None
    pair = evaluation.common or (evaluation.surface,)
    dicts = [s.as_dict() for s in pair]
    by_role = evaluation.slopes
    slopes = [by_role[role].as_dict() for role in ("surface", "baseline") if role in by_role]
    rows: list[Row] = []
    for entries, columns in ((STATISTICS, dicts), (SLOPES, slopes)):
        for key, name, form in entries:
            if len(columns) < len(pair):
                continue
            cells = [form.format(column[key]) for column in columns]
            if based:
                cells.append(f"{ratios[key]:.3f}" if key in ratios else "")
            rows.append((name, *cells))
    surface = "surface after the affine fit" if evaluation.relative else "surface"
    if not based:
        return ("", surface), rows
    return ("where both have heights", surface, "baseline", "ratio"), rows


def variants(evaluation: Evaluation) -> Table | None:
    """Return the statistics of the surface's variants and the baseline, on the same pixels."""
    fit = evaluation.affine_fit
    if not evaluation.rivals or fit is None:
        return None
    own = evaluation.common[0] if evaluation.common else evaluation.surface
    name = "the surface after the best affine fit" if evaluation.relative else "the surface"
    everyone = {name: own, **evaluation.rivals}
    if evaluation.common is not None:
        everyone["the baseline"] = evaluation.common[1]
    rows = [
        (who, f"{s.mae:.3f}", f"{s.rmse:.3f}", f"{s.nmad:.3f}", f"{own.rmse / s.rmse:.3f}"
         if s.rmse else "")
        for who, s in everyone.items()
    ]  # fmt: skip
    text = f"{fit.scale:.4g} · height {fit.offset:+.4g} m"
    rows.append((f"fit: {text}; correlation {fit.correlation:.3f}", "", "", "", ""))
    return ("heights", "MAE, m", "RMSE, m", "NMAD, m", "RMSE of the first over this"), rows


def classes(results: Evaluation | Sites) -> Table:
    """Return the statistics by class."""
    based = results.common is not None
    rows: list[Row] = []
    for name, (own, other) in results.strata.items():
        row: Row = (name, f"{own.count}", f"{own.mean:+.3f}", f"{own.mae:.3f}", f"{own.rmse:.3f}",
               f"{own.nmad:.3f}")  # fmt: skip
        if based and other is not None:
            row += (f"{other.mae:.3f}", f"{own.mae / other.mae:.3f}" if other.mae else "")
        elif based:
            row += ("", "")
        rows.append(row)
    extra = ("baseline MAE, m", "ratio") if based else ()
    return ("class", "pixels", "mean, m", "MAE, m", "RMSE, m", "NMAD, m", *extra), rows


def uncertainty(evaluation: Evaluation) -> Table | None:
    """Return how well the predicted uncertainty agrees with the errors."""
    predicted = evaluation.uncertainty
    if predicted is None:
        return None
    rows = [(f"{level} interval", f"{s:.1%}") for level, s in predicted.inside.items()]
    rows += [
        ("mean log-likelihood, nats", f"{predicted.likelihood:.3f}"),
        ("MAE of the most certain half over that of all", f"{predicted.surest_half:.2f}"),
        ("  optimum", f"{predicted.best_half:.2f}"),
        ("area between the sparsification curves over the MAE", f"{predicted.area:.3f}"),
    ]
    return ("predicted interval", "observed share"), rows


def spatial(evaluation: Evaluation) -> Table | None:
    """Return the parameters of the variogram."""
    fit = evaluation.spatial
    if fit is None:
        return None
    ranges = ", ".join(f"{r:.3g} m" for r in fit.ranges)
    shares = ", ".join(f"{s / sum(fit.sills):.0%}" for s in fit.sills) if any(fit.sills) else ""
    rows = [
        ("correlation lengths (short, long)", ranges),
        ("shares of the variance", shares),
        ("independent errors in the area", f"{fit.effective:.0f}"),
        ("standard error of the mean, m", f"{fit.standard_error:.4f}"),
    ]
    return ("variogram", "value"), rows


def sites(results: Sites) -> Table:
    """Return one row for each site and one for all sites, on common pixels.

    The coverage is that of the surface alone.
    """
    based = results.common is not None
    rows: list[Row] = []
    everyone = [(name, e.surface, e.common) for name, e in results.sites.items()]
    for name, own, common in (*everyone, ("all", results.surface, results.common)):
        shown = own if common is None else common[0]
        values = (shown.median, shown.mae, shown.rmse, shown.nmad)
        cells = (f"{value:{'+' if i == 0 else ''}.3f}" for i, value in enumerate(values))
        row: Row = (name, f"{shown.count}", f"{own.coverage:.1%}", *cells)
        if based and common is not None and common[1].mae:
            row += (f"{common[1].mae:.3f}", f"{common[0].mae / common[1].mae:.3f}")
        elif based:
            row += ("", "")
        rows.append(row)
    extra = ("baseline MAE, m", "ratio") if based else ()
    first = "where both have heights" if based else _SITES[0]
    return (first, *_SITES[1:], *extra), rows


def intervals(results: Sites) -> Table | None:
    """Return pooled statistics with their intervals over sites."""
    if not results.intervals:
        return None
    rows = [
        (_POOLED[key], f"{i.value:.3f}", f"{i.low:.3f} to {i.high:.3f}")
        for key, i in results.intervals.items()
    ]
    first = "all sites, where both have heights" if results.common is not None else "all sites"
    return (first, "value", "95 % interval over sites"), rows
