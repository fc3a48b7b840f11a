"""Values at a point, profiles along a line, and statistics of a box, from the files' own pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.metrics import error_statistics
from demiurge.evaluation.report.profiles import sample_profile
from demiurge.scene.crs import transform
from demiurge.scene.footprint import is_plain
from demiurge.scene.grid import Window, at, crs_name
from demiurge.scene.open import choose_grid
from demiurge.scene.source import Source
from demiurge.viewer.catalogue import Catalogue
from demiurge.viewer.layers import ViewLayer, is_local

#: Largest number of pixels that statistics read; larger boxes are thinned.
_MOST = 4_000_000
_WGS84 = "EPSG:4326"


def point(catalogue: Catalogue, lon: float, lat: float) -> dict[str, Any]:
    """Return the value of every layer at a place: that of the pixel it lies in.

    Returns
    -------
    ``x`` and ``y`` in the CRS of the first layer, ``crs``, ``lon``, ``lat``, and ``values``: for
    each layer its key and its value, None for no data.
    """
    first = next(iter(catalogue.layers.values()))
    x, y = _project(lon, lat, first.grid)
    values = {one.key: _values(one, lon, lat) for one in catalogue.layers.values()}
    return {
        "x": x, "y": y, "crs": crs_name(first.grid.crs), "local": is_local(first.grid),
        "lon": lon, "lat": lat, "values": values,
    }  # fmt: skip


def _values(one: ViewLayer, lon: float, lat: float) -> list[float] | None:
    x, y = _project(lon, lat, one.grid)
    column, row = at(~one.grid.affine, x, y)
    row, column = math.floor(row), math.floor(column)
    if not (0 <= row < one.grid.shape[0] and 0 <= column < one.grid.shape[1]):
        return None
    window = Window(row, column, 1, 1)
    numbers = [float(s.read(s.grid, window)[0, 0]) for s in one.sources]
    return None if any(math.isnan(n) for n in numbers) else numbers


def profile(
    catalogue: Catalogue, start: tuple[float, float], end: tuple[float, float]
) -> dict[str, Any]:
    """Return heights and uncertainties along a line between two places in degrees.

    Pixels are those of the first layer of heights, as in the reports of ``evaluate``.

    Raises
    ------
    DataError
        If an end lies outside that layer.
    """
    lead = _lead(catalogue)
    grid = metric_grid(lead)
    (x1, y1), (x2, y2) = _project(*start, grid), _project(*end, grid)
    shown = {
        one.key: one.sources[0]
        for one in catalogue.layers.values()
        if (one.show in ("height", "uncertainty") and one.unit == lead.unit)
        or one.show == "uncertainty"
    }  # fmt: skip
    line = sample_profile((x1, y1, x2, y2), shown, grid)
    return {
        "title": line.title,
        "along": [round(float(v), 3) for v in line.along],
        "values": {key: _listed(values) for key, values in line.heights.items()},
        "uncertainty": {
            one.key: one.uncertainty for one in catalogue.layers.values() if one.uncertainty
        },
    }


def _listed(values: Array) -> list[float | None]:
    return [None if math.isnan(v) else round(float(v), 4) for v in values]


def statistics(
    catalogue: Catalogue, key: str, bounds: tuple[float, float, float, float]
) -> dict[str, Any]:
    """Return statistics of a layer, or of a difference, in a box in degrees.

    Raises
    ------
    UsageError
        If there is no such layer, or it is a colour image.
    DataError
        If the box contains no pixel with a value.
    """
    one = catalogue.find(key)
    if len(one.sources) == 3:
        raise UsageError("a colour image has no statistics")
    window, step = _window(one, bounds)
    grid = one.grid
    data = one.sources[0].read(grid, window, step)
    if one.show == "difference":
        data = data - one.sources[1].read(grid, window, step)
    if not np.isfinite(data).any():
        raise DataError("the box contains no pixel with a value", "draw it elsewhere")
    of = error_statistics(data, data.size)
    known = data[np.isfinite(data)]
    low, middle, high = (float(v) for v in np.percentile(known, (5, 50, 95)))
    return {
        "key": one.key, "title": one.title, "unit": one.unit, "count": int(known.size),
        "voids": int(data.size - known.size), "step": step,
        "mean": float(known.mean(dtype=np.float64)), "median": middle,
        "std": float(known.std(dtype=np.float64)), "nmad": of.nmad, "rmse": of.rmse, "mae": of.mae,
        "p5": low, "p95": high, "min": float(known.min()), "max": float(known.max()),
    }  # fmt: skip


def _window(one: ViewLayer, bounds: tuple[float, float, float, float]) -> tuple[Window, int]:
    """Return the window of a box on a layer's grid, and the step that thins it."""
    left, bottom, right, top = bounds
    corners = [_project(x, y, one.grid) for x in (left, right) for y in (bottom, top)]
    places = np.array([at(~one.grid.affine, x, y) for x, y in corners])
    (c0, r0), (c1, r1) = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0))
    rows, columns = (int(n) for n in one.grid.shape)
    r0, r1 = (int(np.clip(v, 0, rows)) for v in (r0, r1))
    c0, c1 = (int(np.clip(v, 0, columns)) for v in (c0, c1))
    if r1 <= r0 or c1 <= c0:
        raise DataError("the box lies outside the layer", "draw it on the layer")
    step = max(1, math.ceil(math.sqrt((r1 - r0) * (c1 - c0) / _MOST)))
    return Window(r0, c0, r1 - r0, c1 - c0), step


def _lead(catalogue: Catalogue) -> ViewLayer:
    for one in catalogue.layers.values():
        if one.show == "height":
            return one
    raise UsageError("there is no layer of heights")


def metric_grid(one: ViewLayer) -> GeoBox:
    """Return the layer's grid, or one in metres if it is rotated or in degrees."""
    source = one.sources[0]
    if is_plain(source.grid) or not isinstance(source, Source):
        return source.grid
    return choose_grid({"dsm": source})[0]


def _project(lon: float, lat: float, grid: GeoBox) -> tuple[float, float]:
    x, y = transform(np.array([lon]), np.array([lat]), _WGS84, grid.crs)
    return float(x[0]), float(y[0])
