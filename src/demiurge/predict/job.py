"""The plan of a prediction: all checks are made and everything is decided before any work."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demiurge._version import __version__
from demiurge.arrays import Array
from demiurge.errors import UsageError
from demiurge.layers import PRIOR
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import Choice, choose_runtime, make_runtime
from demiurge.model.bundle import Bundle, Task
from demiurge.outputs import RASTERS, check_output, require_replaceable
from demiurge.paths import local_file
from demiurge.predict.above_ground import (
    add_ground,
    on_ground,
    over_ground,
    require_elevations,
    tags_of,
)
from demiurge.predict.augmentation import orientations
from demiurge.predict.bands import bands_of, chosen_targets
from demiurge.predict.checkpoint import PixelCounts, key_of
from demiurge.predict.checks import on_prior, prior_constraint, require_match, spare_clean, survey
from demiurge.predict.heights.adjustment import Adjustment
from demiurge.predict.heights.assessment import Assessment
from demiurge.predict.heights.coarse import CoarsePass
from demiurge.predict.heights.gcp import GcpPixels, place_gcps, require_gcps
from demiurge.predict.heights.prior import PriorConstraint
from demiurge.predict.inference import Network, predict_rows
from demiurge.predict.light import sun_for, sun_tags, sun_warnings
from demiurge.predict.options import Options
from demiurge.predict.sinks import ZARR, ArrayWriter, WindowWriter
from demiurge.predict.stac import item_path
from demiurge.predict.surface import BLOCK_NAMES, MOSAIC, BandInfo, blocks_of
from demiurge.predict.tiling import Tiling, tile
from demiurge.progress import Advance, silent
from demiurge.scene.files import open_raster
from demiurge.scene.grid import Window, wkt
from demiurge.scene.points import read_points
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.scene.sunlight import Sunlight
from demiurge.scene.vertical import agree, vertical_of
from demiurge.scene.views import view_tags

#: Maximum number of windows of relative heights: each adds unknowns to their adjustment.
_MOST_WINDOWS = 30_000
#: Files that ``demiurge export`` makes of a surface.
_EXPORTS = (".las", ".laz", ".ply", ".obj", ".glb")


@dataclass(frozen=True)
class Job:
    """A scene, a bundle, and everything that decides the result.

    Attributes
    ----------
    output
        The file to write, or a writer.
    bands, order
        The bands of the file, and the planes of the network's result that they are.
    gcps
        Ground control points that the heights are fitted to, on the pixels of the grid.
    warnings
        Sentences about the scene for the user.
    runtime
        The loaded network, made in a thread during the checks; None on a cluster.
    sun
        Direction to the sun and its origin, if the bundle sees it.
    started
        Monotonic clock in seconds at the start of the plan.
    assessment, prior, coarse, adjustment
        What the stages of :mod:`demiurge.predict.pipeline` decide about the heights.
    """

    scene: Scene
    bundle: Bundle
    tiling: Tiling
    choice: Choice
    options: Options
    output: Path | WindowWriter
    bands: list[BandInfo]
    order: list[int]
    gcps: GcpPixels | None
    warnings: tuple[str, ...]
    runtime: Future[Runtime] | None
    started: float
    sun: Sunlight | None = None
    prior: PriorConstraint | None = None
    assessment: Assessment | None = None
    coarse: CoarsePass | None = None
    adjustment: Adjustment | None = None

    @property
    def assesses(self) -> bool:
        """Return whether the bundle is assessed on the scene at reduced resolution."""
        return self.prior is not None and not self.prior.fine

    @property
    def adjusts(self) -> bool:
        """Return whether windows of relative heights are adjusted to each other or to a prior."""
        several = self.tiling.count > 1 or self.absolute
        return self.bundle.contract.relative and self.options.reconcile and several

    @property
    def absolute(self) -> bool:
        """Return whether relative heights are adjusted to a prior that the network does not see."""
        return _is_absolute(self.scene, self.bundle, self.options)

    @property
    def relative(self) -> bool:
        """Return whether heights stay relative: no prior gives their level and scale."""
        return self.bundle.contract.relative and not self.absolute

    def network(self) -> Network:
        """Return the network; wait for its runtime, or make one on a cluster."""
        if self.runtime is not None:
            return self.network_on(self.runtime.result())
        return self.network_on(make_runtime(self.bundle, self.tiling.size, self.choice))

    def network_on(self, runtime: Runtime) -> Network:
        """Return the network on a runtime."""
        sun = None if self.sun is None else self.sun.direction
        turned = orientations(self.bundle.card, self.options.tta, sun)
        return Network(self.bundle, runtime, turned, self.options.in_flight, sun)

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of the result: its origin and the options that decide it."""
        scene, bundle = self.scene, self.bundle
        prior = self.absolute or over_ground(scene, bundle)
        names = (*bundle.contract.names, *((PRIOR,) if prior else ()))
        used = [f"{n}={Path(s.path).name}" for n, s in scene.sources.items() if n in names]
        units = "relative" if self.relative else "metre"
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
            **tags_of(scene, bundle),
            **view_tags(scene),
            **sun_tags(self.sun, bundle.card),
            "runtime": self.choice.about,
            "window": f"{self.tiling.size} px, overlap {self.tiling.overlap} px",
            "test_time_augmentation": str(self.options.tta),
            **self._prior_tags(),
        }

    def _prior_tags(self) -> dict[str, str]:
        if self.prior is None:
            return {}
        accuracy, given = self.prior.accuracy, self.options.detail is not None
        tags = {"prior_accuracy": "not given" if accuracy is None else f"{accuracy:g} m"}
        if self.prior.fine:
            return tags
        assessed = self.assessment is not None and self.assessment.assessed
        source = "judged at reduced resolution" if assessed else "not judged"
        return {
            **tags,
            "detail": f"{self.prior.detail:.4g}",
            "detail_from": "as given" if given else source,
            "prior_means_restored": f"{self.prior.restored:.4g}",
            **self._assumed_tags(),
            "uncertainty_factor": f"{self.prior.uncertainty_factor:.4g}",
        }

    def _assumed_tags(self) -> dict[str, str]:
        assumed = 0.0 if self.assessment is None else self.assessment.sharpening.assumed
        return {"prior_errors_assumed": f"{assumed:.3g} m"} if assumed else {}

    @property
    def key(self) -> str:
        """Return a key that changes with anything that changes the result."""
        scene, contract, options = self.scene, self.bundle.contract, self.options
        prior = None if self.prior is None else (self.prior.accuracy, options.detail)
        return key_of(
            {
                "version": __version__,
                "layers": {
                    n: (s.path, s.vector or s.band, s.undeclared, s.detect_nodata, *_stamp(s))
                    for n, s in scene.sources.items()
                },
                "grid": (wkt(scene.grid), *scene.grid.affine, *scene.shape),
                "equalised": sorted(scene.equalised),
                "bundle": self.bundle.card.sha256,
                "calibration": contract.calibration,
                "shrink": contract.shrink,
                "order": self.order,
                "window": (self.tiling.size, self.tiling.overlap),
                "runtime": self.choice.about,
                "tta": options.tta,
                "keep_voids": options.keep_voids,
                "blocks": options.cluster is not None,
                "reconcile": options.reconcile,
                "prior": prior,
                "sun": None if self.sun is None else self.sun.direction,
            }
        )

    def predict(
        self, network: Network, area: Window, counts: PixelCounts, advance: Advance = silent
    ) -> Iterator[tuple[int, Array]]:
        """Predict an area, update the counts, and yield finished rows in the bands of the file.

        Yields
        ------
        The first row in the raster, and float32 (bands, rows, width).
        """
        contract = self.bundle.contract
        stages = {"adjustment": self.adjustment, "coarse": self.coarse, "prior": self.prior}
        how: dict[str, Any] = {"keep_voids": self.options.keep_voids, "advance": advance, **stages}
        for rows in predict_rows(self.scene, network, self.tiling, area=area, **how):
            values = rows.values[self.order]
            if over_ground(self.scene, self.bundle):
                add_ground(self.scene, Window(rows.top, area.col, *values.shape[1:]), values[0])
            known = np.isfinite(values[0])
            counts.pixels += known.size
            counts.unknown += int(known.size - known.sum())
            counts.outliers += int(rows.outliers.sum())
            if contract.base is not None:
                counts.filled += int((known & ~rows.measured).sum())
            if contract.uncertainty:
                counts.uncertainty += float(np.nansum(values[1], dtype=np.float64))
            yield rows.top, values


def plan(
    scene: Scene, bundle: Bundle, task: Task, output: Path | WindowWriter, options: Options
) -> Job:
    """Check that output, scene, bundle and options fit, and decide everything.

    Raises
    ------
    UsageError, DataError, ResourceError
        For what does not fit.
    """
    started = time.monotonic()
    if isinstance(output, Path):
        _check_path(output, scene, bundle, options)
    elif options.stac:
        raise UsageError("a STAC item needs a file", "leave out stac, or give a path")
    if options.cluster is not None and any(s.in_memory for s in scene.sources.values()):
        raise UsageError("--cluster has no effect on arrays", "give files, or leave out cluster")
    if options.points_crs is not None and options.points is None:
        raise UsageError("--points-crs has no effect without --points", "leave it out")
    gcps = _read_gcps(scene, options)
    targets = chosen_targets(bundle, options.target)
    bundle = bundle.suited(scene.layers)
    require_match(scene, bundle, task, options)
    orientations(bundle.card, options.tta)
    prior = prior_constraint(scene, bundle, options)
    absolute = _is_absolute(scene, bundle, options)
    relative, over = bundle.contract.relative and not absolute, over_ground(scene, bundle)
    bands, order = bands_of(bundle, targets, relative=relative, over_ground=over)
    if isinstance(output, ArrayWriter):
        output.require_shape((len(bands), *scene.shape))
    if gcps is not None:
        require_elevations(scene, bundle)
        require_gcps(len(gcps.z), scaled=bands[0].unit == "relative")
    tiling = tiling_for(scene, bundle, options)
    choice, runtime = _start_runtime(bundle, tiling.size, options)
    bundle, kept = spare_clean(scene, bundle)
    sun = sun_for(scene, bundle)
    warnings = (*survey(scene, bundle, targets, options.any_input), *kept, *on_prior(prior),
                *on_ground(scene, bundle), *sun_warnings(sun, bundle.card))  # fmt: skip
    if bundle.contract.equalise:
        scene = scene.with_equalised()
    return Job(
        scene=scene,
        bundle=bundle,
        tiling=tiling,
        choice=choice.result(),
        options=options,
        output=output,
        bands=bands,
        order=order,
        gcps=gcps,
        warnings=warnings,
        runtime=runtime,
        started=started,
        sun=sun,
        prior=prior,
    )


def _start_runtime(
    bundle: Bundle, size: int, options: Options
) -> tuple[Future[Choice], Future[Runtime] | None]:
    """Choose the runtime and compile the graph in a thread."""
    pool = ThreadPoolExecutor(1)
    choice = pool.submit(choose_runtime, bundle, options.runtime, options.precision)
    runtime = None
    if options.cluster is None:
        runtime = pool.submit(lambda: make_runtime(bundle, size, choice.result()))
    pool.shutdown(wait=False)
    return choice, runtime


def tiling_for(scene: Scene, bundle: Bundle, options: Options) -> Tiling:
    """Return the tiling of a scene: that of the bundle, unless the options change it.

    A network that was trained on relative heights knows how they differ within a chip. Over wider
    distances the adjustment of windows of a chip's size is more accurate than larger windows.
    """
    window = bundle.card.window
    chip = bundle.card.recipe.get("chips", {}).get("size")
    relative = bundle.contract.suited(scene.layers).relative
    if relative and options.reconcile and chip is not None:
        side = max(64, chip)
        while side < window.size and math.prod(scene.shape) > _MOST_WINDOWS * (0.75 * side) ** 2:
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


def _check_path(path: Path, scene: Scene, bundle: Bundle, options: Options) -> None:
    suffix = path.suffix.lower()
    if suffix in _EXPORTS:
        surface = path.with_suffix(".tif").name
        raise UsageError(
            f"{path}: clouds and meshes are exported from a finished surface",
            f"name the result {surface}, then run: demiurge export {surface} -o {path.name}",
        )
    mosaic = suffix == MOSAIC
    if mosaic and options.cluster is None:
        raise UsageError(f"{path}: a virtual mosaic needs --cluster", "name the result .tif")
    check_output(
        path,
        overwrite=options.overwrite,
        inputs=[*scene.files, bundle.path, *([options.points] if options.points else [])],
        suffixes=() if suffix == ZARR else (*RASTERS, ZARR, *([MOSAIC] if options.cluster else [])),
        companions=[*([item_path(path)] if options.stac else []),
                    *([blocks_of(path)] if mosaic else [])],
    )  # fmt: skip
    if mosaic:
        require_replaceable(blocks_of(path), "", BLOCK_NAMES)
    if mosaic and (options.points is not None or options.ground == "interpolated"):
        what = "fitted to ground points" if options.points else "joined to interpolate the ground"
        raise UsageError(f"blocks are not {what}", "name the result .tif")
    if suffix == ZARR:
        require_replaceable(path, ".zgroup")


def _read_gcps(scene: Scene, options: Options) -> GcpPixels | None:
    if options.points is None:
        return None
    points = read_points(options.points, options.points_crs)
    if points.crs is not None:
        agree({scene.name: scene.vertical, str(options.points): vertical_of(points.crs)})
    return place_gcps(points, scene.grid, str(options.points))


def _is_absolute(scene: Scene, bundle: Bundle, options: Options) -> bool:
    unseen = PRIOR in scene.layers and PRIOR not in bundle.contract.names
    return options.reconcile and bundle.contract.relative and unseen


def _area_or_point(scene: Scene) -> str:
    """Return the raster type of the scene's leading layer."""
    lead = scene.sources.get(scene.base or next(iter(scene.sources)))
    if lead is None or (lead.in_memory and lead.array is None):
        return "Area"
    with open_raster(lead.path) as dataset:
        return str(dataset.tags().get("AREA_OR_POINT", "Area"))


def _stamp(source: Source) -> tuple[Any, ...]:
    """Return size, time and variant of a local file, or the token of a reader or an array."""
    if source.in_memory:
        return (source.token,)
    file = local_file(source.path)
    if file is None or not file.exists():
        return ()
    return file.stat().st_size, file.stat().st_mtime_ns, *source.variant
