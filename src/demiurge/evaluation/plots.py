"""Plots of errors, for reports. Arrays in, PNG out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

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
    """Draw the spread of errors beside a normal and a Laplace distribution of the surface's."""
    known = {k: v[np.isfinite(v)] for k, v in differences.items()}
    reach = max(float(np.percentile(np.abs(v), 95)) for v in known.values()) or 1.0
    bins = np.linspace(-reach, reach, 121)
    figure, axes = _figure((9, 3.6))
    axis = axes[0, 0]
    for role, values in known.items():
        axis.hist(values, bins, density=True, histtype="step", color=_COLOURS[role], label=role)
    d = known["surface"].astype(np.float64)
    middle = float(np.median(d))
    nmad = max(1.4826 * float(np.median(np.abs(d - middle))), 1e-6)
    scale = max(float(np.abs(d - middle).mean()), 1e-6)
    x = np.linspace(-reach, reach, 400)
    normal = np.exp(-(((x - middle) / nmad) ** 2) / 2) / (nmad * np.sqrt(2 * np.pi))
    axis.plot(x, normal, "--", color="gray", label="normal, NMAD")
    laplace = np.exp(-np.abs(x - middle) / scale) / (2 * scale)
    axis.plot(x, laplace, ":", color="gray", label="Laplace, mean |d|")
    axis.set_xlabel("error, m")
    axis.set_ylabel("density, 1/m")
    axis.legend(frameon=False)
    _save(figure, file)


def profiles(file: IO[bytes], planes: Mapping[str, Array], gsd: float) -> None:
    """Draw heights along the row and the column where the most is wrong."""
    worst = planes.get("baseline", planes["surface"]) - planes["reference"]
    size = np.nan_to_num(np.abs(worst))
    lines: dict[str, Any] = {
        "west to east": (int(size.sum(axis=1).argmax()), slice(None)),
        "north to south": (slice(None), int(size.sum(axis=0).argmax())),
    }
    figure, axes = _figure((10, 6), rows=2)
    for axis, (name, place) in zip(axes[:, 0], lines.items(), strict=True):
        for role in ("baseline", "surface", "reference"):
            if role in planes:
                heights = planes[role][place]
                along = np.arange(heights.size) * gsd
                axis.plot(along, heights, color=_COLOURS[role], lw=1, label=role)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("m")
        axis.set_ylabel("height, m")
    axes[0, 0].legend(frameon=False)
    _save(figure, file)


def by_slope(file: IO[bytes], differences: Mapping[str, Array], slope: Array) -> None:
    """Draw the middle half and the 90 % of errors against the slope of the reference."""
    figure, axes = _figure((9, 3.6))
    axis = axes[0, 0]
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
    axis.axhline(0, color="gray", lw=0.5)
    axis.set_xlabel("slope of the reference, degrees")
    axis.set_ylabel("error, m")
    axis.legend(frameon=False)
    _save(figure, file)


def reliability(file: IO[bytes], difference: Array, spread: Array) -> None:
    """Draw promised against found shares, and the error of what is left as doubt is removed."""
    known = np.isfinite(difference) & np.isfinite(spread) & (spread > 0)
    size = np.abs(difference[known]).astype(np.float64)
    scale = spread[known].astype(np.float64) / np.sqrt(2)
    found = [float((size <= -scale * np.log(1 - level)).mean()) for level in _LEVELS]
    figure, axes = _figure((10, 4), columns=2)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color="gray", lw=0.7)
    axis.plot(_LEVELS, found, "o-", ms=3, color=_COLOURS["surface"])
    axis.set_xlabel("promised share of errors inside")
    axis.set_ylabel("found")
    axis.set_title("reliability", fontsize=10)
    axis = axes[0, 1]
    for name, order, style in (
        ("told", np.argsort(scale), "-"),
        ("were the errors known", np.argsort(size), ":"),
    ):
        mean = np.cumsum(size[order]) / np.arange(1, size.size + 1)
        kept = np.linspace(0.05, 1, 60)
        at = np.minimum((kept * size.size).astype(int), size.size - 1)
        axis.plot(1 - kept, mean[at], style, color=_COLOURS["surface"], label=name)
    axis.set_xlabel("share of the least sure pixels removed")
    axis.set_ylabel("MAE of the rest, m")
    axis.set_title("sparsification", fontsize=10)
    axis.legend(frameon=False)
    _save(figure, file)
