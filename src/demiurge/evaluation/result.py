"""What an evaluation has found, for tables, JSON and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from demiurge.evaluation.judged import Affinity
from demiurge.evaluation.metrics import Doubt, ErrorStatistics
from demiurge.evaluation.shape import ShapeErrors
from demiurge.evaluation.spatial import Shift, Spatial
from demiurge.evaluation.strata import Stratum

#: Statistics that are better the smaller they are.
_BETTER_SMALL = ("mae", "rmse", "nmad", "le90")
_SHAPES = ("slope_mae", "slope_rmse", "aspect_mae", "aspect_rmse")


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes
    ----------
    surface, baseline
        Statistics of each against the reference; the baseline may be None. Those of relative
        heights are taken after the best affine fit.
    common
        Both over the pixels where both have a height: the fair comparison.
    files
        Paths by role.
    notes
        Sentences on what was done or should be looked at.
    strata
        The surface's statistics, and the baseline's on the same pixels where there is one, by
        class.
    shapes
        Errors of slope and aspect, by role.
    rivals
        What else the surface is to be held against, by name: heights without the affine fit or
        with it, and the mean height everywhere.
    affinity
        The affine fit, where one was made.
    relative
        The surface's heights are relative.
    shifts
        By how much co-registration has moved surface and baseline.
    doubt
        How well the surface's uncertainty goes with its errors, where it has such a band.
    spatial
        How its errors hang together, where that was asked for.
    """

    surface: ErrorStatistics
    baseline: ErrorStatistics | None
    common: tuple[ErrorStatistics, ErrorStatistics] | None
    files: Mapping[str, str]
    notes: tuple[str, ...]
    strata: Mapping[str, Stratum]
    shapes: Mapping[str, ShapeErrors] = field(default_factory=dict)
    rivals: Mapping[str, ErrorStatistics] = field(default_factory=dict)
    affinity: Affinity | None = None
    relative: bool = False
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    doubt: Doubt | None = None
    spatial: Spatial | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; lengths in metres, angles in degrees."""
        found: dict[str, Any] = {
            "files": dict(self.files),
            "relative": self.relative,
            "surface": self.surface.as_dict(),
        }
        if self.baseline is not None and self.common is not None:
            found["baseline"] = self.baseline.as_dict()
            surface, baseline = self.common
            found["common"] = {"surface": surface.as_dict(), "baseline": baseline.as_dict()}
            found["ratio"] = self.ratios()
        found["strata"] = {name: stratum.as_dict() for name, stratum in self.strata.items()}
        found["shapes"] = {role: shape.as_dict() for role, shape in self.shapes.items()}
        if self.rivals:
            found["rivals"] = {name: rival.as_dict() for name, rival in self.rivals.items()}
        if self.affinity is not None:
            found["affine_fit"] = asdict(self.affinity)
        if self.shifts:
            found["shifts"] = {role: asdict(shift) for role, shift in self.shifts.items()}
        if self.doubt is not None:
            found["uncertainty"] = self.doubt.as_dict()
        if self.spatial is not None:
            found["spatial"] = self.spatial.as_dict()
        found["notes"] = list(self.notes)
        return found

    def ratios(self) -> dict[str, float]:
        """Return surface over baseline on their common pixels, by statistic; below 1 is better."""
        if self.common is None:
            return {}
        surface, baseline = (s.as_dict() for s in self.common)
        found = {key: surface[key] / baseline[key] for key in _BETTER_SMALL if baseline[key]}
        if {"surface", "baseline"} <= set(self.shapes):
            own, other = (self.shapes[role].as_dict() for role in ("surface", "baseline"))
            found |= {key: own[key] / other[key] for key in _SHAPES if other[key] > 0}
        return found
