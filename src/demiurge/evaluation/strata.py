"""Errors by class: slope of the reference, land cover, what the baseline had measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.evaluation.metrics import ErrorStatistics, error_statistics
from demiurge.progress import Advance
from demiurge.scene.grid import blocks, grown, pixel_size
from demiurge.scene.source import Source

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BLOCK = 1024
#: Slopes of the reference in degrees that classes begin at.
SLOPES = (0, 5, 15, 30, 45)
#: Classes of fewer pixels tell nothing.
_FEWEST = 50


def gather(
    sources: Mapping[str, Source], grid: GeoBox, advance: Advance
) -> tuple[dict[str, Array], dict[str, Array], int]:
    """Read rasters block by block where the reference has heights.

    Returns
    -------
    Surface − reference and baseline − reference in metres; what is known about the same pixels
    (``slope`` in degrees, ``landcover``, ``spread`` in metres); and how many there are.
    """
    judged = [role for role in ("surface", "baseline") if role in sources]
    about = [role for role in ("landcover", "spread") if role in sources]
    parts: dict[str, list[Array]] = {name: [] for name in (*judged, *about, "slope")}
    count = 0
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    for window in blocks(shape, _BLOCK):
        wide = grown(window, 1, shape)
        around = sources["reference"].read(grid, wide)
        row, col = window.row - wide.row, window.col - wide.col
        inner = (slice(row, row + window.height), slice(col, col + window.width))
        truth = around[inner]
        known = np.isfinite(truth)
        count += int(known.sum())
        parts["slope"].append(_slope(around, pixel_size(grid))[inner][known])
        for role in judged:
            parts[role].append((sources[role].read(grid, window) - truth)[known])
        for role in about:
            parts[role].append(sources[role].read(grid, window)[known])
        advance(window.height * window.width / 1e6)
    found = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    return (
        {role: found[role] for role in judged},
        {role: found[role] for role in (*about, "slope")},
        count,
    )


def read_differences(
    surfaces: Mapping[str, Source], reference: Source, grid: GeoBox, advance: Advance
) -> tuple[dict[str, Array], int]:
    """Return each surface − reference in metres where the reference has heights, and how many."""
    parts: dict[str, list[Array]] = {name: [] for name in surfaces}
    count = 0
    for window in blocks((int(grid.shape[0]), int(grid.shape[1])), _BLOCK):
        truth = reference.read(grid, window)
        known = np.isfinite(truth)
        count += int(known.sum())
        for name, surface in surfaces.items():
            parts[name].append((surface.read(grid, window) - truth)[known])
        advance(window.height * window.width / 1e6)
    return {name: np.concatenate(found) for name, found in parts.items()}, count


def _slope(heights: Array, gsd: float) -> Array:
    """Return slopes in degrees by central differences; NaN beside no data."""
    if min(heights.shape) < 2:
        return np.full(heights.shape, np.nan, np.float32)
    down, across = np.gradient(heights, gsd)
    return np.asarray(np.degrees(np.arctan(np.hypot(down, across))), np.float32)


def strata(
    differences: Mapping[str, Array], about: Mapping[str, Array]
) -> dict[str, tuple[ErrorStatistics, ErrorStatistics | None]]:
    """Return statistics of surface and baseline by class, on pixels where both have heights.

    In voids of the baseline there is the surface alone.
    """
    surface, baseline = differences["surface"], differences.get("baseline")
    found = {}
    for name, mask in _classes(about, baseline):
        here = mask & np.isfinite(surface)
        void = name == _VOIDS
        if baseline is not None and not void:
            here &= np.isfinite(baseline)
        if here.sum() < _FEWEST:
            continue
        count = int(mask.sum())
        other = None if baseline is None or void else error_statistics(baseline[here], count)
        found[name] = (error_statistics(surface[here], count), other)
    return found


_VOIDS = "voids of the baseline"


def _classes(about: Mapping[str, Array], baseline: Array | None) -> Iterator[tuple[str, Mask]]:
    slope = about["slope"]
    for low, high in zip(SLOPES, (*SLOPES[1:], 90), strict=True):
        yield f"slope {low}° to {high}°", (slope >= low) & (slope < high)
    cover = about.get("landcover")
    if cover is not None:
        for number in np.unique(cover[np.isfinite(cover)]):
            yield f"land cover {number:g}", cover == number
    if baseline is not None:
        yield _VOIDS, np.isnan(baseline)
