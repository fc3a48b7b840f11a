"""Surfaces as figures of Matplotlib and as summaries for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DemiurgeError, UsageError, missing_extra
from demiurge.figure import plot_raster
from demiurge.scene.files import open_raster
from demiurge.scene.grid import Window
from demiurge.scene.preview import grid_facts
from demiurge.scene.validity import read_stored
from demiurge.summary import Picture, Table, html_summary, shaded, stretched, thinning

#: Largest side in pixels of what a figure shows.
_PLOTTED = 1200
#: Tags that the summary shows in other fields.
_SHOWN = ("vertical_reference", "inputs", "bundle", "units")


def read_band(path: Path, bands: tuple[str, ...], name: str, step: int) -> Array:
    """Read about every ``step``-th pixel of a band of a surface: float32, NaN for no data.

    Raises
    ------
    UsageError
        If the surface has no such band.
    ResourceError, DataError
        If the file cannot be read.
    """
    if name not in bands:
        raise UsageError(f"{path}: has no band '{name}'", f"choose {', '.join(bands)}")
    store = path.suffix.lower() == ".zarr"
    file = f'ZARR:"{path}":/{name}' if store else str(path)
    with open_raster(file) as dataset:
        rows, columns = dataset.shape
        shape = (-(-rows // step), -(-columns // step))
        band = 1 if store else bands.index(name) + 1
        return read_stored(dataset, band, Window(0, 0, rows, columns), shape)


def plot_band(
    path: Path, bands: tuple[str, ...], grid: GeoBox, unit: str, name: str, axes: Any
) -> Any:
    """Draw a band; see :meth:`demiurge.predict.surface.Surface.plot`."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise missing_extra("matplotlib", "report", "plotting a surface") from None
    step = max(1, -(-max(grid.shape) // _PLOTTED))
    data = read_band(path, bands, name, step)
    if axes is None:
        aspect = float(np.clip(grid.shape[0] / grid.shape[1], 0.3, 3))
        _, axes = plt.subplots(figsize=(7.5, 0.8 + 6.2 * aspect), layout="constrained")
    box = grid.extent.boundingbox
    kind: Literal["image", "height", "uncertainty"] = "height"
    if name.endswith("_uncertainty"):
        kind = "uncertainty"
    elif unit == "DN":
        kind = "image"
    plot_raster(
        axes,
        data,
        (box.left, box.right, box.bottom, box.top),
        kind=kind,
        label=f"{kind}, {unit}",
        title=f"{path.name}: {name}",
    )
    return axes


def prediction_html(
    title: str,
    grid: GeoBox,
    facts: list[tuple[str, str]],
    tags: dict[str, str],
    notes: tuple[str, ...],
    pictures: list[Picture],
) -> str:
    """Return the summary of a result as self-contained HTML."""
    rows = [(key, text) for key, text in tags.items() if key not in _SHOWN]
    return html_summary(
        title,
        [*grid_facts(grid), *facts],
        pictures=pictures,
        notes=notes,
        folded=("origin and options", Table(("tag", "value"), rows)),
    )


def thumbnails(path: Path, bands: tuple[str, ...], grid: GeoBox, unit: str) -> list[Picture]:
    """Return thumbnails of the first heights and their uncertainty; none if the file is gone."""
    step, pictures = thinning((int(grid.shape[0]), int(grid.shape[1]))), []
    try:
        for name in bands[:2]:
            data = read_band(path, bands, name, step)
            if unit == "DN" or name.endswith("_uncertainty"):
                pictures.append(Picture(name, stretched(data[None])))
                continue
            pixels, low, high = shaded(data, abs(grid.affine.a) * step)
            pictures.append(Picture(f"{name}, {low:.1f} to {high:.1f} {unit}", pixels))
    except DemiurgeError:
        return []
    return pictures
