"""Check of a scene: one verdict per layer, with the cure for each fault."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import PANCHROMATIC, TARGETS, Kind, Role, layer
from demiurge.raster.outliers import NARROW_HEIGHT, gross_outliers
from demiurge.scene.grid import crs_name
from demiurge.scene.levels import FAR, GROUND, level_fault
from demiurge.scene.scene import Scene
from demiurge.scene.views import base_remark

#: Median difference of two height layers in metres that suggests different vertical references.
MAX_OFFSET = 10.0


class LayerVerdict(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """Result of the check of one layer.

    Attributes
    ----------
    layer, verdict, message
        Name of the layer; the message is empty if the layer is OK.
    unit, source
        Unit of its values; its file, or ``derived``.
    size, crs
        Rows and columns, and CRS, of its file.
    voids
        Share of no data in the scene, 0 … 1.
    low, median, high
        Range and median in ``unit``.
    """

    layer: str
    verdict: LayerVerdict
    message: str
    unit: str
    source: str
    size: tuple[int, int]
    crs: str
    voids: float
    low: float
    median: float
    high: float


def check(scene: Scene, *, most: int = 1024) -> list[Finding]:
    """Check a sample of every layer of a scene.

    Parameters
    ----------
    most
        Largest side in pixels of the sample of a layer.

    Returns
    -------
    One finding per layer, in the scene's order.
    """
    samples = {name: scene.sample(name, most) for name in scene.layers}
    findings = []
    for name, sample in samples.items():
        verdict, message = _verdict(name, sample, samples, scene)
        source = scene.sources.get(name)
        remarks = [] if source is None else [*source.remarks]
        if name == PANCHROMATIC[1]:
            remarks += filter(None, [base_remark(scene)])
        if remarks and verdict is not LayerVerdict.FAULT:
            verdict, message = LayerVerdict.WARNING, "; ".join(filter(None, (message, *remarks)))
        measured = sample[np.isfinite(sample)]
        low, median, high = (
            np.percentile(measured, (0, 50, 100)) if measured.size else (np.nan,) * 3
        )
        grid = scene.grid if source is None else source.grid
        findings.append(
            Finding(
                layer=name,
                verdict=verdict,
                message=message,
                unit=layer(name).unit,
                source="derived" if source is None else source.path,
                size=(int(grid.shape[0]), int(grid.shape[1])),
                crs=crs_name(grid.crs),
                voids=1 - measured.size / sample.size,
                low=float(low),
                median=float(median),
                high=float(high),
            )
        )
    return findings


#: Side in pixels of the sample before a run.
_QUICK_SAMPLE = 512


def require_fit(scene: Scene, needed: tuple[str, ...]) -> list[Finding]:
    """Check a scene before a run.

    Parameters
    ----------
    needed
        Layers that the run needs; faults of other layers are ignored.

    Returns
    -------
    The warnings.

    Raises
    ------
    UsageError
        If a needed layer is missing.
    DataError
        At the first fault.
    """
    scene.require(needed)
    findings = [f for f in check(scene, most=_QUICK_SAMPLE) if f.layer in needed]
    for finding in findings:
        if finding.verdict is LayerVerdict.FAULT:
            raise DataError(f"scene '{scene.name}', layer '{finding.layer}': {finding.message}")
    return [f for f in findings if f.verdict is LayerVerdict.WARNING]


def _verdict(
    name: str, sample: Array, samples: dict[str, Array], scene: Scene
) -> tuple[LayerVerdict, str]:
    kind = layer(name).kind
    measured = sample[np.isfinite(sample)]
    if measured.size == 0:
        return LayerVerdict.FAULT, "contains only no data; check its no-data value and extent"
    fault = _fault(kind, measured)
    if fault:
        return LayerVerdict.FAULT, fault
    if kind is not Kind.MASK and measured.min() == measured.max():
        return (
            LayerVerdict.WARNING,
            f"is {measured[0]:g} everywhere; check that this is the right file",
        )
    if kind is Kind.HEIGHT:
        return _verdict_of_heights(name, sample, samples, scene)
    return LayerVerdict.OK, ""


def _fault(kind: Kind, measured: Array) -> str:
    """Return the fault of the values of a layer, or an empty string."""
    wrong = {
        Kind.MASK: (
            (
                not np.isin(measured, (0, 1)).all(),
                "has values other than 0 and 1; convert it to a mask of 0 and 1",
            ),
            (measured.max() == 0, "is 0 everywhere; check that 1 marks measured pixels"),
        ),
        Kind.INDEX: (
            (np.abs(measured).max() > 1.001, "exceeds -1 … 1; divide it by its scale factor"),
        ),
        Kind.ERROR: (
            (
                measured.min() < 0,
                "has negative errors; give lengths in metres, or declare the no-data value",
            ),
        ),
    }
    return next((message for fault, message in wrong.get(kind, ()) if fault), "")


def _verdict_of_heights(
    name: str, sample: Array, samples: dict[str, Array], scene: Scene
) -> tuple[LayerVerdict, str]:
    base = scene.base
    outliers = int(gross_outliers(sample, scene.pixel_size).sum())
    if outliers:
        return LayerVerdict.WARNING, (
            f"{outliers} of {sample.size} sampled pixels are gross outliers ({NARROW_HEIGHT:g} m "
            "or more above or below their surroundings); mask them, or check the unit and the "
            "no-data value"
        )
    if base is None or name == base:
        voids = float(np.isnan(sample).mean())
        if voids > 0.5:
            return (
                LayerVerdict.WARNING,
                f"{voids:.0%} of it is void; crop the scene, or treat filled voids as unreliable",
            )
        return LayerVerdict.OK, ""
    both = sample - samples[base]
    both = both[np.isfinite(both)]
    if both.size == 0:
        role = layer(name).role
        verdict = LayerVerdict.FAULT if role is Role.TRUTH else LayerVerdict.WARNING
        return verdict, f"has no pixel in common with '{base}'; choose files of the same place"
    return _verdict_of_level(name, base, samples, scene, both)


def _verdict_of_level(
    name: str, base: str, samples: dict[str, Array], scene: Scene, both: Array
) -> tuple[LayerVerdict, str]:
    """Return the verdict on the differences of a layer of heights to the base."""
    fault = level_fault(scene, name, samples)
    if fault is not None:
        return LayerVerdict.FAULT, "; ".join(fault)
    offset, most = (float(v) for v in np.percentile(both, (50, 95)))
    same_surface = TARGETS.get(base) == name or base == "dem_prior" or name == "dem_prior"
    # Plants explain a surface above the ground, but not without gaps, nor one below it.
    unlikely = name in GROUND and (offset > MAX_OFFSET or most < -FAR)
    if (same_surface and abs(offset) > MAX_OFFSET) or unlikely:
        return (
            LayerVerdict.WARNING,
            f"differs from '{base}' by {offset:+.1f} m at the median; compare their vertical "
            "references",
        )
    return LayerVerdict.OK, ""
