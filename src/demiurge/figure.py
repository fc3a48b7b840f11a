"""Figures of panels in a grid: images, hill-shaded heights, errors and uncertainties."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from demiurge.arrays import Array
from demiurge.raster.terrain import hillshade


@dataclass(frozen=True)
class Panel:
    """One picture: an image (rows, columns, 3) or metres (rows, columns); NaN is white."""

    title: str
    data: Array
    kind: Literal["image", "height", "error", "uncertainty"]


def draw(
    path: Path | IO[bytes], title: str, panels: list[Panel], gsd: float, columns: int = 6
) -> None:
    """Draw panels of equal size to a PNG.

    All heights share one colour scale, and all errors another. Uncertainties with different titles
    have separate scales. ``gsd`` is the pixel size in metres.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    aspect = float(np.clip(panels[0].data.shape[0] / panels[0].data.shape[1], 1 / 8, 8))
    figure = Figure(figsize=(2.9 * columns, 0.9 + rows * (2.7 * aspect + 0.5)), layout="compressed")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    low, high = np.percentile(_known(panels, "height"), (1, 99))
    limit = round_limit(float(np.percentile(np.abs(_known(panels, "error")), 98)))
    shown: dict[str, tuple[Any, list[Any]]] = {}
    for axis, panel in zip(axes.flat, panels, strict=False):
        axis.set_title(panel.title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
        picture = _show(axis, panel, (float(low), float(high)), limit, gsd)
        if picture is not None:
            key = panel.title if panel.kind == "uncertainty" else panel.kind
            shown.setdefault(key, (picture, []))[1].append(axis)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    labels = {"height": "height, m", "error": "error, m"}
    for key, (picture, where) in shown.items():
        label = labels.get(key, "metres")
        figure.colorbar(picture, ax=where, label=label, shrink=0.8, aspect=30, pad=0.02)
    _scale_bar(axes.flat[0], panels[0].data.shape[1] * gsd, gsd, 1.5)
    figure.suptitle(title, fontsize=12)
    figure.savefig(path, format="png", dpi=100, bbox_inches="tight")


def round_limit(limit: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten; 1 for numbers that are not positive."""
    if not limit > 0:
        return 1.0
    ten = 10.0 ** np.floor(np.log10(limit))
    return float(next(n * ten for n in (1, 2, 5, 10) if n * ten >= limit * (1 - 1e-9)))


def _known(panels: list[Panel], kind: str) -> Array:
    """Return all finite values of the panels of a kind; a single zero if there are none."""
    finite = [p.data[np.isfinite(p.data)] for p in panels if p.kind == kind]
    values = np.concatenate(finite) if finite else np.empty(0, np.float32)
    return values if values.size else np.zeros(1, np.float32)


def _show(axis: Any, panel: Panel, limits: tuple[float, float], limit: float, gsd: float) -> Any:
    if panel.kind == "image":
        low, high = np.nanpercentile(panel.data, (1, 99))
        scaled = np.clip((panel.data - low) / max(high - low, 1e-9), 0, 1)
        axis.imshow(np.nan_to_num(scaled, nan=1.0))
        return None
    if panel.kind == "height":
        picture = axis.imshow(panel.data, cmap="terrain", vmin=limits[0], vmax=limits[1])
        shade = hillshade(panel.data, gsd)
        axis.imshow(shade, cmap="gray", vmin=0, vmax=1, alpha=np.where(np.isnan(shade), 0, 0.5))
        return picture
    if panel.kind == "uncertainty":
        most = float(np.nanpercentile(panel.data, 98))
        return axis.imshow(panel.data, cmap="magma", vmin=0, vmax=most)
    return axis.imshow(panel.data, cmap="RdBu", vmin=-limit, vmax=limit)


def plot_raster(
    axis: Any,
    data: Array,
    extent: tuple[float, float, float, float],
    *,
    kind: Literal["image", "height", "uncertainty"],
    label: str,
    title: str,
) -> None:
    """Draw a raster in map coordinates, with colour bar, scale bar and title.

    Parameters
    ----------
    data
        float32 (rows, columns), north up, NaN for no data, which stays grey. Heights are
        hill-shaded.
    extent
        Left, right, bottom and top in metres.
    label
        Text of the colour bar, with the unit.
    """
    known = data[np.isfinite(data)]
    low, high = np.percentile(known, (1, 99)) if known.size else (0.0, 1.0)
    if kind == "uncertainty":
        low = 0.0
    colours = {"image": "gray", "height": "viridis", "uncertainty": "magma"}[kind]
    axis.set_facecolor("0.85")
    picture = axis.imshow(
        data, cmap=colours, vmin=low, vmax=max(high, low + 1e-6), extent=extent, zorder=1
    )
    if kind == "height":
        shade = hillshade(data, (extent[1] - extent[0]) / data.shape[1])
        dark = np.zeros((*data.shape, 4), np.float32)
        dark[..., 3] = np.clip(0.75 - np.nan_to_num(shade, nan=0.75), 0, 1)
        axis.imshow(dark, extent=extent, zorder=2)
        light = np.ones_like(dark)
        light[..., 3] = 0.8 * np.clip(np.nan_to_num(shade, nan=0.75) - 0.75, 0, 1)
        axis.imshow(light, extent=extent, zorder=2)
    ends = "max" if kind == "uncertainty" else "both"
    axis.figure.colorbar(picture, ax=axis, label=label, shrink=0.8, pad=0.02, extend=ends)
    axis.locator_params(nbins=6)
    # In the corner the labels of both axes would overlap.
    axis.locator_params(axis="y", prune="lower")
    axis.ticklabel_format(style="plain", useOffset=False)
    axis.tick_params(labelsize=8)
    for text in axis.get_yticklabels():
        text.set_rotation(90)
        text.set_verticalalignment("center")
    axis.set_xlabel("easting, m")
    axis.set_ylabel("northing, m")
    axis.set_title(title)
    _scale_bar(axis, extent[1] - extent[0], 1.0, (extent[3] - extent[2]) / 150)


def _scale_bar(axis: Any, width: float, unit: float, thickness: float) -> None:
    """Draw a scale bar of a round length, about a quarter of the width in metres.

    ``unit`` is the length of a unit of the axis in metres, and ``thickness`` is in such units.
    """
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    wanted = width / 4
    power = 10 ** np.floor(np.log10(wanted))
    length = max(n for n in (1, 2, 5) if n * power <= wanted) * power
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    bar = AnchoredSizeBar(
        axis.transData, length / unit, label, "lower left", pad=0.3, sep=3, size_vertical=thickness
    )
    bar.set_zorder(5)
    bar.patch.set_alpha(0.7)
    axis.add_artist(bar)
