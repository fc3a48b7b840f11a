"""Comparison of a surface with a reference and a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from demiurge.errors import DataError
from demiurge.evaluation.align import (
    AS_IS,
    FITTED,
    FLAT,
    AffineFit,
    AlignedRasters,
    align,
)
from demiurge.evaluation.collect import Collected, collect
from demiurge.evaluation.columns import Columns
from demiurge.evaluation.consistency import require_level, require_metres
from demiurge.evaluation.inputs import Inputs, open_inputs
from demiurge.evaluation.metrics import (
    ErrorStatistics,
    UncertaintyStatistics,
    error_statistics,
    statistics_of,
    uncertainty_statistics,
)
from demiurge.evaluation.slopes import SlopeErrors
from demiurge.evaluation.spatial import SpatialCorrelation, require_xdem, spatial_correlation
from demiurge.evaluation.strata import Stratum, known, strata
from demiurge.paths import RasterLike
from demiurge.progress import Advance, silent
from demiurge.scene.nuth_kaab import Shift
from demiurge.scene.options import NoData

#: Largest number of pixels for statistics of the uncertainty.
_UNCERTAINTY_PIXELS = 4_000_000
#: Number of compared pixels below which a note warns of unreliable statistics.
_FEW = 100

#: Statistics of which a ratio to the baseline is reported.
_RATIOS = ("mae", "rmse", "nmad", "le90")
_SLOPE_RATIOS = ("slope_mae", "slope_rmse", "aspect_mae", "aspect_rmse")


class Recorder(Protocol):
    """Receives the rasters and pixels of an evaluation, for a report."""

    def record(self, rasters: AlignedRasters, columns: Columns) -> None:
        """Receive the rasters, and errors and class variables of the compared pixels."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of a comparison; see :func:`evaluate`."""

    allow_offset: bool = False
    coregister: bool = False
    affine: bool = False
    spatial: bool = False
    sun: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """Results of a comparison.

    Attributes
    ----------
    surface, baseline
        Statistics of each against the reference; the baseline may be None. Relative heights are
        compared after the best affine fit.
    common
        Statistics of both over the pixels where both have a height.
    files
        Paths by role.
    notes
        Sentences on what was done and on what to check.
    strata
        Statistics by class, of the surface and of the baseline on the same pixels.
    slopes
        Errors of slope and aspect, by role.
    rivals
        Statistics of variants of the surface by name: with and without the affine fit, and the
        mean height everywhere.
    affine_fit
        The affine fit, if one was made.
    relative
        Whether the surface's heights are relative.
    shifts
        Translations by co-registration, by role.
    uncertainty
        Agreement of predicted uncertainty and errors, if the surface has an uncertainty band.
    spatial
        Spatial correlation of the errors, if requested.
    """

    surface: ErrorStatistics
    baseline: ErrorStatistics | None
    common: tuple[ErrorStatistics, ErrorStatistics] | None
    files: Mapping[str, str]
    notes: tuple[str, ...]
    strata: Mapping[str, Stratum]
    slopes: Mapping[str, SlopeErrors] = field(default_factory=dict)
    rivals: Mapping[str, ErrorStatistics] = field(default_factory=dict)
    affine_fit: AffineFit | None = None
    relative: bool = False
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    uncertainty: UncertaintyStatistics | None = None
    spatial: SpatialCorrelation | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; lengths in metres, angles in degrees."""
        content: dict[str, Any] = {
            "files": dict(self.files),
            "relative": self.relative,
            "surface": self.surface.as_dict(),
        }
        if self.baseline is not None and self.common is not None:
            content["baseline"] = self.baseline.as_dict()
            surface, baseline = self.common
            content["common"] = {"surface": surface.as_dict(), "baseline": baseline.as_dict()}
            content["ratio"] = self.ratios()
        content["strata"] = {name: stratum.as_dict() for name, stratum in self.strata.items()}
        content["shapes"] = {role: slopes.as_dict() for role, slopes in self.slopes.items()}
        if self.rivals:
            content["rivals"] = {name: rival.as_dict() for name, rival in self.rivals.items()}
        if self.affine_fit is not None:
            content["affine_fit"] = asdict(self.affine_fit)
        if self.shifts:
            content["shifts"] = {role: asdict(shift) for role, shift in self.shifts.items()}
        if self.uncertainty is not None:
            content["uncertainty"] = self.uncertainty.as_dict()
        if self.spatial is not None:
            content["spatial"] = self.spatial.as_dict()
        content["notes"] = list(self.notes)
        return content

    def ratios(self) -> dict[str, float]:
        """Return surface over baseline by statistic, on common pixels; below 1 is better."""
        if self.common is None:
            return {}
        surface, baseline = (s.as_dict() for s in self.common)
        ratios = {key: surface[key] / baseline[key] for key in _RATIOS if baseline[key]}
        if {"surface", "baseline"} <= set(self.slopes):
            own, other = (self.slopes[role].as_dict() for role in ("surface", "baseline"))
            ratios |= {key: own[key] / other[key] for key in _SLOPE_RATIOS if other[key] > 0}
        return ratios


def evaluate(
    surface: RasterLike,
    reference: RasterLike,
    *,
    baseline: RasterLike | None = None,
    landcover: RasterLike | None = None,
    ground: RasterLike | None = None,
    mask: RasterLike | None = None,
    nodata: NoData | None = None,
    allow_offset: bool = False,
    coregister: bool = False,
    affine: bool = False,
    spatial: bool = False,
    sun: float | None = None,
    report: Recorder | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare a surface with a reference on the surface's grid.

    Memory is bounded: beyond 10⁸ pixels the statistics use a random sample of 10⁸.

    Parameters
    ----------
    surface, reference, baseline
        Rasters of heights in metres: files (``file.tif:3`` selects the third band), or objects
        of xarray, such as the Dataset that ``refine`` returns. Reference and
        baseline are resampled to the surface's grid bilinearly, or cubically for a much coarser
        baseline. A surface of relative heights is compared after the best affine fit.
    landcover
        Raster of class numbers; statistics are reported by class.
    ground
        Raster of the bare earth under the reference; statistics are reported by height above it.
    mask
        Raster that is 0 at pixels to exclude.
    nodata
        By role (``surface``, ``reference``, …), stored values to treat as no data in addition to
        those that files declare; an empty list adds none.
    allow_offset
        Accept a surface or baseline whose median error exceeds 5 m and half of its NMAD, or that
        seems to be in feet.
    coregister
        Align surface and baseline with the reference first (needs xdem).
    affine
        Report statistics after the best affine fit as well.
    spatial
        Fit a variogram and report the standard error of the mean (needs xdem).
    sun
        Azimuth of the sun in degrees clockwise from north; errors are reported by illumination.
    report
        Receives the rasters and pixels for a report.
    advance
        Receives the number of processed megapixels.

    Raises
    ------
    ResourceError, DataError
        For missing files, no overlap, different units or vertical references, or no common pixel.
    """
    roles = {
        "surface": surface,
        "reference": reference,
        "baseline": baseline,
        "landcover": landcover,
        "ground": ground,
        "mask": mask,
    }
    options = EvaluationOptions(allow_offset, coregister, affine, spatial, sun)
    inputs = open_inputs(roles, nodata)
    with Columns(inputs.pixels) as columns:
        return evaluate_inputs(inputs, columns, options, report, advance)


def evaluate_inputs(
    inputs: Inputs,
    columns: Columns,
    options: EvaluationOptions,
    report: Recorder | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare opened rasters; fills the columns with errors and class variables.

    Raises
    ------
    ResourceError, DataError
        See :func:`evaluate`.
    """
    if options.coregister or options.spatial:
        require_xdem()
    alignment = align(inputs, by_shift=options.coregister, by_line=options.affine)
    rasters, path = alignment.rasters, inputs.sources["surface"].path
    collected = collect(rasters, columns, advance)
    if collected.count == 0 or not known(columns, "surface").any():
        raise DataError(
            f"{path} and {inputs.sources['reference'].path} share no pixel with a height",
            "check their no-data values",
        )
    own = error_statistics(columns.read("surface"), columns.count)
    notes = [*inputs.notes, *alignment.notes, *_warnings(inputs, own, collected, columns)]
    if not inputs.relative:
        notes += _check(inputs, collected, "surface", own, options)
    other, common = None, None
    if "baseline" in rasters.surfaces:
        other, common = _with_baseline(columns, own, inputs.sources["baseline"].path)
        notes += _check(inputs, collected, "baseline", other, options)
    if report is not None:
        report.record(rasters, columns)
    return Evaluation(
        surface=own,
        baseline=other,
        common=common,
        files=inputs.files,
        notes=tuple(notes),
        strata=strata(columns, options.sun),
        slopes=collected.slopes,
        rivals=_variants(columns),
        affine_fit=alignment.affine_fit,
        relative=inputs.relative,
        shifts=alignment.shifts,
        uncertainty=_uncertainty(columns),
        spatial=spatial_correlation(
            rasters.surfaces["surface"], rasters.reference, rasters.grid, own.std, rasters.mask
        ) if options.spatial else None,
    )  # fmt: skip


def _check(
    inputs: Inputs,
    collected: Collected,
    role: str,
    errors: ErrorStatistics,
    options: EvaluationOptions,
) -> list[str]:
    """Check that heights and reference share unit and level; return notes."""
    path, reference = inputs.sources[role].path, inputs.sources["reference"].path
    notes = require_metres(
        collected.moments.get(role), path, reference, allow_offset=options.allow_offset
    )
    return notes or require_level(errors, path, allow_offset=options.allow_offset)


def _warnings(
    inputs: Inputs, own: ErrorStatistics, collected: Collected, columns: Columns
) -> list[str]:
    """Return notes on constant rasters, few pixels and sampling."""
    notes = []
    for role in ("surface", "baseline", "reference"):
        low, high = collected.ranges.get(role, (0.0, 1.0))
        if low == high:
            path = inputs.sources[role].path
            notes.append(f"{path}: is {low:g} m everywhere; is this the right file?")
    if own.count < _FEW:
        notes.append(f"only {own.count} pixels are compared; the statistics are unreliable")
    if columns.share < 1:
        notes.append(
            f"the statistics use a random sample of {own.count:,} pixels: ranks of quantiles are "
            "off by 0.0002 at most"
        )
    return notes


def _with_baseline(
    columns: Columns, own: ErrorStatistics, path: str
) -> tuple[ErrorStatistics, tuple[ErrorStatistics, ErrorStatistics]]:
    """Return statistics of the baseline, and of surface and baseline on common pixels."""
    count = columns.count
    both = known(columns, "surface") & known(columns, "baseline")
    shared = int(both.sum())
    if not shared:
        raise DataError(
            f"{path}: shares no pixel with a height with surface and reference",
            "choose the baseline of this place",
        )
    other = error_statistics(columns.read("baseline"), count)
    first = own if shared == own.count else statistics_of(columns.read("surface"), both, count)
    second = (
        other if shared == other.count else statistics_of(columns.read("baseline"), both, count)
    )
    return other, (first, second)


def _variants(columns: Columns) -> dict[str, ErrorStatistics]:
    """Return statistics of the surface's variants where surface and baseline have heights."""
    names = [name for name in (FITTED, AS_IS, FLAT) if name in columns.names]
    if not names:
        return {}
    shared = known(columns, "surface")
    if "baseline" in columns.names:
        shared &= known(columns, "baseline")
    return {n: statistics_of(columns.read(n), shared, columns.count) for n in names}


def _uncertainty(columns: Columns) -> UncertaintyStatistics | None:
    if "uncertainty" not in columns.names:
        return None
    sample = columns.sample(("surface", "uncertainty"), _UNCERTAINTY_PIXELS)
    return uncertainty_statistics(sample["surface"], sample["uncertainty"])
