"""Compare a surface with a reference, and with what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.evaluation.metrics import Doubt, ErrorStatistics, doubt, error_statistics
from demiurge.evaluation.strata import gather, strata
from demiurge.layers import PRIOR, layer
from demiurge.progress import Advance, silent
from demiurge.scene.grid import bounds_in, intersection, is_plain
from demiurge.scene.open import PathLike, choose_grid, split_band
from demiurge.scene.source import Source, open_raster
from demiurge.scene.vertical import agree, vertical_of

Array = npt.NDArray[np.float32]

_HEIGHTS = ("surface", "reference", "baseline")
#: A median offset in metres that hints at different vertical references.
SUSPICIOUS_OFFSET = 5.0


class Taker(Protocol):
    """Takes what an evaluation has read."""

    def take(
        self,
        sources: Mapping[str, Source],
        grid: GeoBox,
        differences: Mapping[str, Array],
        about: Mapping[str, Array],
    ) -> None:
        """Take the rasters, their common grid, and errors and classes of the compared pixels."""


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
    strata
        The surface's statistics, and the baseline's on the same pixels where there is one, by
        class: slope of the reference, land cover, voids of the baseline.
    doubt
        How well the surface's uncertainty goes with its errors, where it has such a band.
    """

    surface: ErrorStatistics
    baseline: ErrorStatistics | None
    common: tuple[ErrorStatistics, ErrorStatistics] | None
    files: Mapping[str, str]
    notes: tuple[str, ...]
    strata: Mapping[str, tuple[ErrorStatistics, ErrorStatistics | None]]
    doubt: Doubt | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; lengths in metres."""
        found: dict[str, Any] = {"files": dict(self.files), "surface": self.surface.as_dict()}
        if self.baseline is not None and self.common is not None:
            found["baseline"] = self.baseline.as_dict()
            surface, baseline = self.common
            found["common"] = {"surface": surface.as_dict(), "baseline": baseline.as_dict()}
            found["ratio"] = self.ratios()
        found["strata"] = {
            name: {
                "surface": own.as_dict(),
                **({"baseline": other.as_dict()} if other is not None else {}),
            }
            for name, (own, other) in self.strata.items()
        }
        if self.doubt is not None:
            found["uncertainty"] = self.doubt.as_dict()
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
    landcover: PathLike | None = None,
    allow_offset: bool = False,
    report: Taker | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare a surface with a reference on the surface's grid.

    Parameters
    ----------
    surface, reference, baseline
        Rasters of heights in metres; ``file.tif:3`` for the third band. Reference and baseline
        are brought to the surface's grid bilinearly (a baseline much coarser than it: cubically).
    landcover
        Raster of class numbers; each class gets statistics of its own.
    allow_offset
        Go on where the surface lies more than 5 m from the reference at the median, which most
        often means another vertical reference or unit.
    report
        Is handed what was read, for pictures.

    Raises
    ------
    ResourceError, DataError
        For missing files, no overlap, other units or vertical references, nothing to compare.
    """
    roles = {"surface": surface, "reference": reference}
    if baseline is not None:
        roles["baseline"] = baseline
    if landcover is not None:
        roles["landcover"] = landcover
    sources = {role: _open(role, path) for role, path in roles.items()}
    spread = _uncertainty(sources["surface"])
    if spread is not None:
        sources["spread"] = spread
    _refuse_relative(sources["surface"].path)
    heights = [sources[role] for role in sources if role in _HEIGHTS]
    agree({s.path: vertical_of(s.grid.crs) for s in heights})
    grid, notes = common_grid(sources)
    differences, about, reference_count = gather(sources, grid, advance)
    if reference_count == 0 or not np.isfinite(differences["surface"]).any():
        raise DataError(
            f"{sources['surface'].path} and {sources['reference'].path} share no pixel with a "
            "height",
            "check their no-data values",
        )
    found = error_statistics(differences["surface"], reference_count)
    path = sources["surface"].path
    notes += require_level(found, path, allow_offset=allow_offset)
    other, common = None, None
    if "baseline" in differences:
        other, common = _against(differences, reference_count, sources["baseline"].path)
    told = about.get("spread")
    if report is not None:
        report.take(sources, grid, differences, about)
    return Evaluation(
        found,
        other,
        common,
        {r: s.path for r, s in sources.items() if r != "spread"},
        tuple(notes),
        strata(differences, about),
        None if told is None else doubt(differences["surface"], told),
    )


def require_level(found: ErrorStatistics, name: str, *, allow_offset: bool) -> list[str]:
    """Raise if a surface lies so far from the reference that something else is wrong.

    Returns
    -------
    What to say of it if that is allowed; nothing if there is nothing to say.
    """
    if abs(found.median) <= SUSPICIOUS_OFFSET or abs(found.median) <= 2 * found.nmad:
        return []
    text = f"{name}: lies {found.median:+.1f} m from the reference at the median"
    if not allow_offset:
        raise DataError(
            text, "compare their vertical references and units, or add --allow-offset to go on"
        )
    return [f"{text}: compare their vertical references"]


def common_grid(sources: Mapping[str, Source]) -> tuple[GeoBox, list[str]]:
    """Return the surface's grid where the reference covers it, and what was done to it."""
    grid, notes = sources["surface"].grid, list[str]()
    if not is_plain(grid):
        grid, notes = choose_grid({"dsm": sources["surface"]})
    return _overlap(grid, sources), notes


def open_role(role: str, path: PathLike) -> Source:
    """Open what plays a part in a comparison; relative heights are refused."""
    source = _open(role, path)
    _refuse_relative(source.path)
    return source


def _open(role: str, path: PathLike) -> Source:
    file, band = split_band(str(path))
    kinds = {"baseline": PRIOR, "landcover": "landcover"}
    return Source.open(file, layer(kinds.get(role, "dsm")), band)


def _uncertainty(surface: Source) -> Source | None:
    """Return the band that tells how sure the surface is, where it follows that of the heights."""
    with open_raster(surface.path) as dataset:
        names = dataset.descriptions
    name, after = names[surface.band - 1], surface.band + 1
    if name and after <= len(names) and names[after - 1] == f"{name}_uncertainty":
        return Source.open(surface.path, layer("triangulation_error"), after)
    return None


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
