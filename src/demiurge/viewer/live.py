"""The result of a running prediction: finished rows as they come."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.layers import layer
from demiurge.predict.checkpoint import checkpoint_folder
from demiurge.scene.footprint import source_window
from demiurge.scene.grid import Window, window_grid
from demiurge.scene.source import Source
from demiurge.scene.warp import warp
from demiurge.viewer.catalogue import Catalogue, meaning
from demiurge.viewer.layers import ViewLayer


@dataclass
class LiveSource:
    """A band of a result that is being written; pixels not yet written are NaN.

    Once the result is complete, its file is read.
    """

    output: Path
    index: int
    name: str
    grid: GeoBox
    _finished: list[Source] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Return the path of the result."""
        return str(self.output)

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of the result's own grid: float32, NaN where nothing is written yet."""
        if (source := self._complete()) is not None:
            return source.read(grid, window, step)
        own = window_grid(grid, window)
        if step > 1:
            own = own.zoom_to((-(-window.height // step), -(-window.width // step)))
        return self.read_reduced(own)

    def read_reduced(self, grid: GeoBox) -> Array:
        """Read on another small grid."""
        if (source := self._complete()) is not None:
            return source.read_reduced(grid)
        shape = (int(grid.shape[0]), int(grid.shape[1]))
        part = source_window(self.grid, grid, 4)
        rows = checkpoint_folder(self.output) / "rows.f32"
        if part is None or not rows.exists():
            return np.full(shape, np.nan, np.float32)
        height, width = (int(n) for n in self.grid.shape)
        count = rows.stat().st_size // (4 * height * width)
        if self.index >= count:
            return np.full(shape, np.nan, np.float32)
        stored = np.memmap(rows, np.float32, "r", shape=(count, height, width))
        step = max(1, min(part.height // (2 * shape[0]), part.width // (2 * shape[1])))
        where = (slice(part.row, part.row + part.height, step),
                 slice(part.col, part.col + part.width, step))  # fmt: skip
        data = np.array(stored[(self.index, *where)])
        # Unwritten pixels are 0 in every band; a height and its deviation are never both 0.
        blank = np.all(np.asarray(stored[(slice(None), *where)]) == 0, axis=0)
        data[blank] = np.nan
        here = window_grid(self.grid, part).zoom_to(data.shape)
        return warp(data, here, grid, "nearest", 1.0)

    def _complete(self) -> Source | None:
        if not self._finished and not checkpoint_folder(self.output).exists():
            if not self.output.exists():
                return None
            known = layer(meaning(self.name)[1])
            self._finished.append(Source.open(self.output, known, self.index + 1, nodata=()))
        return self._finished[0] if self._finished else None


def add_live(catalogue: Catalogue, output: Path, raster: dict[str, Any]) -> None:
    """Put the bands of a running prediction before all other layers."""
    grid = GeoBox(tuple(raster["shape"]), Affine(*raster["affine"]), raster["crs"])
    ranges = [(one.low, one.high) for one in catalogue.layers.values() if one.show == "height"]
    low, high = ranges[0] if ranges else (0.0, 1.0)
    made: dict[str, ViewLayer] = {}
    for index, name in enumerate(raster["bands"]):
        show, _ = meaning(name)
        limits = (0.0, max((high - low) / 10, 0.1)) if show == "uncertainty" else (low, high)
        key = f"L{len(catalogue.layers) + index}"
        made[name] = ViewLayer(
            key, f"{output.name}: {name}", output.name, show, raster["unit"],
            (LiveSource(output, index, name, grid),), *limits, growing=True,
        )  # fmt: skip
    for name, one in made.items():
        other = made.get(f"{name}_uncertainty")
        linked = one if other is None else one.with_uncertainty(other.key)
        catalogue.layers[one.key] = linked
    catalogue.layers = {
        **{one.key: catalogue.layers[one.key] for one in made.values()}, **catalogue.layers,
    }  # fmt: skip


def state_of(output: Path) -> dict[str, Any] | None:
    """Return the state of the checkpoint of a result, None if there is none."""
    try:
        text = (checkpoint_folder(output) / "state.json").read_text(encoding="utf-8")
        content: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return content


def progress_of(output: Path) -> dict[str, Any]:
    """Return how far a prediction is: finished rows of its parts, and whether it is complete."""
    state = state_of(output)
    if state is None:
        return {"live": True, "finished": output.exists(), "done": -1}
    rows = int(state["kept"].get("raster", {"shape": [0]})["shape"][0])
    return {"live": True, "finished": False, "rows": rows, "done": sum(state["done"].values())}
