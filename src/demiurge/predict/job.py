"""What applying a bundle to a scene comes to, decided before any work."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge._version import __version__
from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import PAINTED, PRIOR, layer
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import Choice, choose_runtime
from demiurge.model.bundle import Bundle, Task
from demiurge.paths import local_file
from demiurge.predict.augmentation import orientations
from demiurge.predict.checkpoint import PixelCounts, key_of
from demiurge.predict.heights.adjustment import Adjustment
from demiurge.predict.heights.assessment import Assessment
from demiurge.predict.heights.prior import PriorConstraint, constrain_to_prior
from demiurge.predict.inference import Network, predict_rows
from demiurge.predict.options import OPTION_OF, Options, Target
from demiurge.predict.remarks import clean, unlike, without_prior
from demiurge.predict.surface import BandInfo
from demiurge.predict.tiling import Tiling, tile
from demiurge.progress import Advance, silent
from demiurge.scene.check import require_fit
from demiurge.scene.grid import Window, wkt
from demiurge.scene.scene import Scene

#: Windows of relative heights, each of which is an unknown of their levels, at most.
_MOST = 30_000

_FINE = (
    "the prior is as fine as the image, or was resampled to it: its heights stay as they are, and "
    "the uncertainty is what the bundle learned on other priors; --prior-accuracy says how far it "
    "may correct them"
)
_CORRECTED = (
    "the prior is as fine as the image: the bundle corrects its heights as far as their accuracy "
    "of {accuracy:g} m allows, but adds no detail"
)
_UNTOLD = (
    "the uncertainty does not include the prior's own errors, which are not known; tell them with "
    "--prior-accuracy"
)

_ABOUT = {
    "dsm": "surface height",
    "dtm": "bare-earth height",
    **{name: f"imagined {layer(name).about}" for name in PAINTED},
}


@dataclass(frozen=True)
class Job:
    """A scene, a bundle, and everything that decides the result.

    Attributes
    ----------
    order
        Which of the engine's planes go into the file, in the file's order.
    blocks
        Whether it is done in blocks, on a cluster.
    warnings
        Sentences about the scene for the user.
    judging, judgement
        Whether the bundle is to be judged on the scene, and what came of it.
    detail
        Share of the bundle's detail that the user asks for; None to judge it.
    tie, levels
        What is done to the heights of each window.
    """

    scene: Scene
    bundle: Bundle
    plan: Tiling
    choice: Choice
    bands: list[BandInfo]
    order: list[int]
    tta: int
    keep_voids: bool
    blocks: bool
    reconcile: bool
    warnings: tuple[str, ...]
    judging: bool = False
    judgement: Assessment | None = None
    detail: float | None = None
    tie: PriorConstraint | None = None
    levels: Adjustment | None = None

    @property
    def adjusts(self) -> bool:
        """Tell whether windows of relative heights are adjusted to one another or to a prior."""
        several = self.plan.count > 1
        return self.bundle.contract.relative and self.reconcile and (several or self.absolute)

    def network(self, runtime: Runtime, in_flight: int) -> Network:
        """Return the bundle's network on a runtime."""
        return Network(self.bundle, runtime, orientations(self.bundle.card, self.tta), in_flight)

    @property
    def absolute(self) -> bool:
        """Tell whether relative heights are laid on a prior that the network does not see."""
        return self.reconcile and _laid(self.scene, self.bundle)

    @property
    def tags(self) -> dict[str, str]:
        """Return what the result says about where it comes from."""
        return _tags(self)

    @property
    def key(self) -> str:
        """Return a key that changes with anything that changes the result."""
        scene, contract = self.scene, self.bundle.contract
        return key_of(
            {
                "version": __version__,
                "layers": {
                    n: (s.path, s.vector or s.band, s.undeclared, s.detect_nodata, *_stamp(s.path))
                    for n, s in scene.sources.items()
                },
                "grid": (wkt(scene.grid), *scene.grid.affine, *scene.shape),
                "equalised": sorted(scene.equalised),
                "bundle": self.bundle.card.sha256,
                "calibration": contract.calibration,
                "shrink": contract.shrink,
                "order": self.order,
                "window": (self.plan.size, self.plan.overlap),
                "runtime": self.choice.about,
                "tta": self.tta,
                "keep_voids": self.keep_voids,
                "blocks": self.blocks,
                "reconcile": self.reconcile,
                "tie": None if self.tie is None else (self.tie.accuracy, self.detail),
            }
        )


def plan_of(scene: Scene, bundle: Bundle, options: Options) -> Tiling:
    """Return the windows: the bundle's, unless the options say otherwise.

    Of relative heights a network has learned to tell how they differ within a chip. What is wider
    is better had from where windows of that size overlap than from itself.
    """
    window = bundle.card.window
    chip = bundle.card.recipe.get("chips", {}).get("size")
    relative = bundle.contract.suited(scene.layers).relative
    if relative and options.reconcile and chip is not None:
        side = max(64, chip)
        while side < window.size and math.prod(scene.shape) > _MOST * (0.75 * side) ** 2:
            side *= 2
        window = window.within(side)
    size, multiple = options.window or window.size, bundle.card.multiple
    if size % multiple:
        raise UsageError(
            f"--window is {size}",
            f"bundle '{bundle.card.name}' takes multiples of {multiple} pixels",
        )
    overlap = window.overlap if options.overlap is None else options.overlap
    return tile(scene.shape, size, overlap, multiple)


def plan_job(scene: Scene, bundle: Bundle, task: Task, options: Options) -> Job:
    """Check that scene, bundle and options go together, and decide all that is to decide.

    Raises
    ------
    UsageError, DataError, ResourceError
        One sentence each for what does not fit.
    """
    targets = _targets(bundle, options.target)
    bundle = bundle.suited(scene.layers)
    warnings = _require_match(scene, bundle, task, options)
    orientations(bundle.card, options.tta)
    tie = _tie(scene, bundle, options)
    if tie is not None:
        warnings = (*warnings, *_on_tie(tie))
    choice = choose_runtime(bundle, options.runtime, options.precision)
    if bundle.contract.equalise:
        scene = scene.with_equalised()
    return Job(
        scene=scene,
        bundle=bundle,
        plan=plan_of(scene, bundle, options),
        choice=choice,
        bands=_bands(
            bundle,
            targets,
            relative=bundle.contract.relative and not (options.reconcile and _laid(scene, bundle)),
        ),
        order=_order(bundle, targets),
        tta=options.tta,
        keep_voids=options.keep_voids,
        blocks=options.cluster is not None,
        reconcile=options.reconcile,
        warnings=warnings,
        judging=tie is not None and not tie.fine,
        detail=options.detail,
        tie=tie,
    )


def _tie(scene: Scene, bundle: Bundle, options: Options) -> PriorConstraint | None:
    """Return how heights are tied to the prior; None without one, or if the user ignores it.

    Raises
    ------
    UsageError
        For an option that would have no effect.
    """
    accuracy, detail = options.prior_accuracy, options.detail
    if bundle.contract.base != PRIOR:
        for name, value in (("--prior-accuracy", accuracy), ("--detail", detail)):
            if value is not None:
                raise _idle(name, f"bundle '{bundle.card.name}' corrects no prior here")
        return None
    if accuracy == math.inf:
        if detail is not None:
            raise _idle("--detail", "--prior-accuracy inf ignores the prior")
        return None
    accuracy = bundle.contract.prior_accuracy if accuracy is None else accuracy
    if accuracy and not bundle.contract.uncertainty:
        raise UsageError(
            f"bundle '{bundle.card.name}' does not say how sure it is, so that a prior's accuracy "
            "cannot be weighed against it",
            "choose --prior-accuracy 0 or inf",
        )
    tie = constrain_to_prior(scene, accuracy)
    if tie.fine and detail is not None and (detail or accuracy):
        raise _idle("--detail", "the prior is as fine as the image, so that it has no finer part")
    return tie


def _idle(option: str, reason: str) -> UsageError:
    """Return the error for an option without effect."""
    return UsageError(f"{option} has no effect: {reason}", f"leave out {option}")


def _on_tie(tie: PriorConstraint) -> tuple[str, ...]:
    """Say what a user should know of a tie."""
    if not tie.fine:
        return (_UNTOLD,) if tie.accuracy is None else ()
    return (_CORRECTED.format(accuracy=tie.accuracy) if tie.accuracy else _FINE,)


def _stamp(path: str) -> tuple[Any, ...]:
    """Return what tells one state of a file from another."""
    file = local_file(path)
    if file is None or not file.exists():
        return ()
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _targets(bundle: Bundle, wanted: Target | None) -> list[str]:
    have: list[str] = list(bundle.contract.targets)
    need: list[str] = ["dsm", "dtm"] if wanted == "both" else [wanted] if wanted else have
    missing = [target for target in need if target not in have]
    if missing:
        raise UsageError(
            f"bundle '{bundle.card.name}' predicts no {missing[0]}",
            f"choose --target {' or '.join(have)}, or another bundle",
        )
    return need


def _require_match(scene: Scene, bundle: Bundle, task: Task, options: Options) -> tuple[str, ...]:
    """Raise unless scene and bundle go together; return warnings about the scene."""
    card = bundle.card
    if card.task != task:
        raise UsageError(
            f"bundle '{card.name}' was trained to {card.task}", f"use: demiurge {card.task}"
        )
    missing = [name for name in bundle.contract.required if name not in scene.layers]
    if missing:
        option = OPTION_OF.get(missing[0])
        cure = f"give it with {option}" if option else f"it sees {', '.join(bundle.contract.names)}"
        raise UsageError(f"bundle '{card.name}' needs layer '{missing[0]}'", cure)
    sizes = card.pixel_sizes
    if not sizes.fits(scene.pixel_size) and not options.any_pixel_size:
        raise DataError(
            f"{scene.name}: its pixel size of {scene.pixel_size:g} m is outside what bundle "
            f"'{card.name}' has seen ({sizes.low:g} to {sizes.high:g} m)",
            "resample it, choose another bundle, or add --any-pixel-size",
        )
    seen = bundle.contract.names
    raw = [n for n in seen if n in scene.equalised and not bundle.contract.equalise]
    if raw:
        raise DataError(
            f"scene '{scene.name}' has an equalised '{raw[0]}', which bundle '{card.name}' learned "
            "without",
            "prepare it with --no-equalise, or give plain files",
        )
    unused = [n for n in scene.sources if n in OPTION_OF and n not in seen]
    if bundle.contract.relative and PRIOR in unused:
        unused.remove(PRIOR)  # relative heights are laid on it
    notes: list[str] = [f"{n} is not used: bundle '{card.name}' does not see it" for n in unused]
    needed = tuple(name for name in seen if name in scene.layers)
    scene.compute_statistics(needed)
    found = require_fit(scene, needed)
    notes += [f"{f.layer}: {f.message}" for f in found]
    notes += clean(scene, bundle, _targets(bundle, options.target), options.any_input)
    return (*notes, *without_prior(scene, bundle), *unlike(scene, bundle))


def _order(bundle: Bundle, targets: list[str]) -> list[int]:
    """Return which of the engine's planes go into the file, heights and uncertainty in turn."""
    contract = bundle.contract
    order: list[int] = []
    have: list[str] = list(contract.targets)
    for target in targets:
        place = have.index(target)
        order.append(place)
        if contract.uncertainty:
            order.append(len(contract.targets) + place)
    return order


def _laid(scene: Scene, bundle: Bundle) -> bool:
    contract = bundle.contract
    return contract.relative and PRIOR in scene.layers and PRIOR not in contract.names


def _bands(bundle: Bundle, targets: list[str], *, relative: bool) -> list[BandInfo]:
    imagined = bundle.card.task == "imagine"
    unit = "DN" if imagined else "relative" if relative else "m"
    bands = []
    for target in targets:
        name = f"{target}_relative" if relative else target
        bands.append(BandInfo(name, unit, _ABOUT[target]))
        if bundle.contract.uncertainty:
            about = "standard deviation of the predicted error distribution"
            bands.append(BandInfo(f"{name}_uncertainty", unit, about))
    return bands


def _tags(job: Job) -> dict[str, str]:
    scene, bundle = job.scene, job.bundle
    inputs = {name: Path(source.path).name for name, source in scene.sources.items()}
    seen = (*bundle.contract.names, *((PRIOR,) if job.absolute else ()))
    used = [f"{n}={f}" for n, f in inputs.items() if n in seen]
    relative = bundle.contract.relative and not job.absolute
    units = "relative" if relative else "metre"
    if bundle.card.task == "imagine":
        units = "DN"
    return {
        "AREA_OR_POINT": _area_or_point(scene),
        "software": f"demiurge {__version__}",
        "bundle": bundle.card.name,
        "bundle_graph_sha256": bundle.card.sha256.get("graph.onnx", ""),
        "inputs": ", ".join(used),
        "units": units,
        "vertical_reference": "none" if units != "metre" else str(scene.vertical),
        "runtime": job.choice.about,
        "window": f"{job.plan.size} px, overlap {job.plan.overlap} px",
        "test_time_augmentation": str(job.tta),
        **_tie_tags(job),
    }


def _tie_tags(job: Job) -> dict[str, str]:
    if job.tie is None:
        return {}
    told = job.tie.accuracy
    tags = {"prior_accuracy": "not told" if told is None else f"{told:g} m"}
    if job.tie.fine:
        return tags
    judged = job.judgement is not None and job.judgement.judged
    source = "as given" if job.detail is not None else "judged at reduced resolution"
    return {
        **tags,
        "detail": f"{job.tie.detail:.4g}",
        "detail_from": source if judged or job.detail is not None else "not judged",
        "uncertainty_factor": f"{job.tie.spread:.4g}",
    }


def _area_or_point(scene: Scene) -> str:
    """Return what a pixel stands for in the raster that leads the scene."""
    from demiurge.scene.files import open_raster

    lead = scene.sources.get(scene.base or next(iter(scene.sources)))
    if lead is None:
        return "Area"
    with open_raster(lead.path) as dataset:
        return str(dataset.tags().get("AREA_OR_POINT", "Area"))


def run_area(
    job: Job,
    runtime: Runtime,
    area: Window,
    tally: PixelCounts,
    *,
    in_flight: int,
    advance: Advance = silent,
) -> Iterator[tuple[int, Array]]:
    """Predict an area, count what comes of it, and yield finished rows in the file's bands.

    Yields
    ------
    The first row in the raster, and float32 (bands, rows, width).
    """
    for rows in predict_rows(
        job.scene,
        job.network(runtime, in_flight),
        job.plan,
        area=area,
        keep_voids=job.keep_voids,
        adjustment=job.levels,
        prior=job.tie,
        advance=advance,
    ):
        values = rows.values[job.order]
        _count(tally, values, rows.measured, job.bundle)
        tally.outliers += int(rows.outliers.sum())
        yield rows.top, values


def _count(
    tally: PixelCounts, values: Array, measured: npt.NDArray[np.bool_], bundle: Bundle
) -> None:
    known = np.isfinite(values[0])
    tally.pixels += known.size
    tally.unknown += int(known.size - known.sum())
    if bundle.contract.base is not None:
        tally.filled += int((known & ~measured).sum())
    if bundle.contract.uncertainty:
        tally.uncertainty += float(np.nansum(values[1], dtype=np.float64))


def peak_memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource  # psutil tells no peak on POSIX

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
