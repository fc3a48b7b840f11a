"""Tables of what an evaluation has found, for the terminal and the report alike."""

from __future__ import annotations

from collections.abc import Sequence

from demiurge.evaluation.result import Evaluation
from demiurge.evaluation.sites import Sites

Row = tuple[str, ...]
Table = tuple[Row, Sequence[Row]]

ROWS = (
    ("count", "pixels compared", "{:d}"),
    ("coverage", "share of the reference", "{:.2%}"),
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
SHAPES = (
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


def figures(found: Evaluation) -> Table:
    """Return the statistics, beside the baseline's where there is one."""
    ratios = found.ratios()
    based = found.common is not None
    pair = found.common or (found.surface,)
    dicts = [s.as_dict() for s in pair]
    shapes = [found.shapes[r].as_dict() for r in ("surface", "baseline") if r in found.shapes]
    rows: list[Row] = []
    for entries, columns in ((ROWS, dicts), (SHAPES, shapes)):
        for key, name, form in entries:
            if len(columns) < len(pair):
                continue
            cells = [form.format(column[key]) for column in columns]
            if based:
                cells.append(f"{ratios[key]:.3f}" if key in ratios else "")
            rows.append((name, *cells))
    fitted = " after the affine fit" if found.relative else ""
    if not based:
        return ("", f"surface{fitted}"), rows
    return ("where both have heights", f"surface{fitted}", "baseline", "ratio"), rows


def rival_rows(found: Evaluation) -> Table | None:
    """Return what else the surface is held against, on the same pixels."""
    if not found.rivals or found.affinity is None:
        return None
    own = found.common[0] if found.common else found.surface
    name = "the surface after the best affine fit" if found.relative else "the surface"
    everyone = {name: own, **found.rivals}
    if found.common is not None:
        everyone["the baseline"] = found.common[1]
    rows = [
        (who, f"{s.mae:.3f}", f"{s.rmse:.3f}", f"{s.nmad:.3f}", f"{own.rmse / s.rmse:.3f}"
         if s.rmse else "")
        for who, s in everyone.items()
    ]  # fmt: skip
    line = found.affinity
    text = f"{line.scale:.4g} · height {line.offset:+.4g} m"
    rows.append((f"fit: {text}; correlation {line.correlation:.3f}", "", "", "", ""))
    return ("heights", "MAE, m", "RMSE, m", "NMAD, m", "RMSE of the first over it"), rows


def class_rows(found: Evaluation | Sites) -> Table:
    """Return the statistics by class."""
    based = found.common is not None
    rows: list[Row] = []
    for name, (own, other) in found.strata.items():
        row: Row = (name, f"{own.count}", f"{own.mean:+.3f}", f"{own.mae:.3f}", f"{own.rmse:.3f}",
               f"{own.nmad:.3f}")  # fmt: skip
        if based and other is not None:
            row += (f"{other.mae:.3f}", f"{own.mae / other.mae:.3f}" if other.mae else "")
        elif based:
            row += ("", "")
        rows.append(row)
    extra = ("baseline MAE, m", "ratio") if based else ()
    return ("class", "pixels", "mean, m", "MAE, m", "RMSE, m", "NMAD, m", *extra), rows


def doubt_rows(found: Evaluation) -> Table | None:
    """Return how well the told uncertainty goes with the errors."""
    if found.doubt is None:
        return None
    told = found.doubt
    rows = [(f"errors inside the {k} interval", f"{v:.1%}") for k, v in told.inside.items()]
    rows += [
        ("mean log-likelihood, nats", f"{told.likelihood:.3f}"),
        ("MAE of the surest half over that of all", f"{told.surest_half:.2f}"),
        ("  at best", f"{told.best_half:.2f}"),
        ("area between the sparsification curves over the MAE", f"{told.area:.3f}"),
    ]
    return ("told uncertainty", "found"), rows


def spatial_rows(found: Evaluation) -> Table | None:
    """Return what the variogram says."""
    if found.spatial is None:
        return None
    seen = found.spatial
    ranges = ", ".join(f"{r:.3g} m" for r in seen.ranges)
    shares = ", ".join(f"{s / sum(seen.sills):.0%}" for s in seen.sills) if any(seen.sills) else ""
    rows = [
        ("errors hang together over (near, far)", ranges),
        ("shares of the variance", shares),
        ("independent errors in the area", f"{seen.effective:.0f}"),
        ("standard error of the mean, m", f"{seen.standard_error:.4f}"),
    ]
    return ("variogram", "found"), rows


def site_rows(found: Sites) -> Table:
    """Return one row for each site and one for all of them, where both have heights.

    The coverage is the surface's own.
    """
    based = found.common is not None
    rows: list[Row] = []
    everyone = [(name, e.surface, e.common) for name, e in found.sites.items()]
    for name, own, common in (*everyone, ("all", found.surface, found.common)):
        shown = own if common is None else common[0]
        figures_ = (shown.median, shown.mae, shown.rmse, shown.nmad)
        cells = (f"{value:{'+' if i == 0 else ''}.3f}" for i, value in enumerate(figures_))
        row: Row = (name, f"{shown.count}", f"{own.coverage:.1%}", *cells)
        if based and common is not None and common[1].mae:
            row += (f"{common[1].mae:.3f}", f"{common[0].mae / common[1].mae:.3f}")
        elif based:
            row += ("", "")
        rows.append(row)
    extra = ("baseline MAE, m", "ratio") if based else ()
    first = "where both have heights" if based else _SITES[0]
    return (first, *_SITES[1:], *extra), rows


def interval_rows(found: Sites) -> Table | None:
    """Return pooled figures with their intervals over sites."""
    if not found.intervals:
        return None
    rows = [
        (_POOLED[key], f"{i.value:.3f}", f"{i.low:.3f} to {i.high:.3f}")
        for key, i in found.intervals.items()
    ]
    first = "all sites, where both have heights" if found.common is not None else "all sites"
    return (first, "figure", "95 % interval over sites"), rows
