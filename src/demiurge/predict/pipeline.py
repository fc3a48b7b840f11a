"""The stages of a prediction, in order: assess, adjust, predict, fit, finish."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from demiurge.arrays import Array
from demiurge.layers import PRIOR
from demiurge.outputs import replace_folder
from demiurge.predict.checkpoint import Checkpoint, PixelCounts, key_of, open_checkpoint
from demiurge.predict.cluster import publish_blocks, run_on_cluster
from demiurge.predict.heights.adjustment import adjust, load_adjustment
from demiurge.predict.heights.assessment import assess
from demiurge.predict.heights.coarse import CoarsePass, coarse_factor, load_coarse
from demiurge.predict.heights.gcp import GcpFit, fit_rows
from demiurge.predict.heights.ground import can_correct, correct_rows, has_roofs, lower_rows
from demiurge.predict.heights.solver import SCALES
from demiurge.predict.heights.wide_ground import WideGround, wide_factor, write_wide_ground
from demiurge.predict.inference import predict_rows, predict_windows
from demiurge.predict.job import Job, tiling_for
from demiurge.predict.options import Options
from demiurge.predict.reduced import reduced, reduced_in_memory
from demiurge.predict.sinks import CHUNK, ZARR, WindowWriter, ZarrWriter
from demiurge.predict.stac import published_with_item
from demiurge.predict.surface import MOSAIC, BandInfo, Prediction, Surface, finish_surface
from demiurge.predict.tiling import split_columns
from demiurge.progress import progress
from demiurge.raster.outliers import NARROW_HEIGHT
from demiurge.scene.grid import Window, wkt

#: Maximum bytes of sums and weights of a row of windows; wider rasters are split into blocks.
ROW_BYTES = 50 * 2**20


def run(job: Job) -> Prediction:
    """Run all stages of a job and write the result, a :class:`Surface` if the output is a path.

    Finished rows are kept in a checkpoint, from which the same job resumes. That of a writer is in
    a temporary folder.

    Raises
    ------
    DataError, ResourceError, BundleError
        If data cannot be used or the result cannot be written.
    """
    options, grid = job.options, job.scene.grid
    shape = (len(job.bands), *job.scene.shape)
    how = {"quiet": options.quiet, "overwrite": options.overwrite}
    with (
        _checkpoint_path(job) as path,
        open_checkpoint(path, job.key, shape, **how) as checkpoint,
    ):
        checkpoint.keep("raster", {"crs": wkt(grid), "affine": list(grid.affine)[:6],
                                   "shape": job.scene.shape, "bands": [b.name for b in job.bands],
                                   "unit": job.bands[0].unit})  # fmt: skip
        if job.assesses:
            job = _assessed(job)
        job = here = _shaped(job, checkpoint)
        if options.cluster is not None:
            job = run_on_cluster(job, checkpoint)
        else:
            _predict(job, checkpoint)
        checkpoint.complete = True
        rows, bands, tags, fit = checkpoint.rows, job.bands, job.tags | _relative_tags(job), None
        uncertainty = _mean_uncertainty(job, checkpoint.counts)
        # Workers may have another runtime than this machine.
        rows, how_ground = _with_ground(here, checkpoint, rows)
        tags |= {"ground": how_ground} if how_ground else {}
        if job.gcps is not None:
            relative, names = bands[0].unit == "relative", [band.name for band in bands]
            rows, fit, uncertainty = fit_rows(rows, names, grid, job.gcps, relative=relative)
            bands = [band.in_metres() for band in bands]
            tags |= _fit_tags(fit, options)
        _finish(job, checkpoint, rows, bands, tags)
    prediction = Prediction(
        grid=grid,
        bands=tuple(band.name for band in bands),
        unit=bands[0].unit,
        tags=tags,
        seconds=time.monotonic() - job.started,
        filled=checkpoint.counts.filled,
        unknown=checkpoint.counts.unknown / max(checkpoint.counts.pixels, 1),
        uncertainty=uncertainty,
        memory=peak_memory(),
        notes=(*job.scene.notes, *_notes(job, checkpoint.counts, fit)),
        fit=fit,
    )
    return Surface(path=path, **vars(prediction)) if path is job.output else prediction


@contextmanager
def _checkpoint_path(job: Job) -> Iterator[Path]:
    if isinstance(job.output, Path):
        yield job.output
    else:
        with TemporaryDirectory(prefix="demiurge-") as folder:
            yield Path(folder) / "result"


def _assessed(job: Job) -> Job:
    """Assess the bundle on the scene at reduced resolution."""
    assert job.prior is not None
    assessment = assess(job.scene, job.network(), job.tiling, job.prior, job.options.detail)
    return replace(job, assessment=assessment, prior=assessment.constrain(job.prior))


def _adjusted(job: Job, checkpoint: Checkpoint) -> Job:
    """Adjust the windows, or read the adjustment of an interrupted run."""
    path = checkpoint.folder / "adjustment.npz"
    adjustment = load_adjustment(path, job.key)
    if adjustment is None:
        adjustment = adjust(_relative_windows(job), job.tiling.size, job.tiling.overlap)
        adjustment.require_agreement(job.scene.name, job.bundle.card.name)
        adjustment.save(path, job.key)
    return replace(job, adjustment=adjustment)


def _shaped(job: Job, checkpoint: Checkpoint) -> Job:
    """Decide the wide forms of relative heights: by a coarse pass, or by adjusting the windows."""
    factor = _coarse_factor(job)
    if factor is not None:
        return _with_coarse(job, factor, checkpoint)
    return _adjusted(job, checkpoint) if job.adjusts else job


def _relative_tags(job: Job) -> dict[str, str]:
    tags = {"shape": "not checked"} if job.relative else {}
    if job.coarse is not None:
        tags["coarse_pass"] = f"{job.coarse.factor} times"
    return tags


def _coarse_factor(job: Job) -> int | None:
    """Return how many times coarser the pixels of the coarse pass are; None without a pass."""
    if not (job.relative and job.options.reconcile):
        return None
    return coarse_factor(job.scene, job.bundle.card)


def _with_coarse(job: Job, factor: int, checkpoint: Checkpoint) -> Job:
    """Predict the scene at reduced resolution, or read the result of an interrupted run."""
    path = checkpoint.folder / "coarse.npz"
    coarse = load_coarse(path, job.key)
    if coarse is None:
        names = [n for n in job.bundle.contract.names if n in job.scene.layers]
        scene = reduced_in_memory(job.scene, names, factor)
        tiling = tiling_for(scene, job.bundle, job.options)
        runtime = job.runtime if tiling.size == job.tiling.size else None
        small = replace(job, scene=scene, tiling=tiling, runtime=runtime)
        if small.adjusts:
            small = replace(
                small, adjustment=adjust(_relative_windows(small), tiling.size, tiling.overlap)
            )
        rows = predict_rows(scene, small.network(), tiling, adjustment=small.adjustment)
        coarse = CoarsePass.of(factor, np.concatenate([part.values for part in rows], axis=1))
        coarse.save(path, job.key)
    return replace(job, coarse=coarse)


def _relative_windows(job: Job) -> Iterator[tuple[Window, Array, Array | None]]:
    """Predict every window once; yield its heights and, for absolute heights, the prior."""
    scene, tiling = job.scene, job.tiling
    predicted = predict_windows(scene, job.network(), tiling, keep_voids=job.options.keep_voids)
    total = tiling.count * tiling.size**2 / 1e6
    with progress("adjust", total, quiet=job.options.quiet, unit="Mpx of windows") as advance:
        for item, values in predicted:
            window = item.window
            heights = np.full(item.valid.shape, np.nan, np.float32)
            if values is not None:
                inside = values[0, : window.height, : window.width]
                np.copyto(heights, inside, where=item.valid)
            yield window, heights, scene.read(window, [PRIOR])[0] if job.absolute else None
            scene.release()
            advance(window.height * window.width / 1e6)


def _with_ground(job: Job, checkpoint: Checkpoint, rows: Path) -> tuple[Path, str | None]:
    """Correct the bare earth under large roofs, as the options say; return the rows, and how."""
    result = rows, [band.name for band in job.bands], job.scene.shape, job.scene.pixel_size
    if job.options.ground == "interpolated":
        rows, count = correct_rows(*result)
        return rows, f"interpolated under large roofs ({count} pixels)"
    factor = _wide_factor(job)
    if factor is None or not has_roofs(*result):
        return rows, None
    rows, count = lower_rows(*result, _wide_ground(job, checkpoint, factor))
    return rows, f"lowered under large roofs ({count} pixels) to a view {factor} times coarser"


def _wide_factor(job: Job) -> int | None:
    """Return how many times coarser the view is that lowers the bare earth; None without one."""
    if job.options.ground != "wide" or _is_mosaic(job):
        return None
    bands = [band.name for band in job.bands]
    return wide_factor(job.scene, job.bundle) if can_correct(bands) else None


def _is_mosaic(job: Job) -> bool:
    return isinstance(job.output, Path) and job.output.suffix.lower() == MOSAIC


def _on_ground(job: Job) -> list[str]:
    """Return a note where the bare earth could be compared with a wider view, but is not."""
    has_ground = "dtm" in [band.name for band in job.bands]
    if job.options.ground != "wide" or not has_ground or _wide_factor(job) is not None:
        return []
    if wide_factor(job.scene, job.bundle) is None:
        return []
    cure = "name the result .tif" if _is_mosaic(job) else "leave out --target"
    return [f"the bare earth under large roofs is not compared with a wider view: for that, {cure}"]


def _wide_ground(job: Job, checkpoint: Checkpoint, factor: int) -> WideGround:
    """Predict the bare earth at reduced resolution, unless an interrupted run has done it."""
    path = checkpoint.folder / f"ground_{key_of({'key': job.key, 'factor': factor})[:16]}.npy"
    if path.exists():
        return WideGround(path, factor)
    scene = reduced(job.scene, factor, least=0.5)
    tiling = tiling_for(scene, job.bundle, job.options)
    runtime = job.runtime if tiling.size == job.tiling.size else None
    network = replace(job, scene=scene, tiling=tiling, runtime=runtime).network()
    total = tiling.count * tiling.size**2 / 1e6
    with progress("ground", total, quiet=job.options.quiet, unit="Mpx of windows") as advance:
        parts = predict_rows(scene, network, tiling, advance=advance)
        targets = [str(target) for target in job.bundle.contract.targets]
        planes = (part.values for part in parts)
        return write_wide_ground(path, planes, targets, scene.shape, factor)


def _predict(job: Job, checkpoint: Checkpoint) -> None:
    """Predict the rows that the checkpoint lacks."""
    height, _ = job.scene.shape
    column_bytes = 4 * job.tiling.size * (job.bundle.contract.outputs + 1)
    columns = split_columns(job.scene.shape, max(job.tiling.size, ROW_BYTES // column_bytes))
    todo = [
        (part, Window(done, block.col, height - done, block.width))
        for part, block in enumerate(columns)
        if (done := checkpoint.done(part)) < height
    ]
    if not todo:
        return
    total = sum(job.tiling.touching(area).count for _, area in todo) * job.tiling.size**2 / 1e6
    title = job.bundle.card.task + (" (resumed)" if checkpoint.any_done else "")
    network = job.network()
    with progress(title, total, quiet=job.options.quiet, unit="Mpx of windows") as advance:
        for part, area in todo:
            for top, values in job.predict(network, area, checkpoint.counts, advance):
                checkpoint.write(part, top, area.col, values)


def _finish(
    job: Job, checkpoint: Checkpoint, rows: Path, bands: list[BandInfo], tags: dict[str, str]
) -> None:
    """Write the result from finished rows."""
    path, grid = job.output, job.scene.grid
    if not isinstance(path, Path):
        _copy(rows, len(bands), job.scene.shape, path)
        return
    with published_with_item(path, job.scene, bands, tags, wanted=job.options.stac):
        if path.suffix.lower() == MOSAIC:
            publish_blocks(path, checkpoint, grid, bands, tags)
        elif path.suffix.lower() == ZARR:
            store = checkpoint.folder / path.name
            shutil.rmtree(store, ignore_errors=True)  # of an interrupted run
            _copy(rows, len(bands), job.scene.shape, ZarrWriter(store, grid, bands, tags))
            replace_folder(store, path)
        else:
            finish_surface(path, rows, grid, bands, tags)


def _copy(rows: Path, bands: int, shape: tuple[int, int], writer: WindowWriter) -> None:
    """Copy finished rows to a writer, strip by strip."""
    height, width = shape
    for top in range(0, height, CHUNK):
        source = np.memmap(rows, np.float32, "r", shape=(bands, height, width))
        strip = np.array(source[:, top : top + CHUNK])
        writer.write(Window(top, 0, strip.shape[1], width), strip)


def _fit_tags(fit: GcpFit, options: Options) -> dict[str, str]:
    return {
        "units": "metre",
        "vertical_reference": f"that of {Path(str(options.points)).name}",
        "anchored_to": f"{fit.used - fit.wrong} of {fit.used} ground points",
        "anchored_scale": f"{fit.scale:.9g}",
        "anchored_trend": ", ".join(f"{c:.9g}" for c in fit.trend),
        "anchored_rmse": f"{fit.rmse:.4g}",
        "anchored_leave_one_out": f"{fit.loo:.4g}",
    }


def _mean_uncertainty(job: Job, counts: PixelCounts) -> float:
    if not job.bundle.contract.uncertainty or not counts.known:
        return float("nan")
    return counts.uncertainty / counts.known


def _notes(job: Job, counts: PixelCounts, fit: GcpFit | None) -> tuple[str, ...]:
    """Return sentences for the user, in the order of the stages."""
    notes = list(job.warnings)
    if counts.outliers:
        notes.append(
            f"{counts.outliers} pixels of the DSM are gross outliers ({NARROW_HEIGHT:g} m and more "
            "off all around them): they were treated as voids, and their uncertainty is their "
            "distance from the result"
        )
    if job.assessment is not None:
        notes.append(str(job.assessment))
    if job.coarse is not None:
        notes.append(
            "the wide forms of the relative heights are predicted from the image at pixels "
            f"{job.coarse.factor} times coarser"
        )
    notes += _on_adjustment(job)
    notes += _on_ground(job)
    if job.relative and fit is None:
        notes.append(
            "nothing in one image confirms the shape of relative heights: it may be wrong, even "
            "inverted; give --prior or --points to be sure"
        )
    notes += job.gcps.notes if job.gcps is not None else ()
    notes += fit.notes if fit is not None else ()
    return tuple(notes)


def _on_adjustment(job: Job) -> list[str]:
    adjustment = job.adjustment
    if adjustment is None:
        return []
    count = len(adjustment.offsets)
    target = "the prior" if adjustment.absolute else "each other"
    notes = [
        f"{count} windows were adjusted to {target}: the median of their differences where they "
        f"overlap is {adjustment.after:.3g}, before {adjustment.before:.3g}"
    ]
    at_bound = int(adjustment.at_bound.sum())
    if at_bound:
        notes.append(
            f"in {at_bound} of {count} windows the predicted relief disagrees with the prior's: "
            f"its scale is limited to {SCALES[0]:g} to {SCALES[1]:g}; treat it as unreliable there"
        )
    return notes


def peak_memory() -> float:
    """Return the peak memory of this process in MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource  # psutil has no peak on POSIX

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
