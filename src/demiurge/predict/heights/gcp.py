"""Finished rows brought to ground points before they become a surface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.arrays import Values
from demiurge.errors import DataError
from demiurge.predict.heights.gcp_fit import Fit, fit_points, sample
from demiurge.predict.surface import BandInfo
from demiurge.scene.points import GroundPoints

#: Rows fitted at a time.
_STRIPE = 256


@dataclass(frozen=True)
class Anchors:
    """Ground points on the pixels of a grid.

    Attributes
    ----------
    rows, columns
        float64 (count,): 0 is the centre of the first pixel.
    z
        float64 (count,), metres.
    notes
        What was assumed of the points' file, in sentences.
    """

    rows: Values
    columns: Values
    z: Values
    notes: tuple[str, ...] = ()


def place_points(points: GroundPoints, grid: GeoBox, name: str) -> Anchors:
    """Bring points to the grid and leave out those beside it.

    Raises
    ------
    DataError
        If none is left.
    """
    assert grid.crs is not None
    moved = points.in_crs(grid.crs.proj)
    columns, rows = ~grid.affine @ (moved.x, moved.y)
    rows, columns = np.asarray(rows) - 0.5, np.asarray(columns) - 0.5
    height, width = grid.shape
    inside = (rows >= -0.5) & (rows < height - 0.5) & (columns >= -0.5) & (columns < width - 0.5)
    if not inside.any():
        raise DataError(
            f"{name}: none of its {len(rows)} points lies on the image",
            "check their CRS, or tell it with --points-crs",
        )
    return Anchors(rows[inside], columns[inside], moved.z[inside], points.notes)


@dataclass(frozen=True)
class AnchoredRows:
    """Rows in metres after the fit.

    Attributes
    ----------
    rows
        float32 (bands, rows, columns) without a header.
    bands
        What they hold.
    fit
        How they were fitted.
    uncertainty
        Mean of the first band of uncertainty in metres, NaN without one.
    """

    rows: Path
    bands: list[BandInfo]
    fit: Fit
    uncertainty: float


def anchored(
    rows: Path, bands: list[BandInfo], grid: GeoBox, anchors: Anchors, *, relative: bool
) -> AnchoredRows:
    """Fit finished rows to ground points and write them beside.

    Ground points lie on the bare earth: the fit is made on ``dtm`` where there is one, and holds
    for all heights. Uncertainties are scaled, and that of the fit is added to them.

    Parameters
    ----------
    rows
        float32 (bands, rows, columns) without a header.
    relative
        Heights are relative: their scale is fitted too, and they become metres.
    """
    height, width = grid.shape
    shape = (len(bands), height, width)
    source = np.memmap(rows, np.float32, "r", shape=shape)
    lead = next((i for i, b in enumerate(bands) if b.name.startswith("dtm")), 0)
    heights = sample(source[lead], anchors.rows, anchors.columns)
    known = np.isfinite(heights)
    u, v = _unit(anchors.columns, width), _unit(anchors.rows, height)
    fit = fit_points(heights[known], u[known], v[known], anchors.z[known], scaled=relative)
    out = rows.with_name("anchored.f32")
    target = np.memmap(out, np.float32, "w+", shape=shape)
    across = _unit(np.arange(width), width)
    doubts = next((i for i, b in enumerate(bands) if b.name.endswith("_uncertainty")), None)
    total, count = 0.0, 0
    for top in range(0, height, _STRIPE):
        part = slice(top, min(top + _STRIPE, height))
        down = _unit(np.arange(height)[part], height)
        for index, band in enumerate(bands):
            plane = np.asarray(source[index, part])
            if band.name.endswith("_uncertainty"):
                target[index, part] = np.hypot(fit.scale * plane, fit.standard_error)
            else:
                target[index, part] = fit.apply(plane, across, down)
        if doubts is not None:
            stripe = np.asarray(target[doubts, part])
            total += float(np.nansum(stripe, dtype=np.float64))
            count += int(np.isfinite(stripe).sum())
    target.flush()
    mean = total / count if count else float("nan")
    return AnchoredRows(out, [_absolute(band) for band in bands], fit, mean)


def _unit(pixels: npt.NDArray[np.number], length: int) -> Values:
    return np.asarray(2 * (np.asarray(pixels, np.float64) + 0.5) / length - 1, np.float64)


def _absolute(band: BandInfo) -> BandInfo:
    return replace(band, name=band.name.replace("_relative", ""), unit="m")
