"""Compare a surface with a reference, and with what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from demiurge.errors import DataError
from demiurge.evaluation.agreement import require_level, require_metres
from demiurge.evaluation.collect import Collected, Pair, collect
from demiurge.evaluation.columns import Column, Columns
from demiurge.evaluation.inputs import Opened, open_all
from demiurge.evaluation.judged import Affinity, Judged, affinity
from demiurge.evaluation.metrics import (
    Doubt,
    ErrorStatistics,
    doubt,
    error_statistics,
    statistics_of,
)
from demiurge.evaluation.result import Evaluation
from demiurge.evaluation.spatial import Shift, moved_onto, require_xdem, spatial_of
from demiurge.evaluation.strata import known, strata
from demiurge.paths import PathLike
from demiurge.progress import Advance, silent
from demiurge.scene.undeclared import NoData

#: Pixels of which uncertainties are judged, at most.
_DOUBTED = 4_000_000
#: Compared pixels below which figures mean little.
_FEW = 100

AS_IS = "the surface as it is, level alone fitted"
FITTED = "the surface after the best affine fit"
FLAT = "the mean height everywhere"


class Taker(Protocol):
    """Takes what an evaluation has read."""

    def take(self, pair: Pair, columns: Columns) -> None:
        """Take the rasters, and errors and classes of the compared pixels."""


@dataclass(frozen=True)
class How:
    """How a comparison is made; see :func:`evaluate`."""

    allow_offset: bool = False
    coregister: bool = False
    affine: bool = False
    spatial: bool = False
    sun: float | None = None


def evaluate(
    surface: PathLike,
    reference: PathLike,
    *,
    baseline: PathLike | None = None,
    landcover: PathLike | None = None,
    ground: PathLike | None = None,
    mask: PathLike | None = None,
    nodata: NoData | None = None,
    allow_offset: bool = False,
    coregister: bool = False,
    affine: bool = False,
    spatial: bool = False,
    sun: float | None = None,
    report: Taker | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare a surface with a reference on the surface's grid.

    Memory does not grow with the rasters beyond 10⁸ pixels; of more, figures come from an even
    random choice of 10⁸.

    Parameters
    ----------
    surface, reference, baseline
        Rasters of heights in metres; ``file.tif:3`` for the third band. Reference and baseline
        are brought to the surface's grid bilinearly (a baseline much coarser than it: cubically).
        A surface of relative heights is judged after the best affine fit.
    landcover
        Raster of class numbers; each class gets statistics of its own.
    ground
        Raster of the bare earth under the reference; classes of height above it are told apart.
    mask
        Raster that is 0 where nothing is to be compared.
    nodata
        By role (``surface``, ``reference``, …), the stored values that are no data besides those
        that files declare; none at all for an empty list.
    allow_offset
        Go on where surface or baseline lie more than 5 m and half of their NMAD from the reference
        at the median, or differ from it as feet do from metres.
    coregister
        First move surface and baseline to lie on the reference (needs xdem).
    affine
        Tell also how good the surface is after the best affine fit.
    spatial
        Fit a variogram and tell the standard error of the mean (needs xdem).
    sun
        Its azimuth in degrees clockwise from north; slopes are then told apart by its light.
    report
        Is handed what was read, for pictures.

    Raises
    ------
    ResourceError, DataError
        For missing files, no overlap, other units or vertical references, nothing to compare.
    """
    roles = {
        "surface": surface,
        "reference": reference,
        "baseline": baseline,
        "landcover": landcover,
        "ground": ground,
        "mask": mask,
    }
    how = How(allow_offset, coregister, affine, spatial, sun)
    opened = open_all(roles, nodata)
    with Columns(opened.pixels) as columns:
        return judge(opened, columns, how, report, advance)


@dataclass
class _Arranged:
    """The rasters as they are compared, and what was found in arranging them."""

    pair: Pair
    affinity: Affinity | None = None
    shifts: dict[str, Shift] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def judge(
    opened: Opened,
    columns: Columns,
    how: How,
    report: Taker | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare opened rasters; fills the columns with errors and classes."""
    if how.coregister or how.spatial:
        require_xdem()
    arranged = _arrange(opened, how)
    pair, path = arranged.pair, opened.sources["surface"].path
    found = collect(pair, columns, advance)
    if found.count == 0 or not known(columns, "surface").any():
        raise DataError(
            f"{path} and {opened.sources['reference'].path} share no pixel with a height",
            "check their no-data values",
        )
    # A sample stands for all.
    count = columns.count
    own = error_statistics(columns.read("surface"), count)
    notes = [*opened.notes, *arranged.notes, *_remarks(opened, own, found, columns)]
    if not opened.relative:
        notes += _compatible(opened, found, "surface", own, how)
    other, common = None, None
    if "baseline" in pair.judged:
        other, common = _against(columns, own, opened.sources["baseline"].path)
        notes += _compatible(opened, found, "baseline", other, how)
    told = _doubt(columns) if "spread" in columns.names else None
    if report is not None:
        report.take(pair, columns)
    return Evaluation(
        surface=own,
        baseline=other,
        common=common,
        files=opened.files,
        notes=tuple(notes),
        strata=strata(columns, how.sun),
        shapes=found.shapes,
        rivals=_rivals(columns),
        affinity=arranged.affinity,
        relative=opened.relative,
        shifts=arranged.shifts,
        doubt=told,
        spatial=spatial_of(
            pair.judged["surface"], pair.reference, pair.grid, own.std, pair.mask
        ) if how.spatial else None,
    )  # fmt: skip


def _compatible(
    opened: Opened, found: Collected, role: str, errors: ErrorStatistics, how: How
) -> list[str]:
    """See that heights and reference share unit and level; raises or returns remarks."""
    path, reference = opened.sources[role].path, opened.sources["reference"].path
    remarks = require_metres(
        found.moments.get(role), path, reference, allow_offset=how.allow_offset
    )
    return remarks or require_level(errors, path, allow_offset=how.allow_offset)


def _arrange(opened: Opened, how: How) -> _Arranged:
    """Lay rasters on the reference as far as that is wanted."""
    sources, grid = opened.sources, opened.grid
    reference, mask = sources["reference"], sources.get("mask")
    judged = {role: Judged(sources[role]) for role in ("surface", "baseline") if role in sources}
    shifts: dict[str, Shift] = {}
    notes: list[str] = []
    if how.coregister:
        for role, lying in list(judged.items()):
            if role == "surface" and opened.relative:
                notes.append("relative heights are not co-registered")
                continue
            judged[role], shift = moved_onto(lying, reference, grid, mask)
            shifts[role] = shift
            notes.append(
                f"the {role} was moved by {shift.east:+.2f} m east, {shift.north:+.2f} m north, "
                f"{shift.up:+.2f} m up to lie on the reference"
            )
    fit = None
    surface = judged["surface"]
    if opened.relative or how.affine:
        fit = affinity(surface, reference, grid, mask)
        fitted = _on(surface, fit.scale, fit.offset + fit.scale * surface.offset)
        flat = _on(surface, 0.0, fit.mean_reference)
        judged = {**judged, FLAT: flat}
        if opened.relative:
            judged["surface"] = fitted
            judged[AS_IS] = _on(surface, 1.0, fit.mean_reference - fit.mean)
            notes.append(
                f"the surface's heights are relative: its figures are those of "
                f"{fit.scale:.4g} · height {fit.offset:+.4g} m, the best fit to the reference"
            )
            if fit.scale < 0:
                notes.append("the fit turns the surface upside down: valleys are taken for ridges")
        else:
            judged[FITTED] = fitted
    spread = opened.spread
    scale = judged["surface"].scale
    pair = Pair(
        judged, reference, grid, sources.get("landcover"), sources.get("ground"), mask,
        None if spread is None else Judged(spread, scale=abs(scale)),
    )  # fmt: skip
    return _Arranged(pair, fit, shifts, notes)


def _on(surface: Judged, scale: float, offset: float) -> Judged:
    return Judged(surface.source, scale, offset, surface.east, surface.north)


def _remarks(opened: Opened, own: ErrorStatistics, found: Collected, columns: Columns) -> list[str]:
    notes = []
    for role in ("surface", "baseline", "reference"):
        low, high = found.ranges.get(role, (0.0, 1.0))
        if low == high:
            path = opened.sources[role].path
            notes.append(f"{path}: is {low:g} m everywhere; is this the right file?")
    if own.count < _FEW:
        notes.append(f"only {own.count} pixels are compared; figures of so few say little")
    if columns.share < 1:
        notes.append(
            f"figures are those of {own.count:,} pixels, an even random choice: ranks of quantiles "
            "are off by 0.0002 at most"
        )
    return notes


def _against(
    columns: Columns, own: ErrorStatistics, path: str
) -> tuple[ErrorStatistics, tuple[ErrorStatistics, ErrorStatistics]]:
    count = columns.count
    both = known(columns, "surface") & known(columns, "baseline")
    shared = int(both.sum())
    if not shared:
        raise DataError(
            f"{path}: shares no pixel with a height with surface and reference",
            "choose the baseline of this place",
        )
    other = error_statistics(columns.read("baseline"), count)
    # The same pixels need no second look.
    first = own if shared == own.count else statistics_of(columns.read("surface"), both, count)
    second = (
        other if shared == other.count else statistics_of(columns.read("baseline"), both, count)
    )
    return other, (first, second)


def _rivals(columns: Columns) -> dict[str, ErrorStatistics]:
    """Return the statistics of what else was judged, where surface and baseline have heights."""
    names = [name for name in (FITTED, AS_IS, FLAT) if name in columns.names]
    if not names:
        return {}
    shared = known(columns, "surface")
    if "baseline" in columns.names:
        shared &= known(columns, "baseline")
    return {n: statistics_of(columns.read(n), shared, columns.count) for n in names}


def _doubt(columns: Columns) -> Doubt | None:
    some: Mapping[str, Column] = columns.sample(("surface", "spread"), _DOUBTED)
    return doubt(some["surface"], some["spread"])
