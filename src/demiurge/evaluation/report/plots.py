"""Plots of the reports: arrays in, PNG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np

from demiurge.arrays import Array
from demiurge.evaluation.metrics import share_inside, sparsification
from demiurge.evaluation.report.profiles import Profile
from demiurge.evaluation.sites import Sites
from demiurge.evaluation.spatial import SpatialCorrelation

_COLOURS = {"surface": "#1f6fb4", "baseline": "#c46a1b", "reference": "#222222"}
_LEVELS = np.arange(0.05, 1, 0.05)


def _figure(size: tuple[float, float], rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Any, file: IO[bytes]) -> None:
    figure.savefig(file, format="png", dpi=100)


def histogram(file: IO[bytes], differences: Mapping[str, Array]) -> None:
    """Draw the distributions of errors, and a normal and a Laplace fit to the surface's."""
    known = {k: v[np.isfinite(v)] for k, v in differences.items()}
    limit = max(float(np.percentile(np.abs(v), 95)) for v in known.values()) or 1.0
    bins = np.linspace(-limit, limit, 121)
    figure, axes = _figure((9, 3.6))
    axis = axes[0, 0]
    for role, values in known.items():
        axis.hist(values, bins, density=True, histtype="step", color=_COLOURS[role], label=role)
    d = known["surface"].astype(np.float64)
    middle = float(np.median(d))
    nmad = max(1.4826 * float(np.median(np.abs(d - middle))), 1e-6)
    scale = max(float(np.abs(d - middle).mean()), 1e-6)
    x = np.linspace(-limit, limit, 400)
    normal = np.exp(-(((x - middle) / nmad) ** 2) / 2) / (nmad * np.sqrt(2 * np.pi))
    axis.plot(x, normal, "--", color="gray", label="normal, NMAD")
    laplace = np.exp(-np.abs(x - middle) / scale) / (2 * scale)
    axis.plot(x, laplace, ":", color="gray", label="Laplace, mean |d|")
    axis.set_xlabel("error, m")
    axis.set_ylabel("density, 1/m")
    axis.legend(frameon=False)
    _save(figure, file)


def profiles(file: IO[bytes], heights: Mapping[str, Array], gsd: float) -> None:
    """Draw heights along the row and the column with the largest errors."""
    errors = heights.get("baseline", heights["surface"]) - heights["reference"]
    size = np.nan_to_num(np.abs(errors))
    places: dict[str, Any] = {
        "west to east": (int(size.sum(axis=1).argmax()), slice(None)),
        "north to south": (slice(None), int(size.sum(axis=0).argmax())),
    }
    figure, axes = _figure((10, 6), rows=2)
    for axis, (name, place) in zip(axes[:, 0], places.items(), strict=True):
        lines = {role: plane[place] for role, plane in heights.items()}
        along = np.arange(lines["surface"].size) * gsd
        _draw_profile(axis, Profile(name, along, lines))
    axes[0, 0].legend(frameon=False)
    _save(figure, file)


def lines(file: IO[bytes], profiles: Sequence[Profile]) -> None:
    """Draw heights along lines."""
    figure, axes = _figure((10, 3 * len(profiles)), rows=len(profiles))
    for axis, profile in zip(axes[:, 0], profiles, strict=True):
        _draw_profile(axis, profile)
    axes[0, 0].legend(frameon=False)
    _save(figure, file)


def _draw_profile(axis: Any, profile: Profile) -> None:
    for role in ("baseline", "surface", "reference"):
        if role in profile.heights:
            heights = profile.heights[role]
            axis.plot(profile.along, heights, color=_COLOURS[role], lw=1, label=role)
    axis.set_title(profile.title, fontsize=10)
    axis.set_xlabel("distance, m")
    axis.set_ylabel("height, m")


def by_slope(file: IO[bytes], differences: Mapping[str, Array], slope: Array) -> None:
    """Draw the central 50 % and 90 % of errors against the slope of the reference."""
    figure, axes = _figure((9, 3.6))
    axis = axes[0, 0]
    # Individual pixels show outliers that the bands hide.
    own = differences["surface"]
    step = max(1, own.size // 4000)
    axis.plot(slope[::step], own[::step], ".", ms=1.5, color=_COLOURS["surface"], alpha=0.25)
    edges = np.array([0, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 90])
    for role, values in differences.items():
        middle, bands = [], []
        for low, high in pairwise(edges):
            some = values[(slope >= low) & (slope < high) & np.isfinite(values)]
            if some.size >= 50:
                middle.append((low + high) / 2)
                bands.append(np.percentile(some, (5, 25, 50, 75, 95)))
        if not middle:
            continue
        q = np.array(bands).T
        axis.fill_between(middle, q[0], q[4], color=_COLOURS[role], alpha=0.12)
        axis.fill_between(middle, q[1], q[3], color=_COLOURS[role], alpha=0.25)
        axis.plot(middle, q[2], color=_COLOURS[role], label=f"{role}: median, 50 %, 90 %")
    limit = np.nanpercentile(np.abs(own), 99.5) if np.isfinite(own).any() else 0
    axis.set_ylim(-1.1 * limit or -1, 1.1 * limit or 1)
    axis.axhline(0, color="gray", lw=0.5)
    axis.set_xlabel("slope of the reference, degrees")
    axis.set_ylabel("error, m")
    if axis.get_legend_handles_labels()[0]:  # empty if every class has too few pixels
        axis.legend(frameon=False)
    _save(figure, file)


def reliability(file: IO[bytes], errors: Array, deviations: Array) -> None:
    """Draw observed against predicted shares of errors, and the sparsification curves."""
    known = np.isfinite(errors) & np.isfinite(deviations) & (deviations > 0)
    size = np.abs(errors[known]).astype(np.float64)
    scale = deviations[known].astype(np.float64) / np.sqrt(2)
    observed = [share_inside(size, scale, level) for level in _LEVELS]
    figure, axes = _figure((10, 4), columns=2)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color="gray", lw=0.7)
    axis.plot(_LEVELS, observed, "o-", ms=3, color=_COLOURS["surface"])
    axis.set_xlabel("predicted share of errors inside the interval")
    axis.set_ylabel("observed share")
    axis.set_title("reliability", fontsize=10)
    axis = axes[0, 1]
    for name, order, style in (("by uncertainty", scale, "-"), ("by error (optimum)", size, ":")):
        shares, rest = sparsification(size, order)
        axis.plot(shares, rest, style, color=_COLOURS["surface"], label=name)
    axis.set_xlabel("share of removed pixels, most uncertain first")
    axis.set_ylabel("MAE of the remaining pixels, m")
    axis.set_title("sparsification", fontsize=10)
    axis.legend(frameon=False)
    _save(figure, file)


def variogram(file: IO[bytes], spatial: SpatialCorrelation) -> None:
    """Draw the empirical variogram of the errors."""
    figure, axes = _figure((9, 3.6))
    axis = axes[0, 0]
    axis.semilogx(spatial.lags, spatial.variances, "o-", ms=3, color=_COLOURS["surface"])
    for distance in spatial.ranges:
        axis.axvline(distance, color="gray", lw=0.7, ls=":")
    axis.set_xlabel("distance, m (dotted: correlation lengths)")
    axis.set_ylabel("semivariance, m²")
    _save(figure, file)


def by_site(file: IO[bytes], sites: Sites) -> None:
    """Draw each site's MAE and that of its baseline."""
    names = list(sites.sites)
    figure, axes = _figure((9, 1.2 + 0.28 * len(names)))
    axis = axes[0, 0]
    for number, site in enumerate(sites.sites.values()):
        own, other = site.common or (site.surface, None)
        if other is not None:
            axis.plot([own.mae, other.mae], [number] * 2, color="lightgray", zorder=0)
            axis.plot(other.mae, number, "o", color=_COLOURS["baseline"])
        axis.plot(own.mae, number, "o", color=_COLOURS["surface"])
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("MAE, m: surface blue, baseline brown")
    _save(figure, file)
