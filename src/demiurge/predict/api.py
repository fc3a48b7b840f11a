"""The functions refine, generate and imagine: from files or a scene to a result raster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from demiurge.config import takes
from demiurge.errors import DataError, UsageError
from demiurge.layers import PRIOR, Kind, layer
from demiurge.model.bundle import Bundle, Task, default_bundle, load_bundle
from demiurge.paths import Labelled, PathLike, RasterLike, is_raster_folder, split_band
from demiurge.predict.datasets import dataset_of_prediction
from demiurge.predict.job import plan
from demiurge.predict.light import under_sun
from demiurge.predict.options import (
    OPTION_OF,
    GenerateOptions,
    ImagineOptions,
    Options,
    RefineOptions,
)
from demiurge.predict.pipeline import run
from demiurge.predict.sinks import MemoryWriter
from demiurge.predict.surface import Surface
from demiurge.scene.arrays import as_path
from demiurge.scene.bands import Bands, bands_of
from demiurge.scene.files import open_raster
from demiurge.scene.georeference import has_gcps_or_rpcs, pixel_size_without_crs, raise_no_crs
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.options import NoData, RawOptions
from demiurge.scene.placement import require_rioxarray
from demiurge.scene.recognise.folder import is_foreign_folder, recognise
from demiurge.scene.scene import Scene
from demiurge.scene.sensor import RawSettings, raw_settings
from demiurge.scene.xarrays import scene_from_xarray

if TYPE_CHECKING:
    import xarray


@takes(RefineOptions, Surface, dataset_of_prediction)
def refine(
    dsm: RasterLike | Scene, output: PathLike | None = None, *, options: RefineOptions
) -> Surface | xarray.Dataset:
    """Improve a stereo DSM and derive the bare-earth DTM.

    Parameters
    ----------
    dsm
        A DSM raster in metres, a scene folder, an opened scene, or the output folder of another
        tool whose files need no conversion; a DataArray, or a Dataset whose variables are layers.
    output
        GeoTIFF to write, on the DSM's own grid if that is north-up in metres; none if left out.

    Returns
    -------
    The written surface; without an output, a Dataset of xarray with a variable (y, x) for each
    band, and notes and tags in its attributes. Heights are in metres above the vertical reference
    of the DSM.

    Raises
    ------
    UsageError, ResourceError, DataError
        For options, files and data that cannot be used.
    """
    given = options.bundle
    bundle = default_bundle("refine") if given is None else load_bundle(given)
    files = {
        "ortho_left": options.left,
        "ortho_right": options.right,
        "triangulation_error": options.triangulation_error,
        "ndvi": options.ndvi,
    }
    raw = raw_settings(
        left_rpc=options.left_rpc, right_rpc=options.right_rpc, **options.subset(RawOptions)
    )
    scene = _scene_of(dsm, "dsm", files, options.nodata, raw)
    return _run(scene, bundle, "refine", output, options)


@takes(GenerateOptions, Surface, dataset_of_prediction)
def generate(
    image: RasterLike | Scene, output: PathLike | None = None, *, options: GenerateOptions
) -> Surface | xarray.Dataset:
    """Predict an elevation surface from one image.

    Parameters
    ----------
    image
        A raster whose bands are recognised by description or colour, a scene folder, or an opened
        scene; a DataArray with several bands, or a Dataset whose variables are layers.
    output
        GeoTIFF to write, on the image's own grid if that is north-up in metres; none if left out.

    Returns
    -------
    The written surface, or a Dataset of xarray without an output, as of ``refine``. Heights over a
    prior are in metres. Without one the default bundle is ``generate-relative``, and the
    heights are tagged ``units: relative``, unless points make them absolute.

    Raises
    ------
    UsageError, ResourceError, DataError
        For options, files and data that cannot be used.
    """
    prior = None if options.prior is None else as_path(options.prior, PRIOR)
    if isinstance(image, Scene) or _is_scene(image):
        _require_unset(bands=options.bands, gsd=options.gsd)
        scene = _scene_of(image, "", {PRIOR: prior}, options.nodata)
        bundle = _bundle_for(options.bundle, PRIOR in scene.layers)
    else:
        bundle = _bundle_for(options.bundle, prior is not None)
        image = as_path(image, "image")
        path = str(image)
        files, used = _image_layers(path, options.bands, bundle)
        local, notes = _pixel_size(split_band(path)[0], bundle, options.gsd, prior)
        if prior is not None:
            files[PRIOR] = prior
        scene = scene_from_files(
            files, name=Path(path).stem.strip("<>"), local=local, nodata=options.nodata
        )
        scene = replace(scene, notes=(*scene.notes, *notes, used))
    scene = under_sun(scene, options.sun, bundle)
    return _run(scene, bundle, "generate", output, options)


@takes(ImagineOptions, Surface, dataset_of_prediction)
def imagine(
    heights: RasterLike | Scene, output: PathLike | None = None, *, options: ImagineOptions
) -> Surface | xarray.Dataset:
    """Predict an image from bare-earth heights: the inverse of generate.

    Parameters
    ----------
    heights
        A DTM raster in metres, a scene folder with a layer ``dtm``, or an opened scene; a
        DataArray or Dataset.
    output
        GeoTIFF to write: one band for each target of the bundle, in digital numbers of its
        training images; none if left out.

    Returns
    -------
    The written image, or a Dataset of xarray without an output. It shows a plausible appearance of
    such terrain, not the real one.

    Raises
    ------
    UsageError, ResourceError, DataError
        For options, files and data that cannot be used.
    """
    scene = _scene_of(heights, "dtm", {})
    bundle = load_bundle(options.bundle)
    return _run(scene, bundle, "imagine", output, options)


def _run(
    scene: Scene, bundle: Bundle, task: Task, output: PathLike | None, options: Options
) -> Surface | xarray.Dataset:
    """Predict into a file, or into a Dataset if there is none."""
    if output is not None:
        surface = run(plan(scene, bundle, task, Path(output), options.engine()))
        assert isinstance(surface, Surface)
        return surface
    require_rioxarray()
    writer = MemoryWriter()
    job = plan(scene, bundle, task, writer, options.engine())
    prediction = run(job)
    return dataset_of_prediction(prediction, [band.about for band in job.bands], writer.array)


def _bundle_for(given: PathLike | Bundle | None, over_prior: bool) -> Bundle:
    """Return the given bundle, or the shipped one for images over a prior or alone."""
    if given is not None:
        return load_bundle(given)
    return default_bundle("generate" if over_prior else "generate-relative")


def _image_layers(
    path: str, bands: Mapping[str, int] | None, bundle: Bundle
) -> tuple[dict[str, PathLike], str]:
    """Return the bands of an image that a bundle takes, by layer, and a note on them."""
    names = bundle.contract.names
    cure = "name its bands with --bands red=1,green=2,blue=3"
    if bands:
        path, only = split_band(path)
        if only is not None:
            raise UsageError(
                f"{path}:{only}: names a band, as --bands does", "leave out one of the two"
            )
        with open_raster(path) as dataset:
            named = {layer(name).name: band for name, band in bands.items()}
            available = Bands(path, named, tuple(range(1, dataset.count + 1)))
    else:
        available = bands_of(path, cure)
    used = {
        name: band
        for name, band in available.layers.items()
        if name in names and layer(name).kind is Kind.IMAGE
    }
    if not used:
        raise UsageError(
            f"{path}: has none of the layers that bundle '{bundle.card.name}' takes "
            f"({', '.join(names)})",
            cure,
        )
    return {n: f"{available.path}:{b}" for n, b in used.items()}, available.using(used)


def _pixel_size(
    path: str, bundle: Bundle, gsd: float | None, prior: PathLike | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return the pixel size of an image without georeference, and a note on it.

    None, without a note, if the image is georeferenced.
    """
    with open_raster(path) as dataset:
        if dataset.crs is not None:
            if gsd is not None:
                raise UsageError(
                    f"{path}: is georeferenced, so its pixel size is known", "leave out --gsd"
                )
            return None, ()
        if has_gcps_or_rpcs(dataset) and (prior is not None or gsd is None):
            raise_no_crs(path, dataset)
        if prior is not None:
            raise UsageError(
                f"{path}: has no CRS, so the prior cannot be aligned with it",
                "georeference it in QGIS, or leave out --prior",
            )
        world_file = pixel_size_without_crs(path, dataset) if gsd is None else None
        unused = "; its ground control points or camera model are not used"
        placed = unused if has_gcps_or_rpcs(dataset) else ""
    sizes = bundle.card.pixel_sizes
    size = gsd or world_file or (sizes.low * sizes.high) ** 0.5
    assumed = "" if gsd else ", the bundle's pixel size; set another with --gsd"
    if world_file:
        assumed = ", if its world file is in metres; otherwise set the size with --gsd"
    return size, (
        f"{path} has no {'CRS' if world_file else 'georeference'}: the result has a local frame "
        f"with pixels of {size:g} m{assumed}{placed}",
    )


def _require_unset(**options: object) -> None:
    """Refuse options that describe a plain image if the input is a scene."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(
                f"--{name} has no effect on a scene, whose bands and pixel size are known",
                f"leave out --{name}, or give a plain image",
            )


def _is_scene(place: RasterLike) -> bool:
    if isinstance(place, Labelled):
        return hasattr(place, "data_vars")
    path = Path(place)
    if any(path.glob("MTD_MSIL*.xml")) or is_raster_folder(path):
        return False
    return path.is_dir() or path.suffix.lower() in (".yaml", ".yml")


def _scene_of(
    place: RasterLike | Scene,
    role: str,
    optional: Mapping[str, RasterLike | None],
    nodata: NoData | None = None,
    raw: RawSettings | None = None,
) -> Scene:
    """Open a scene, or one raster as the layer ``role`` together with further files."""
    files = {name: file for name, file in optional.items() if file is not None}
    if role == "dsm" and not isinstance(place, Scene | Labelled) and is_foreign_folder(place):
        return _recognised(place, files, nodata, raw)
    if not isinstance(place, Scene) and not _is_scene(place):
        name = "" if isinstance(place, Labelled) else Path(place).stem
        return scene_from_files({role: place, **files}, name=name, nodata=nodata, raw=raw)
    if raw is not None and raw.given:
        raise UsageError(
            f"{raw.given[0]} cannot be used with a scene",
            "prepare the scene with it, or give plain files",
        )
    if files:
        given = ", ".join(OPTION_OF[name] for name in files)
        raise UsageError(
            f"{given} cannot be added to a scene",
            "prepare the scene with the file, or give plain files",
        )
    if isinstance(place, Labelled):
        return scene_from_xarray(place, nodata=nodata)
    if not isinstance(place, Scene):
        return open_scene(place, nodata=nodata)
    if nodata:
        raise UsageError("the scene is already open", "pass nodata to open_scene")
    return place


def _recognised(
    folder: PathLike,
    rasters: Mapping[str, RasterLike],
    nodata: NoData | None,
    raw: RawSettings | None,
) -> Scene:
    """Open the output folder of another tool as a scene."""
    files = {name: as_path(raster, name) for name, raster in rasters.items()}
    with ExitStack() as stack:
        try:
            found = stack.enter_context(recognise(folder, files=files))
        except (UsageError, DataError) as error:
            cure = f"name the DSM, or run demiurge prepare {folder} dsm=FILE -o SCENE"
            raise type(error)(error.what, cure) from None
        if found.converted:
            raise UsageError(
                f"{folder}: files of {found.tool} need a conversion before they are refined",
                f"run demiurge prepare {folder} -o SCENE, then demiurge refine SCENE",
            )
        name = Path(folder).resolve().name
        scene = scene_from_files(found.files, name=name, nodata=nodata, raw=raw)
    return replace(scene, notes=(*found.notes, *scene.notes))
