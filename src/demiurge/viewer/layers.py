"""Layers of the viewer: what they show, their ranges, and the differences of two."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DemiurgeError, UsageError
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import LOCAL_NAME, Bounds, Window, crs_name, pixel_size
from demiurge.scene.source import file_state

#: What a layer's values mean for its display.
Show = Literal["height", "difference", "uncertainty", "image", "index", "class"]

#: Side in pixels of the sample that ranges come from.
_SAMPLE = 512
#: Percentiles of the range of a layer.
_LOW, _HIGH = 2, 98


class LayerSource(Protocol):
    """What a layer reads its pixels from: a :class:`Source`, or a result in progress."""

    @property
    def grid(self) -> GeoBox:
        """Return the grid of its pixels."""

    @property
    def path(self) -> str:
        """Return its file."""

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of a grid: float32, NaN for no data."""

    def read_reduced(self, grid: GeoBox) -> Array:
        """Read a small grid for display."""


@dataclass(frozen=True)
class ViewLayer:
    """A layer of the viewer.

    Attributes
    ----------
    key
        Short name in addresses; never a path.
    title, group
        Name for people, and name of the file or scene it belongs to.
    show
        How it is displayed.
    unit
        Unit of its values: ``m``, ``relative``, ``DN`` or ``1``.
    sources
        One band; three for a colour image; two for a difference: the first minus the second.
    low, high
        Range of the display.
    uncertainty
        Key of the layer of its standard deviations, empty if there is none.
    growing
        Its pixels are still being computed.
    """

    key: str
    title: str
    group: str
    show: Show
    unit: str
    sources: tuple[LayerSource, ...]
    low: float = 0.0
    high: float = 1.0
    uncertainty: str = ""
    growing: bool = False

    @property
    def grid(self) -> GeoBox:
        """Return the grid of its first band."""
        return self.sources[0].grid

    @property
    def state(self) -> Hashable:
        """Return what changes when one of its files is written again."""
        return tuple(file_state(source.path) for source in self.sources)

    def with_uncertainty(self, key: str) -> ViewLayer:
        """Return the layer with the key of its standard deviations."""
        return replace(self, uncertainty=key)

    def read(self, grid: GeoBox) -> Array:
        """Return float32 (bands, rows, columns) on a small grid; NaN for no data."""
        bands = [source.read_reduced(grid) for source in self.sources]
        if self.show == "difference":
            return (bands[0] - bands[1])[None]
        return np.stack(bands)


def is_local(grid: GeoBox) -> bool:
    """Return whether a grid is a local frame."""
    return LOCAL_NAME in str(crs_name(grid.crs))


def difference(first: ViewLayer, second: ViewLayer) -> ViewLayer:
    """Return the layer of ``first`` minus ``second`` on the pixels of ``first``.

    Raises
    ------
    UsageError
        Unless both are heights in one unit.
    """
    if first.show != "height" or second.show != "height" or first.unit != second.unit:
        raise UsageError("only heights of one unit can be compared")
    title = f"{first.title} − {second.title}"
    made = ViewLayer(
        f"{first.key}-{second.key}", title, first.group, "difference", first.unit,
        (first.sources[0], second.sources[0]),
    )  # fmt: skip
    values = np.abs(made.read(sample_grid(first.grid)))
    known = values[np.isfinite(values)]
    limit = float(np.percentile(known, _HIGH)) if known.size else 1.0
    return replace(made, low=-max(limit, 1e-3), high=max(limit, 1e-3))


def range_of(of: ViewLayer) -> tuple[float, float]:
    """Return the range of display: percentiles of a sample."""
    values = of.read(sample_grid(of.grid))
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, (_LOW, _HIGH)))
    if of.show == "uncertainty":
        low = 0.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def sample_grid(grid: GeoBox) -> GeoBox:
    """Return a grid of the same extent with at most a few hundred pixels along a side."""
    longest = max(int(n) for n in grid.shape)
    step = max(1.0, longest / _SAMPLE)
    rows, columns = (max(1, round(int(n) / step)) for n in grid.shape)
    return grid.zoom_to((rows, columns))


def describe(one: ViewLayer) -> dict[str, Any]:
    """Return what the page needs to know of a layer."""
    return {
        "key": one.key, "title": one.title, "group": one.group, "show": one.show,
        "unit": one.unit, "low": one.low, "high": one.high, "uncertainty": one.uncertainty,
        "bounds": list(degrees(one.grid)),
        "shape": [int(n) for n in one.grid.shape],
        "pixel_size": _metres(one.grid), "crs": crs_name(one.grid.crs),
    }  # fmt: skip


def degrees(grid: GeoBox) -> Bounds:
    """Return the bounds of a grid in degrees: west, south, east, north."""
    return bounds_in(grid, CRS("EPSG:4326"))


def _metres(grid: GeoBox) -> float | None:
    try:
        return float(pixel_size(grid))
    except DemiurgeError:
        return None
