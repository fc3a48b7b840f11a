"""Compare a surface with a reference, and with what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.evaluation.metrics import ErrorStatistics, error_statistics
from demiurge.layers import Layer, layer
from demiurge.progress import Advance, silent
from demiurge.scene.grid import blocks, bounds_in, intersection, is_plain
from demiurge.scene.open import PathLike, choose_grid, split_band
from demiurge.scene.source import Source, open_raster
from demiurge.scene.vertical import agree, vertical_of

Array = npt.NDArray[np.float32]

_BLOCK = 1024
#: A median offset in metres that hints at different vertical references.
SUSPICIOUS_OFFSET = 5.0


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes
    ----------
    surface, baseline
        Statistics of each against the reference; the baseline may be None.
    common
        Both over the pixels where both have a height: the fair comparison.
    notes
        Sentences on what was done or should be looked at.
    """

    surface: ErrorStatistics
    baseline: ErrorStatistics | None
    common: tuple[ErrorStatistics, ErrorStatistics] | None
    files: Mapping[str, str]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; lengths in metres."""
        found: dict[str, Any] = {"files": dict(self.files), "surface": self.surface.as_dict()}
        if self.baseline is not None and self.common is not None:
            found["baseline"] = self.baseline.as_dict()
            surface, baseline = self.common
            found["common"] = {"surface": surface.as_dict(), "baseline": baseline.as_dict()}
            found["ratio"] = self.ratios()
        found["notes"] = list(self.notes)
        return found

    def ratios(self) -> dict[str, float]:
        """Return surface over baseline on their common pixels, by statistic; below 1 is better."""
        if self.common is None:
            return {}
        surface, baseline = (s.as_dict() for s in self.common)
        return {
            key: surface[key] / baseline[key]
            for key in ("mae", "rmse", "nmad", "le90")
            if baseline[key]
        }


def evaluate(
    surface: PathLike,
    reference: PathLike,
    *,
    baseline: PathLike | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare a surface with a reference on the surface's grid.

    Parameters
    ----------
    surface, reference, baseline
        Rasters of heights in metres; ``file.tif:3`` for the third band. Reference and baseline
        are brought to the surface's grid bilinearly (a baseline much coarser than it: cubically).

    Raises
    ------
    ResourceError, DataError
        For missing files, no overlap, other units or vertical references, nothing to compare.
    """
    roles = {"surface": surface, "reference": reference}
    if baseline is not None:
        roles["baseline"] = baseline
    sources = {role: _open(role, path) for role, path in roles.items()}
    _refuse_relative(sources["surface"].path)
    agree({s.path: vertical_of(s.grid.crs) for s in sources.values()})
    grid = sources["surface"].grid
    notes: list[str] = []
    if not is_plain(grid):
        grid, notes = choose_grid({"dsm": sources["surface"]})
    grid = _overlap(grid, sources)
    differences, reference_count = _differences(sources, grid, advance)
    if reference_count == 0 or not np.isfinite(differences["surface"]).any():
        raise DataError(
            f"{sources['surface'].path} and {sources['reference'].path} share no pixel with a "
            "height",
            "check their no-data values",
        )
    found = error_statistics(differences["surface"], reference_count)
    if abs(found.median) > SUSPICIOUS_OFFSET and abs(found.median) > 2 * found.nmad:
        notes.append(
            f"the surface lies {found.median:+.1f} m from the reference at the median: compare "
            "their vertical references"
        )
    other, common = None, None
    if "baseline" in differences:
        other, common = _against(differences, reference_count, sources["baseline"].path)
    return Evaluation(found, other, common, {r: s.path for r, s in sources.items()}, tuple(notes))


def _open(role: str, path: PathLike) -> Source:
    file, band = split_band(str(path))
    heights = layer("dsm")
    source = Source.open(file, heights, band)
    if role != "baseline":
        return source
    prior: Layer = layer("dem_prior")
    return Source.open(file, prior, band)


def _refuse_relative(path: str) -> None:
    with open_raster(path) as dataset:
        if dataset.tags().get("units") == "relative":
            raise UsageError(
                f"{path}: its heights are relative and cannot be compared in metres",
                "give generate a --prior to make them absolute",
            )


def _overlap(grid: GeoBox, sources: Mapping[str, Source]) -> GeoBox:
    """Return the part of the grid that the reference covers."""
    whole = bounds_in(grid, grid.crs)
    for role in sources:
        shared = intersection([whole, bounds_in(sources[role].grid, grid.crs)])
        if shared is None:
            raise DataError(
                f"{sources['surface'].path} and {sources[role].path} do not overlap",
                "check their CRS and extents with gdalinfo",
            )
    box = bounds_in(sources["reference"].grid, grid.crs)
    shared = intersection([whole, box])
    assert shared is not None
    a = grid.affine
    first_col = max(0, int((shared[0] - a.c) / a.a))
    first_row = max(0, int((shared[3] - a.f) / a.e))
    last_col = min(grid.shape[1], -int(-(shared[2] - a.c) / a.a // 1))
    last_row = min(grid.shape[0], -int(-(shared[1] - a.f) / a.e // 1))
    part = grid[first_row : max(last_row, first_row + 1), first_col : max(last_col, first_col + 1)]
    assert isinstance(part, GeoBox)
    return part


def _differences(
    sources: Mapping[str, Source], grid: GeoBox, advance: Advance
) -> tuple[dict[str, Array], int]:
    """Return surface − reference (and baseline − reference) where the reference has heights."""
    parts: dict[str, list[Array]] = {role: [] for role in sources if role != "reference"}
    count = 0
    for window in blocks((grid.shape[0], grid.shape[1]), _BLOCK):
        truth = sources["reference"].read(grid, window)
        known = np.isfinite(truth)
        count += int(known.sum())
        for role, found in parts.items():
            found.append((sources[role].read(grid, window) - truth)[known])
        advance(window.height * window.width / 1e6)
    return {role: np.concatenate(found) for role, found in parts.items()}, count


def _against(
    differences: Mapping[str, Array], reference_count: int, path: str
) -> tuple[ErrorStatistics, tuple[ErrorStatistics, ErrorStatistics]]:
    both = np.isfinite(differences["surface"]) & np.isfinite(differences["baseline"])
    if not both.any():
        raise DataError(
            f"{path}: shares no pixel with a height with surface and reference",
            "choose the baseline of this place",
        )
    common = (
        error_statistics(differences["surface"][both], reference_count),
        error_statistics(differences["baseline"][both], reference_count),
    )
    return error_statistics(differences["baseline"], reference_count), common
