"""Prediction in blocks on several processes or machines, through Dask distributed.

Each task predicts one block with all windows that overlap it, and writes it as a GeoTIFF. Blocks
of lost workers are predicted again. On one machine a single process is faster than ``local:N``,
because the runtime uses all cores and windows at block borders are predicted once; ``local:N`` is
for tests.
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

from demiurge.console import note
from demiurge.errors import ResourceError, UsageError, missing_extra
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import Choice, make_runtime
from demiurge.outputs import atomic_file, replace_folder
from demiurge.predict.checkpoint import BLOCKS, Checkpoint, PixelCounts
from demiurge.predict.job import Job
from demiurge.predict.surface import MOSAIC, BandInfo, blocks_of, finish_surface, write_mosaic
from demiurge.predict.tiling import split_blocks
from demiurge.progress import progress
from demiurge.scene.grid import Window, window_grid

#: Maximum and minimum side of a block in pixels. Windows at block borders are predicted twice.
MOST, LEAST = 4096, 1024
_ATTEMPTS = 4
#: Name by which the checkpoint keeps the side of a block.
_SIDE = "side"
#: The runtime of this worker, by bundle, window, choice and threads.
_RUNTIMES: dict[Any, Runtime] = {}


def run_on_cluster(job: Job, checkpoint: Checkpoint) -> Job:
    """Predict all blocks on a cluster.

    The blocks of a virtual mosaic stay in the checkpoint for :func:`publish_blocks`. Otherwise
    they are copied to its rows.

    Returns
    -------
    The job with the runtime of the workers, which may have a GPU.

    Raises
    ------
    UsageError, ResourceError
        For an invalid or unreachable address, or a block that repeatedly loses its workers.
    """
    options = job.options
    address = options.cluster or ""
    folder = checkpoint.folder / BLOCKS
    folder.mkdir(exist_ok=True)
    with _client(address, options.quiet) as client:
        job, resources, threads = _on_workers(job, client, address)
        if checkpoint.keep("runtime", job.choice.about) != job.choice.about:
            checkpoint.reset()  # pixels of another runtime differ
            folder.mkdir()
            checkpoint.keep("runtime", job.choice.about)
        # A resumed run keeps the side of a block, even with another number of workers.
        areas = _areas(job.scene.shape, checkpoint.keep(_SIDE, _side(job, client)))
        todo = [name for name in areas if not checkpoint.done(name)]
        futures = {
            client.submit(
                predict_block,
                job,
                areas[name],
                str(folder / f"{name}.tif"),
                threads,
                resources=resources,
                retries=_ATTEMPTS,
                pure=False,
            ): name
            for name in todo
        }
        total = sum(areas[name].height * areas[name].width for name in todo) / 1e6
        with progress(job.bundle.card.task, total, quiet=options.quiet, unit="Mpx") as advance:
            for future, counts in _finished(futures):
                name = futures[future]
                checkpoint.record(name, counts)
                advance(areas[name].height * areas[name].width / 1e6)
    if checkpoint.target.suffix.lower() != MOSAIC:
        _copy_rows(checkpoint, areas, folder)
    return job


def _areas(shape: tuple[int, int], side: int) -> dict[str, Window]:
    return {_name(area): area for area in split_blocks(shape, side)}


def _name(area: Window) -> str:
    return f"row{area.row}_col{area.col}_{area.height}x{area.width}"


def _side(job: Job, client: Any) -> int:
    """Return a side that gives every worker a few blocks; pixels do not depend on it."""
    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    rows, columns = job.scene.shape
    return int(np.clip(np.sqrt(rows * columns / (3 * workers)), LEAST, MOST))


def predict_block(job: Job, area: Window, path: str, threads: int) -> PixelCounts:
    """Predict a block and write it, on a worker."""
    out = Path(path)
    grid = window_grid(job.scene.grid, area)
    shape = (len(job.bands), area.height, area.width)
    # A folder per process: a worker that was given up as lost may still write the same block.
    folder = out.with_name(f".{out.stem}.{os.getpid()}")
    folder.mkdir(exist_ok=True)
    try:
        local = Checkpoint(folder, "", shape)
        network = job.network_on(_runtime(job, threads))
        for top, values in job.predict(network, area, local.counts):
            local.write(0, top - area.row, 0, values)
        local.close()
        finish_surface(out, local.rows, grid, job.bands, job.tags)
        return local.counts
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runtime(job: Job, threads: int) -> Runtime:
    key = (str(job.bundle.path), job.bundle.card.sha256.get("graph.onnx"), job.tiling.size,
           job.choice, threads)  # fmt: skip
    if key not in _RUNTIMES:
        _RUNTIMES.clear()
        _RUNTIMES[key] = make_runtime(job.bundle, job.tiling.size, job.choice, threads=threads)
    return _RUNTIMES[key]


def _on_workers(job: Job, client: Any, address: str) -> tuple[Job, dict[str, float] | None, int]:
    """Return the job for the available workers, the resources of a task, and its threads."""
    options = job.options
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if options.runtime == "auto" and any("GPU" in w.get("resources", {}) for w in workers):
        validated = job.bundle.card.runtime_precision
        precision = validated if options.precision == "auto" else options.precision
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
                f"workers were lost repeatedly over block {futures[future]}",
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
            _show_dashboard(client, quiet)
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
        _show_dashboard(client, quiet)
        yield client


def _show_dashboard(client: Any, quiet: bool) -> None:
    if not quiet and client.dashboard_link:
        note(f"dashboard: {client.dashboard_link}")


def publish_blocks(
    path: Path, checkpoint: Checkpoint, grid: GeoBox, bands: list[BandInfo], tags: Mapping[str, str]
) -> None:
    """Publish finished blocks in a folder next to a virtual mosaic of them."""
    fresh, folder = checkpoint.folder / BLOCKS, blocks_of(path)
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    areas = _areas(shape, checkpoint.keep(_SIDE, MOST))
    names = [f"{name}.tif" for name in areas]
    for entry in fresh.iterdir():
        if entry.is_dir():  # left by a lost worker
            shutil.rmtree(entry)
        elif entry.name not in names:
            entry.unlink()
    with atomic_file(path, overwrite=True) as partial:
        files = [folder / name for name in names]
        write_mosaic(partial, grid, bands, tags, files, list(areas.values()))
        replace_folder(fresh, folder)


def _copy_rows(checkpoint: Checkpoint, areas: dict[str, Window], folder: Path) -> None:
    """Copy blocks to the checkpoint's rows."""
    import rasterio

    for name, area in areas.items():
        with rasterio.open(folder / f"{name}.tif") as source:
            for top in range(0, area.height, 512):
                count = min(512, area.height - top)
                values = source.read(window=((top, top + count), (0, area.width)))
                checkpoint.put(area.row + top, area.col, values)
