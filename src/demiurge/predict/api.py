"""The two verbs, refine and generate: from files or a scene to a surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from demiurge.errors import UsageError
from demiurge.layers import PRIOR, Kind, layer
from demiurge.model.bundle import Bundle, default_bundle, load_bundle
from demiurge.paths import PathLike, is_raster_folder, split_band
from demiurge.predict.options import OPTION_OF, Options
from demiurge.predict.pipeline import apply_bundle
from demiurge.predict.surface import Surface
from demiurge.scene.bands import Bands, bands_of
from demiurge.scene.files import open_raster
from demiurge.scene.georeference import has_gcps_or_rpcs, pixel_size_without_crs, raise_no_crs
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.scene import Scene
from demiurge.scene.undeclared import NoData


def refine(
    dsm: PathLike | Scene,
    output: PathLike,
    *,
    left: PathLike | None = None,
    right: PathLike | None = None,
    triangulation_error: PathLike | None = None,
    ndvi: PathLike | None = None,
    nodata: NoData | None = None,
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
    nodata
        By layer, the stored values that are no data besides those that files declare; none at
        all for an empty list. Layers that are left out are searched for such values.
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
    scene = _scene_of(dsm, "dsm", files, nodata)
    return apply_bundle(scene, chosen, "refine", output, options or Options())


def generate(
    image: PathLike | Scene,
    output: PathLike,
    *,
    prior: PathLike | None = None,
    bands: Mapping[str, int] | None = None,
    gsd: float | None = None,
    nodata: NoData | None = None,
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
    nodata
        By layer, the stored values that are no data besides those that files declare; none at
        all for an empty list. Layers that are left out are searched for such values.
    bundle
        A bundle, its file or the name of a shipped one; the shipped ``generate`` if None.

    Returns
    -------
    The written surface. Its heights are in metres; those of a bundle that learned relative
    heights are tagged ``units: relative``.
    """
    chosen = load_bundle(bundle) if bundle is not None else default_bundle("generate")
    if isinstance(image, Scene) or _is_scene(image):
        _require_unset(bands=bands, gsd=gsd)
        scene = _scene_of(image, "", {} if prior is None else {PRIOR: prior}, nodata)
    else:
        path = str(image)
        files, used = _image_layers(path, bands, chosen)
        local, notes = _frame(split_band(path)[0], chosen, gsd, prior)
        if prior is not None:
            files[PRIOR] = prior
        scene = scene_from_files(files, name=Path(path).stem, local=local, nodata=nodata)
        scene = replace(scene, notes=(*scene.notes, *notes, used))
    return apply_bundle(scene, chosen, "generate", output, options or Options())


def imagine(
    heights: PathLike | Scene,
    output: PathLike,
    *,
    bundle: PathLike | Bundle,
    options: Options | None = None,
) -> Surface:
    """Paint the image that a bundle makes of bare-earth heights: the inverse of generate.

    Parameters
    ----------
    heights
        A DTM raster in metres, a scene folder with a layer ``dtm``, or a scene.
    output
        GeoTIFF to write: one band for each that the bundle has learned, in its training images'
        digital numbers.
    bundle
        A bundle trained by a recipe of task ``imagine``, or its file.

    Returns
    -------
    The written image. It shows what such land could look like, not what it does.
    """
    scene = _scene_of(heights, "dtm", {})
    return apply_bundle(scene, load_bundle(bundle), "imagine", output, options or Options())


def _image_layers(
    path: str, bands: Mapping[str, int] | None, bundle: Bundle
) -> tuple[dict[str, PathLike], str]:
    """Return the layers of an image that a bundle sees, and a sentence on the bands."""
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
            found = Bands(path, named, tuple(range(1, dataset.count + 1)))
    else:
        found = bands_of(path, cure)
    seen = {n: b for n, b in found.layers.items() if n in names and layer(n).kind is Kind.IMAGE}
    if not seen:
        raise UsageError(
            f"{path}: has none of the layers that bundle '{bundle.card.name}' sees "
            f"({', '.join(names)})",
            cure,
        )
    return {n: f"{found.path}:{b}" for n, b in seen.items()}, found.using(seen)


def _frame(
    path: str, bundle: Bundle, gsd: float | None, prior: PathLike | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return the pixel size of an image without georeference, and what to say of it."""
    if gsd is not None and not 0 < gsd < float("inf"):
        raise UsageError(f"--gsd is {gsd:g}", "choose a number of metres above 0")
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
                f"{path}: has no CRS, so the prior cannot be laid under it",
                "georeference it in QGIS, or leave out --prior",
            )
        own = pixel_size_without_crs(path, dataset) if gsd is None else None
        unused = "; its ground control points or camera model are not used"
        placed = unused if has_gcps_or_rpcs(dataset) else ""
    sizes = bundle.card.pixel_sizes
    size = gsd or own or (sizes.low * sizes.high) ** 0.5
    guessed = "" if gsd else ", as the bundle's are; tell theirs with --gsd"
    if own:
        guessed = ", if its world file is in metres; if not, tell their size with --gsd"
    return size, (
        f"{path} has no {'CRS' if own else 'georeference'}: the result lies in a frame of its own, "
        f"with pixels of {size:g} m{guessed}{placed}",
    )


def _require_unset(**given: object) -> None:
    """Refuse what describes a plain image where a scene is given."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--{name} has no effect on a scene, which knows its bands and its pixel size",
                f"leave out --{name}, or give a plain image",
            )


def _is_scene(place: PathLike) -> bool:
    path = Path(place)
    if any(path.glob("MTD_MSIL*.xml")) or is_raster_folder(path):
        return False
    return path.is_dir() or path.suffix.lower() in (".yaml", ".yml")


def _scene_of(
    place: PathLike | Scene,
    role: str,
    files: Mapping[str, PathLike],
    nodata: NoData | None = None,
) -> Scene:
    if not isinstance(place, Scene) and not _is_scene(place):
        return scene_from_files({role: place, **files}, name=Path(place).stem, nodata=nodata)
    if files:
        given = ", ".join(OPTION_OF[name] for name in files)
        raise UsageError(
            f"{given} cannot be added to a scene", "prepare the scene with it, or give plain files"
        )
    if not isinstance(place, Scene):
        return open_scene(place, nodata=nodata)
    if nodata:
        raise UsageError("the scene is already open", "give its no data to open_scene")
    return place
