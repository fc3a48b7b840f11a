"""The same plan on many processes or machines, through Dask distributed.

A raster is cut into blocks. A task predicts a block with all windows that touch it and writes it as
its own GeoTIFF, under its name only when whole; what a lost worker leaves is done again by another.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import ResourceError, UsageError, missing_extra
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import Choice, make_runtime
from demiurge.outputs import replace_folder, whole_file
from demiurge.predict.checkpoint import BLOCKS, Checkpoint, PixelCounts
from demiurge.predict.job import Job, run_area
from demiurge.predict.options import Options
from demiurge.predict.result import blocks_of
from demiurge.predict.surface import BandInfo, finish_surface, write_mosaic
from demiurge.predict.tiling import split_blocks
from demiurge.progress import progress
from demiurge.scene.grid import Window, window_grid

#: Sides of a block in pixels at most and least; windows at its border are asked twice, so it is
#: not small.
MOST, LEAST = 4096, 1024
_ATTEMPTS = 4
#: The journal's name for the side of a block.
_SIDE = "side"
#: Runtimes that this worker has made, by bundle, window, choice and threads.
_RUNTIMES: dict[Any, Runtime] = {}


def run_on_cluster(job: Job, journal: Checkpoint, options: Options) -> Job:
    """Predict all blocks on a cluster and bring them together.

    With a result called ``.vrt`` the blocks stay in the journal for :func:`write_blocks`; else
    they are copied to its rows.

    Returns
    -------
    The job as it was run: workers with a GPU change the runtime.

    Raises
    ------
    UsageError, ResourceError
        For an address that makes no sense, a cluster that cannot be reached, or a block that
        workers were lost over again and again.
    """
    address = options.cluster or ""
    parts = journal.folder / BLOCKS
    parts.mkdir(exist_ok=True)
    with _client(address, options.quiet) as client:
        job, resources, threads = _suited(job, client, address, options)
        if journal.settle("runtime", job.choice.about) != job.choice.about:
            journal.begin_anew()  # other workers than before: their blocks would not match
            parts.mkdir()
            journal.settle("runtime", job.choice.about)
        # The first run decides: the number of workers may be another when work goes on.
        areas = _areas(job.scene.shape, journal.settle(_SIDE, _side(job, client)))
        todo = [name for name in areas if not journal.done(name)]
        futures = {
            client.submit(
                predict_block,
                job,
                areas[name],
                str(parts / f"{name}.tif"),
                options.in_flight,
                threads,
                resources=resources,
                retries=_ATTEMPTS,
                pure=False,
            ): name
            for name in todo
        }
        total = sum(areas[name].height * areas[name].width for name in todo) / 1e6
        with progress(job.bundle.card.task, total, quiet=options.quiet, unit="Mpx") as advance:
            for future, tally in _finished(futures):
                name = futures[future]
                journal.note(name, tally)
                advance(areas[name].height * areas[name].width / 1e6)
    if journal.target.suffix.lower() != ".vrt":
        _copy_rows(journal, areas, parts)
    return job


def _areas(shape: tuple[int, int], side: int) -> dict[str, Window]:
    return {_name(area): area for area in split_blocks(shape, side)}


def _name(area: Window) -> str:
    return f"row{area.row}_col{area.col}_{area.height}x{area.width}"


def _side(job: Job, client: Any) -> int:
    """Return a side that gives every worker a few blocks; it does not change the result."""
    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    rows, columns = job.scene.shape
    return int(np.clip(np.sqrt(rows * columns / (3 * workers)), LEAST, MOST))


def predict_block(job: Job, area: Window, path: str, in_flight: int, threads: int) -> PixelCounts:
    """Predict a block and write it: what a task does, on a worker."""
    out = Path(path)
    grid = window_grid(job.scene.grid, area)
    shape = (len(job.bands), area.height, area.width)
    # Two workers may be at the same block, one of them given up for lost: each has its folder.
    folder = out.with_name(f".{out.stem}.{os.getpid()}")
    folder.mkdir(exist_ok=True)
    try:
        local = Checkpoint(folder, "", shape)
        runtime = _runtime(job, threads)
        done = run_area(job, runtime, area, local.tally, in_flight=in_flight)
        for top, values in done:
            local.write(0, top - area.row, 0, values)
        local.close()
        finish_surface(out, local.rows, grid, job.bands, job.tags)
        return local.tally
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runtime(job: Job, threads: int) -> Runtime:
    key = (str(job.bundle.path), job.bundle.card.sha256.get("graph.onnx"), job.plan.size,
           job.choice, threads)  # fmt: skip
    if key not in _RUNTIMES:
        _RUNTIMES.clear()
        _RUNTIMES[key] = make_runtime(job.bundle, job.plan.size, job.choice, threads=threads)
    return _RUNTIMES[key]


def _suited(
    job: Job, client: Any, address: str, options: Options
) -> tuple[Job, dict[str, float] | None, int]:
    """Return the job for the workers there are, the resources of a task, and its threads."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if options.runtime == "auto" and any("GPU" in w.get("resources", {}) for w in workers):
        checked = job.bundle.card.runtime_precision
        precision = checked if options.precision == "auto" else options.precision
        return replace(job, choice=Choice("torch", "CUDA", precision)), {"GPU": 1}, 0
    if address.startswith("local:"):
        return job, None, max(1, (os.cpu_count() or 1) // max(1, len(list(workers))))
    return job, None, min((int(w.get("nthreads", 1)) for w in workers), default=1)


def _finished(futures: dict[Any, str]) -> Iterator[tuple[Any, PixelCounts]]:
    from dask import distributed

    library: Any = distributed  # not typed
    for future in library.as_completed(list(futures)):
        try:
            yield future, future.result()
        except library.KilledWorker:
            raise ResourceError(
                f"workers were lost over block {futures[future]} again and again",
                "give them more memory, or a smaller --window",
            ) from None


@contextmanager
def _client(address: str, quiet: bool) -> Iterator[Any]:
    """Connect to a scheduler, or start workers on this machine."""
    try:
        from dask import config, distributed
    except ImportError:
        raise missing_extra("distributed", "cluster", "--cluster") from None
    library: Any = distributed  # not typed
    if address.startswith("local:"):
        count = address.removeprefix("local:")
        if not count.isdigit() or int(count) < 1:
            raise UsageError(f"--cluster is '{address}'", "write local:4 for four processes")
        with (
            config.set({"distributed.worker.daemon": False}),
            library.LocalCluster(n_workers=int(count), threads_per_worker=1, processes=True,
                         dashboard_address=":0", silence_logs=50) as cluster,
            library.Client(cluster) as client,
        ):  # fmt: skip
            _tell_dashboard(client, quiet)
            yield client
        return
    if "://" not in address:
        raise UsageError(
            f"--cluster is '{address}'", "write local:N, or the scheduler's tcp://host:port"
        )
    try:
        client = library.Client(address, timeout=15)
    except (OSError, TimeoutError, ValueError) as error:
        raise ResourceError(
            f"{address}: no Dask scheduler answers ({str(error).splitlines()[0]})",
            "start one with: dask scheduler",
        ) from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise ResourceError(f"{address}: has no workers", "start some with: dask worker")
        _tell_dashboard(client, quiet)
        yield client


def _tell_dashboard(client: Any, quiet: bool) -> None:
    if not quiet and client.dashboard_link:
        from demiurge.console import note

        note(f"dashboard: {client.dashboard_link}")


def write_blocks(
    path: Path, journal: Checkpoint, grid: GeoBox, bands: list[BandInfo], tags: Mapping[str, str]
) -> None:
    """Publish finished blocks in a folder beside a virtual mosaic of them."""
    parts, folder = journal.folder / BLOCKS, blocks_of(path)
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    areas = _areas(shape, journal.settle(_SIDE, MOST))
    names = [f"{name}.tif" for name in areas]
    for entry in parts.iterdir():
        if entry.is_dir():  # of a worker that was lost
            shutil.rmtree(entry)
        elif entry.name not in names:
            entry.unlink()
    with whole_file(path, overwrite=True) as partial:
        files = [folder / name for name in names]
        write_mosaic(partial, grid, bands, tags, files, list(areas.values()))
        replace_folder(parts, folder)


def _copy_rows(journal: Checkpoint, areas: dict[str, Window], parts: Path) -> None:
    """Copy blocks to the journal's rows."""
    import rasterio

    for name, area in areas.items():
        with rasterio.open(parts / f"{name}.tif") as source:
            for top in range(0, area.height, 512):
                count = min(512, area.height - top)
                values = source.read(window=((top, top + count), (0, area.width)))
                journal.put(area.row + top, area.col, values)
