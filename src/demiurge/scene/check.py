"""Is a scene fit for work: one verdict per layer, and the cure for each fault."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import TARGETS, Kind, Role, layer
from demiurge.raster.outliers import NARROW_HEIGHT, gross_outliers
from demiurge.scene.grid import crs_name
from demiurge.scene.scene import Scene

#: Median difference of two height layers, in metres, beyond which they measure from elsewhere.
MAX_OFFSET = 10.0


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """What the check says of one layer.

    ``size`` (rows, columns) and ``crs`` are those of its file; voids are a share 0 … 1 of the
    scene; range and median are in ``unit``.
    """

    layer: str
    verdict: Verdict
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
    """Look at patches all over every layer of a scene.

    Parameters
    ----------
    most
        Pixels a side that the patches of a layer make up, at most.

    Returns
    -------
    One finding per layer, in the scene's order.
    """
    samples = {name: scene.sample(name, most) for name in scene.layers}
    findings = []
    for name, sample in samples.items():
        verdict, message = _judge(name, sample, samples, scene)
        source = scene.sources.get(name)
        if source is not None and source.remarks and verdict is not Verdict.FAULT:
            verdict, message = Verdict.WARNING, "; ".join(filter(None, (message, *source.remarks)))
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


#: Pixels a side that are looked at before work.
_QUICK_LOOK = 512


def require_fit(scene: Scene, needed: tuple[str, ...]) -> list[Finding]:
    """Check a scene before work.

    Parameters
    ----------
    needed
        Layers the work depends on; faults of others are left alone.

    Returns
    -------
    The findings that are warnings, for the user to see.

    Raises
    ------
    UsageError
        If a needed layer is missing.
    DataError
        At the first fault.
    """
    scene.require(needed)
    findings = [f for f in check(scene, most=_QUICK_LOOK) if f.layer in needed]
    for finding in findings:
        if finding.verdict is Verdict.FAULT:
            raise DataError(f"scene '{scene.name}', layer '{finding.layer}': {finding.message}")
    return [f for f in findings if f.verdict is Verdict.WARNING]


def _judge(
    name: str, sample: Array, samples: dict[str, Array], scene: Scene
) -> tuple[Verdict, str]:
    kind = layer(name).kind
    measured = sample[np.isfinite(sample)]
    if measured.size == 0:
        return Verdict.FAULT, "holds no data; check its no-data value and extent"
    fault = _fault(kind, measured)
    if fault:
        return Verdict.FAULT, fault
    if kind is not Kind.MASK and measured.min() == measured.max():
        return Verdict.WARNING, f"is {measured[0]:g} everywhere; is this the right file?"
    if kind is Kind.HEIGHT:
        return _judge_heights(name, sample, samples, scene)
    return Verdict.OK, ""


def _fault(kind: Kind, measured: Array) -> str:
    """Return what is wrong with the values of a layer, or nothing."""
    wrong = {
        Kind.MASK: (
            (
                not np.isin(measured, (0, 1)).all(),
                "has values other than 0 and 1; make a mask of 0 and 1",
            ),
            (measured.max() == 0, "is 0 everywhere; nothing was measured"),
        ),
        Kind.INDEX: (
            (np.abs(measured).max() > 1.001, "leaves -1 … 1; divide it by its scale factor"),
        ),
        Kind.ERROR: (
            (
                measured.min() < 0,
                "has negative errors; give lengths in metres, or declare what means no data",
            ),
        ),
    }
    return next((message for found, message in wrong.get(kind, ()) if found), "")


def _judge_heights(
    name: str, sample: Array, samples: dict[str, Array], scene: Scene
) -> tuple[Verdict, str]:
    base = scene.base
    outliers = int(gross_outliers(sample, scene.pixel_size).sum())
    if outliers:
        return Verdict.WARNING, (
            f"{outliers} of {sample.size} sampled pixels are gross outliers ({NARROW_HEIGHT:g} m "
            "and more off all around them); mask them, or check the units and the no-data value"
        )
    if base is None or name == base:
        voids = float(np.isnan(sample).mean())
        if voids > 0.5:
            return Verdict.WARNING, f"{voids:.0%} of it is void; crop the scene or expect guesses"
        return Verdict.OK, ""
    both = sample - samples[base]
    both = both[np.isfinite(both)]
    if both.size == 0:
        role = layer(name).role
        verdict = Verdict.FAULT if role is Role.TRUTH else Verdict.WARNING
        return verdict, f"shares no pixel with '{base}'; choose files of one place"
    offset = float(np.median(both))
    same_surface = TARGETS.get(base) == name or base == "dem_prior" or name == "dem_prior"
    if same_surface and abs(offset) > MAX_OFFSET:
        return (
            Verdict.WARNING,
            f"lies {offset:+.1f} m from '{base}' at the median; compare their vertical references",
        )
    return Verdict.OK, ""
