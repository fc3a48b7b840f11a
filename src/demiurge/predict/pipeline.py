"""A bundle applied to a scene, from the first check to the finished file."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from demiurge.errors import UsageError
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import choose_runtime, make_runtime
from demiurge.model.bundle import Bundle, Task
from demiurge.paths import PathLike
from demiurge.predict.checkpoint import Checkpoint, PixelCounts, open_checkpoint
from demiurge.predict.heights.adjustment import SCALES
from demiurge.predict.heights.assessment import assess, settled
from demiurge.predict.heights.first_pass import keep_levels, kept_levels, measure
from demiurge.predict.heights.gcp import Anchors, anchored, place_points
from demiurge.predict.heights.gcp_fit import Fit, require_count
from demiurge.predict.job import Job, peak_memory, plan_job, plan_of, run_area
from demiurge.predict.options import Options
from demiurge.predict.result import check_result, write_result
from demiurge.predict.surface import Surface
from demiurge.predict.tiling import split_columns
from demiurge.progress import progress
from demiurge.raster.outliers import NARROW_HEIGHT
from demiurge.scene.grid import Window
from demiurge.scene.points import read_points
from demiurge.scene.scene import Scene

#: Bytes of sums and weights that are kept of a row of windows; wider rasters are cut into strips.
ROW_BYTES = 50 * 2**20


def apply_bundle(
    scene: Scene, bundle: Bundle, task: Task, output: PathLike, options: Options
) -> Surface:
    """Apply a bundle to a scene and write the surface: a GeoTIFF, a point cloud or a mesh."""
    path = Path(os.fspath(output))
    check_result(path, scene, bundle, task, options)
    anchors = _anchors(scene, path, options)
    start = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        # The graph is compiled while the scene is looked at.
        warming = None if options.cluster else pool.submit(_warm, scene, bundle, options)
        job = plan_job(scene, bundle, task, options)
        if anchors is not None:
            require_count(len(anchors.z), scaled=job.bands[0].unit == "relative")
        shape = (len(job.bands), *job.scene.shape)
        with open_checkpoint(
            path, job.key, shape, quiet=options.quiet, overwrite=options.overwrite
        ) as journal:
            if job.judging:
                job = _judged(job, options, warming)
            if job.adjusts:
                job = _levelled(job, journal, options, warming)
            if warming is not None:
                _run(job, journal, options, warming)
            else:
                from demiurge.predict.cluster import run_on_cluster

                job = run_on_cluster(job, journal, options)
            journal.whole = True
            rows, bands, tags, fit = journal.rows, job.bands, job.tags, None
            tally = journal.tally
            uncertainty = _mean_uncertainty(bundle, tally)
            if anchors is not None:
                relative = bands[0].unit == "relative"
                done = anchored(rows, bands, scene.grid, anchors, relative=relative)
                rows, bands, fit, uncertainty = done.rows, done.bands, done.fit, done.uncertainty
                tags |= _anchored_tags(fit, options)
            notes = write_result(path, journal, rows, scene, bands, tags, options)
    return Surface(
        path=path,
        grid=scene.grid,
        bands=tuple(band.name for band in bands),
        seconds=time.monotonic() - start,
        filled=tally.filled,
        unknown=tally.unknown / max(tally.pixels, 1),
        uncertainty=uncertainty,
        unit=bands[0].unit,
        memory=peak_memory(),
        notes=(
            *scene.notes,
            *_notes(job, tally),
            *(anchors.notes if anchors else ()),
            *(fit.notes if fit else ()),
            *notes,
        ),
        fit=fit,
    )


def _judged(job: Job, options: Options, warming: Future[Runtime] | None) -> Job:
    """Return the job with as much of the bundle's detail as the scene itself speaks for."""
    assert job.tie is not None
    network = job.network(_runtime(job, options, warming), options.in_flight)
    found = assess(job.scene, network, job.plan, job.tie, job.detail)
    return replace(job, judgement=found, tie=settled(job.tie, found))


def _notes(job: Job, tally: PixelCounts) -> tuple[str, ...]:
    return (*job.warnings, *_on_outliers(tally), *_on_judgement(job), *_on_levels(job))


def _on_outliers(tally: PixelCounts) -> tuple[str, ...]:
    if not tally.outliers:
        return ()
    return (
        f"{tally.outliers} pixels of the DSM are gross outliers ({NARROW_HEIGHT:g} m and more off "
        "all around them): they were taken as voids, and their uncertainty is how far they are off",
    )


def _on_judgement(job: Job) -> tuple[str, ...]:
    return () if job.judgement is None else (str(job.judgement),)


def _levelled(
    job: Job, journal: Checkpoint, options: Options, warming: Future[Runtime] | None
) -> Job:
    """Return the job with the levels of its windows, from an interrupted run if it had them."""
    path = journal.folder / "levels.npz"
    levels = kept_levels(path, job.key)
    if levels is None:
        levels = measure(
            job.scene,
            job.network(_runtime(job, options, warming), options.in_flight),
            job.plan,
            keep_voids=job.keep_voids,
            absolute=job.absolute,
            quiet=options.quiet,
        )
        keep_levels(path, job.key, levels)
    return replace(job, levels=levels)


def _on_levels(job: Job) -> tuple[str, ...]:
    if job.levels is None:
        return ()
    found = job.levels
    where = "on the prior" if found.absolute else "to one level"
    notes = [
        f"{len(found.offsets)} windows were brought {where}: where they overlap they differ by "
        f"{found.after:.3g} at the median, before by {found.before:.3g}"
    ]
    held = int(found.held.sum())
    if held:
        notes.append(
            f"in {held} of {len(found.offsets)} windows the relief that the bundle sees does not "
            f"agree with the prior's: it is scaled no further than by {SCALES[0]:g} or "
            f"{SCALES[1]:g}; treat it as unreliable there"
        )
    return tuple(notes)


def _anchors(scene: Scene, path: Path, options: Options) -> Anchors | None:
    """Read the ground points before any work."""
    if options.points is None:
        return None
    if path.suffix == ".vrt":
        raise UsageError("blocks are not fitted to ground points", "name the result .tif")
    points = read_points(options.points, options.points_crs)
    return place_points(points, scene.grid, str(options.points))


def _anchored_tags(fit: Fit, options: Options) -> dict[str, str]:
    return {
        "units": "metre",
        "vertical_reference": f"that of {Path(str(options.points)).name}",
        "anchored_to": f"{fit.used - fit.wrong} of {fit.used} ground points",
        "anchored_scale": f"{fit.scale:.9g}",
        "anchored_trend": ", ".join(f"{c:.9g}" for c in fit.trend),
        "anchored_rmse": f"{fit.rmse:.4g}",
        "anchored_leave_one_out": f"{fit.loo:.4g}",
    }


def _warm(scene: Scene, bundle: Bundle, options: Options) -> Runtime:
    choice = choose_runtime(bundle, options.runtime, options.precision)
    return make_runtime(bundle, plan_of(scene, bundle, options).size, choice)


def _runtime(job: Job, options: Options, warming: Future[Runtime] | None) -> Runtime:
    """Return the runtime that is being made, or on a cluster one of this process's own."""
    return _warm(job.scene, job.bundle, options) if warming is None else warming.result()


def _run(job: Job, journal: Checkpoint, options: Options, warming: Future[Runtime]) -> None:
    """Predict what the journal does not have yet, strip by strip."""
    height, _ = job.scene.shape
    todo = [
        (part, Window(done, strip.col, height - done, strip.width))
        for part, strip in enumerate(split_columns(job.scene.shape, _widest(job)))
        if (done := journal.done(part)) < height
    ]
    windows = [job.plan.touching(area) for _, area in todo]
    total = sum(w.count for w in windows) * job.plan.size**2 / 1e6
    title = job.bundle.card.task + (" (going on)" if journal.any_done else "")
    if not todo:
        return
    runtime = warming.result()
    with progress(title, total, quiet=options.quiet, unit="Mpx of windows") as advance:
        for part, area in todo:
            finished = run_area(
                job, runtime, area, journal.tally, in_flight=options.in_flight, advance=advance
            )
            for top, values in finished:
                journal.write(part, top, area.col, values)


def _widest(job: Job) -> int:
    """Return the columns that are worked on at a time."""
    column = 4 * job.plan.size * (job.bundle.contract.outputs + 1)
    return max(job.plan.size, ROW_BYTES // column)


def _mean_uncertainty(bundle: Bundle, tally: PixelCounts) -> float:
    if not bundle.contract.uncertainty or not tally.known:
        return float("nan")
    return tally.uncertainty / tally.known
