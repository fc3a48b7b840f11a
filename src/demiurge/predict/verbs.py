"""The two verbs, refine and generate: from files or a scene to a surface."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from demiurge.errors import UsageError
from demiurge.exports.export import export, kind_of, require_writer
from demiurge.layers import PANCHROMATIC, PRIOR
from demiurge.model.bundle import Bundle, Task, default_bundle, load_bundle
from demiurge.outputs import check_output
from demiurge.predict.anchor import Fit
from demiurge.predict.anchoring import Anchors, anchored, place_points
from demiurge.predict.choice import choose_runtime, make_runtime
from demiurge.predict.job import OPTION_OF, Job, Options, peak_memory, plan_job, plan_of, run_area
from demiurge.predict.journal import Journal, Tally, journalled
from demiurge.predict.plan import swaths
from demiurge.predict.runtime import Runtime
from demiurge.predict.stac import write_item
from demiurge.predict.surface import Surface, finish_surface
from demiurge.progress import progress
from demiurge.scene.grid import Window
from demiurge.scene.open import PathLike, open_scene, recognise_bands, scene_from_files
from demiurge.scene.points import read_points
from demiurge.scene.scene import Scene
from demiurge.scene.source import open_raster

#: Columns that are worked on at a time: rows of windows are kept in memory over their width.
WIDEST = 8192


def refine(
    dsm: PathLike | Scene,
    output: PathLike,
    *,
    left: PathLike | None = None,
    right: PathLike | None = None,
    triangulation_error: PathLike | None = None,
    ndvi: PathLike | None = None,
    bundle: PathLike | Bundle | None = None,
    options: Options | None = None,
) -> Surface:
    """Make a better DSM, DTM or both from an initial stereo DSM and what came with it.

    Parameters
    ----------
    dsm
        A DSM raster in metres, a scene folder, or an opened scene.
    output
        GeoTIFF to write, on the DSM's own grid where that is north-up in metres.
    left, right, triangulation_error, ndvi
        Rasters that go with a DSM raster; warped to its grid where they lie otherwise.
    bundle
        A bundle, its file or the name of a shipped one; the shipped ``refine`` if None.

    Returns
    -------
    The written surface. Heights are in metres above what the DSM's heights are above.

    Raises
    ------
    UsageError, ResourceError, DataError
        One sentence each for options, files and data that do not fit.
    """
    extra = {
        "ortho_left": left,
        "ortho_right": right,
        "triangulation_error": triangulation_error,
        "ndvi": ndvi,
    }
    files = {name: path for name, path in extra.items() if path is not None}
    chosen = load_bundle(bundle) if bundle is not None else default_bundle("refine")
    scene = _scene_of(dsm, "dsm", files)
    return apply_bundle(scene, chosen, "refine", output, options or Options())


def generate(
    image: PathLike | Scene,
    output: PathLike,
    *,
    prior: PathLike | None = None,
    bands: Mapping[str, int] | None = None,
    gsd: float | None = None,
    bundle: PathLike | Bundle | None = None,
    options: Options | None = None,
) -> Surface:
    """Make an elevation surface from one image.

    Parameters
    ----------
    image
        A raster whose bands are recognised by description or colour, a scene folder, or a scene.
    output
        GeoTIFF to write, on the image's own grid where that is north-up in metres.
    prior
        A coarse elevation model in metres; the result then has its vertical reference.
    bands
        Layer name to band number, where the bands are not recognised.
    gsd
        Pixel size in metres of an image without georeference (a plain JPEG or PNG), which gets a
        frame of its own; the bundle's if None.
    bundle
        A bundle, its file or the name of a shipped one; the shipped ``generate`` if None.

    Returns
    -------
    The written surface. Its heights are in metres; those of a bundle that learned relative
    heights are tagged ``units: relative``.
    """
    chosen = load_bundle(bundle) if bundle is not None else default_bundle("generate")
    if isinstance(image, Scene) or _is_scene(image):
        scene = _scene_of(image, "", {} if prior is None else {PRIOR: prior})
    else:
        path = str(image)
        found = {n: f"{path}:{b}" for n, b in bands.items()} if bands else recognise_bands(path)
        files: dict[str, PathLike] = {n: f for n, f in found.items() if n in chosen.contract.names}
        if not files:
            raise UsageError(
                f"{path}: has none of the layers that bundle '{chosen.card.name}' sees "
                f"({', '.join(chosen.contract.names)})",
                "name its bands with --bands red=1,green=2,blue=3",
            )
        local, notes = _frame(path, chosen, gsd, prior)
        if prior is not None:
            files[PRIOR] = prior
        scene = scene_from_files(files, name=Path(path).stem, local=local)
        scene = replace(scene, notes=(*scene.notes, *notes))
    return apply_bundle(scene, chosen, "generate", output, options or Options())


def _frame(
    path: str, bundle: Bundle, gsd: float | None, prior: PathLike | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return the pixel size of an image without georeference, and what to say of it."""
    with open_raster(path) as dataset:
        if dataset.crs is not None:
            if gsd is not None:
                raise UsageError(
                    f"{path}: is georeferenced, so its pixel size is known", "leave out --gsd"
                )
            return None, ()
    if prior is not None:
        raise UsageError(
            f"{path}: has no georeference, so the prior cannot be laid under it",
            "georeference it in QGIS, or leave out --prior",
        )
    sizes = bundle.card.pixel_sizes
    size = gsd or (sizes.low * sizes.high) ** 0.5
    guessed = "" if gsd else ", as the bundle's are; tell theirs with --gsd"
    return size, (
        f"{path} has no georeference: the result lies in a frame of its own, with pixels of "
        f"{size:g} m{guessed}",
    )


def _is_scene(place: PathLike) -> bool:
    path = Path(place)
    return path.is_dir() or path.suffix.lower() in (".yaml", ".yml")


def _scene_of(place: PathLike | Scene, role: str, files: Mapping[str, PathLike]) -> Scene:
    if not isinstance(place, Scene) and not _is_scene(place):
        return scene_from_files({role: place, **files}, name=Path(place).stem)
    if files:
        given = ", ".join(OPTION_OF[name] for name in files)
        raise UsageError(
            f"{given} cannot be added to a scene", "prepare the scene with it, or give plain files"
        )
    return place if isinstance(place, Scene) else open_scene(place)


def apply_bundle(
    scene: Scene, bundle: Bundle, task: Task, output: PathLike, options: Options
) -> Surface:
    """Apply a bundle to a scene and write the surface: a GeoTIFF, a point cloud or a mesh."""
    path = Path(os.fspath(output))
    check_output(path, overwrite=options.overwrite)
    if kind_of(path) is not None:
        return _exported(scene, bundle, task, path, options)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder where a file is to go", "choose another name")
    if path.suffix == ".vrt" and options.cluster is None:
        raise UsageError(
            f"{path}: a virtual mosaic is what --cluster makes", "name the result .tif"
        )
    anchors = _anchors(scene, path, options)
    start = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        # The graph is compiled while the scene is looked at.
        warming = None if options.cluster else pool.submit(_warm, scene, bundle, options)
        job = plan_job(scene, bundle, task, options)
        shape = (len(job.bands), *job.scene.shape)
        with journalled(path, job.key, shape, quiet=options.quiet) as journal:
            if warming is not None:
                _run(job, journal, options, warming)
            else:
                from demiurge.predict.cluster import run_on_cluster

                job = run_on_cluster(job, journal, options)
            journal.whole = True
            rows, bands, tags, fit = journal.rows, job.bands, job.tags, None
            if anchors is not None:
                relative = bundle.contract.relative
                rows, bands, fit = anchored(rows, bands, scene.grid, anchors, relative=relative)
                tags |= _anchored_tags(fit, options)
            if path.suffix != ".vrt":
                finish_surface(path, rows, job.scene.grid, bands, tags)
            tally = journal.tally
    if options.stac:
        write_item(path, job.scene.grid, bands, tags)
    return Surface(
        path=path,
        grid=scene.grid,
        bands=tuple(band.name for band in bands),
        seconds=time.monotonic() - start,
        filled=tally.filled,
        unknown=tally.unknown / max(tally.pixels, 1),
        uncertainty=_mean_uncertainty(bundle, tally),
        memory=peak_memory(),
        notes=(*scene.notes, *job.warnings, *(fit.notes if fit else ())),
        fit=fit,
    )


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


def _exported(scene: Scene, bundle: Bundle, task: Task, path: Path, options: Options) -> Surface:
    """Write the surface under a hidden name and turn it into what the name asks for."""
    require_writer(path)
    hidden = path.absolute().with_name(f".{path.name}.tif")
    surface = apply_bundle(scene, bundle, task, hidden, replace(options, overwrite=True))
    try:
        colours = next((n for n in ("red", *PANCHROMATIC) if n in scene.sources), None)
        export(
            hidden,
            path,
            image=None if colours is None else scene.sources[colours].path,
            tolerance=options.thin,
            overwrite=options.overwrite,
            quiet=options.quiet,
        )
    finally:
        hidden.unlink(missing_ok=True)
    return replace(surface, path=path)


def _warm(scene: Scene, bundle: Bundle, options: Options) -> Runtime:
    choice = choose_runtime(bundle, options.runtime, options.precision)
    return make_runtime(bundle, plan_of(scene, bundle, options).size, choice)


def _run(job: Job, journal: Journal, options: Options, warming: Future[Runtime]) -> None:
    """Predict what the journal does not have yet, strip by strip."""
    height, _ = job.scene.shape
    todo = [
        (part, Window(done, strip.col, height - done, strip.width))
        for part, strip in enumerate(swaths(job.scene.shape, WIDEST))
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


def _mean_uncertainty(bundle: Bundle, tally: Tally) -> float:
    if not bundle.contract.uncertainty or not tally.known:
        return float("nan")
    return tally.uncertainty / tally.known
