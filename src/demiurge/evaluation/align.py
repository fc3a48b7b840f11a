"""Alignment of heights with the reference: shift, scale and offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Values
from demiurge.evaluation.inputs import BLOCK, AlignedSource, Inputs
from demiurge.evaluation.spatial import coregister
from demiurge.scene.grid import blocks
from demiurge.scene.nuth_kaab import Shift
from demiurge.scene.source import Source

#: Variants of the surface; these names are keys of the JSON report.
AS_IS = "the surface as it is, level alone fitted"
FITTED = "the surface after the best affine fit"
FLAT = "the mean height everywhere"


@dataclass(frozen=True)
class AlignedRasters:
    """The rasters of a comparison, aligned with the reference.

    Attributes
    ----------
    surfaces
        Heights to compare with the reference, by role: ``surface``, optionally ``baseline`` and
        variants of the surface.
    reference
        Reference heights.
    grid
        Grid of the comparison.
    landcover, ground, mask
        Class numbers; bare earth under the reference; 0 at pixels to exclude.
    uncertainty
        Standard deviations of the surface in metres.
    """

    surfaces: Mapping[str, AlignedSource]
    reference: Source
    grid: GeoBox
    landcover: Source | None = None
    ground: Source | None = None
    mask: Source | None = None
    uncertainty: AlignedSource | None = None


@dataclass(frozen=True)
class AffineFit:
    """Least-squares line that predicts the reference from a surface.

    Attributes
    ----------
    scale, offset
        reference ≈ scale · surface + offset.
    correlation
        Pearson's r, −1 … 1; 0 if either is constant.
    mean, mean_reference
        Mean heights over the pixels where both are known.
    count
        Number of these pixels.
    """

    scale: float
    offset: float
    correlation: float
    mean: float
    mean_reference: float
    count: int


def fit_affine(
    surface: AlignedSource, reference: Source, grid: GeoBox, mask: Source | None
) -> AffineFit:
    """Fit a surface to a reference in one pass over both, excluding masked pixels."""
    total = np.zeros(6)
    centre = None
    for window in blocks((int(grid.shape[0]), int(grid.shape[1])), BLOCK):
        truth = reference.read(grid, window)
        heights = surface.read(grid, window)
        known = np.isfinite(truth) & np.isfinite(heights)
        if mask is not None:
            known &= mask.read(grid, window) > 0
        if not known.any():
            continue
        x, y = heights[known].astype(np.float64), truth[known].astype(np.float64)
        # Sums about a typical height avoid cancellation.
        centre = (float(x.mean()), float(y.mean())) if centre is None else centre
        x -= centre[0]
        y -= centre[1]
        total += np.array([x.size, x.sum(), y.sum(), x @ x, x @ y, y @ y])
    if centre is None:
        return AffineFit(1.0, 0.0, 0.0, 0.0, 0.0, 0)
    return _solve(total, centre)


def _solve(sums: Values, centre: tuple[float, float]) -> AffineFit:
    """Solve the normal equations from sums about a centre: n, Σx, Σy, Σx², Σxy, Σy²."""
    n, x1, y1, xx, xy, yy = sums
    variance_x, variance_y = xx - x1 * x1 / n, yy - y1 * y1 / n
    covariance = xy - x1 * y1 / n
    scale = covariance / variance_x if variance_x > 0 else 0.0
    mean, mean_reference = centre[0] + x1 / n, centre[1] + y1 / n
    norm = float(np.sqrt(max(variance_x * variance_y, 0.0)))
    return AffineFit(
        float(scale),
        float(mean_reference - scale * mean),
        float(covariance / norm) if norm > 0 else 0.0,
        float(mean),
        float(mean_reference),
        int(n),
    )


@dataclass
class Alignment:
    """Aligned rasters, and how they were aligned.

    Attributes
    ----------
    rasters
        The rasters.
    affine_fit
        The affine fit, if one was made.
    shifts
        Translations by co-registration, by role.
    notes
        Sentences on what was done.
    """

    rasters: AlignedRasters
    affine_fit: AffineFit | None = None
    shifts: dict[str, Shift] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def align(inputs: Inputs, *, by_shift: bool, by_line: bool) -> Alignment:
    """Align the surfaces with the reference.

    Parameters
    ----------
    by_shift
        Co-register surface and baseline (needs xdem).
    by_line
        Add a variant of the surface after the best affine fit. A relative surface is always
        fitted.

    Raises
    ------
    ResourceError, DataError
        See :func:`demiurge.evaluation.spatial.coregister`.
    """
    sources, grid = inputs.sources, inputs.grid
    reference, mask = sources["reference"], sources.get("mask")
    surfaces = {
        role: AlignedSource(sources[role]) for role in ("surface", "baseline") if role in sources
    }
    shifts: dict[str, Shift] = {}
    notes: list[str] = []
    if by_shift:
        for role, unaligned in list(surfaces.items()):
            if role == "surface" and inputs.relative:
                notes.append("relative heights are not co-registered")
                continue
            surfaces[role], shift = coregister(unaligned, reference, grid, mask)
            shifts[role] = shift
            notes.append(
                f"the {role} was moved by {shift.east:+.2f} m east, {shift.north:+.2f} m north, "
                f"{shift.up:+.2f} m up to align it with the reference"
            )
    fit = None
    if inputs.relative or by_line:
        fit = fit_affine(surfaces["surface"], reference, grid, mask)
        surfaces = _with_variants(surfaces, fit, relative=inputs.relative)
        notes += _fit_notes(fit) if inputs.relative else []
    uncertainty = None
    if inputs.uncertainty is not None:
        scale = abs(surfaces["surface"].scale)
        uncertainty = AlignedSource(inputs.uncertainty, scale=scale)
    rasters = AlignedRasters(
        surfaces, reference, grid, sources.get("landcover"), sources.get("ground"), mask,
        uncertainty,
    )  # fmt: skip
    return Alignment(rasters, fit, shifts, notes)


def _with_variants(
    surfaces: dict[str, AlignedSource], fit: AffineFit, *, relative: bool
) -> dict[str, AlignedSource]:
    """Add the fitted, the unscaled and the flat variant; a relative surface becomes the fitted."""
    surface = surfaces["surface"]
    fitted = _transformed(surface, fit.scale, fit.offset + fit.scale * surface.offset)
    surfaces = {**surfaces, FLAT: _transformed(surface, 0.0, fit.mean_reference)}
    if relative:
        surfaces["surface"] = fitted
        surfaces[AS_IS] = _transformed(surface, 1.0, fit.mean_reference - fit.mean)
    else:
        surfaces[FITTED] = fitted
    return surfaces


def _fit_notes(fit: AffineFit) -> list[str]:
    notes = [
        f"the surface's heights are relative: its statistics are those of "
        f"{fit.scale:.4g} · height {fit.offset:+.4g} m, the best fit to the reference"
    ]
    if fit.scale < 0:
        notes.append("the fit turns the surface upside down: it shows valleys as ridges")
    return notes


def _transformed(surface: AlignedSource, scale: float, offset: float) -> AlignedSource:
    return AlignedSource(surface.source, scale, offset, surface.east, surface.north)
