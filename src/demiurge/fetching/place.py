"""From an area to a scene with images and a coarse elevation model."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.fetching.area import boxes_of, scene_grid
from demiurge.fetching.cache import Cache, default_folder
from demiurge.fetching.catalogues import (
    IMAGERY,
    PRODUCTS,
    Product,
    Service,
    collections_of,
    service_of,
)
from demiurge.fetching.composite import dask_arrays, write_images, write_mosaic
from demiurge.fetching.download import MARGIN, Access, window_of
from demiurge.fetching.http import Client, Limits
from demiurge.fetching.images import Images, images_of
from demiurge.fetching.options import FetchOptions
from demiurge.fetching.search import SceneItem, search
from demiurge.layers import PRIOR, Kind, layer
from demiurge.outputs import check_output, require_replaceable
from demiurge.progress import progress
from demiurge.scene.camera import Direction
from demiurge.scene.crs import true_north
from demiurge.scene.derived import ndvi
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import bounds_in, centre
from demiurge.scene.georeference import grid_of
from demiurge.scene.grid import cropped_grid, epsg_of, wkt
from demiurge.scene.prepare import SCENE_FILES, Origin, prepare
from demiurge.scene.scene import Scene
from demiurge.scene.spec import SPEC_NAME
from demiurge.threads import map_ordered

#: WGS 84 with heights above the geoid EGM2008: the reference of Copernicus DEM.
_EGM2008 = CRS("EPSG:9518")
_HEIGHTS = (PRIOR, "truth_dsm")
_WHEN = re.compile(r"\d{4}-\d{2}(-\d{2})?(/\d{4}-\d{2}(-\d{2})?)?")
#: Share of the area below which the known pixels of the images are noted.
_KNOWN = 0.99


@dataclass
class Request:
    """What to fetch, checked.

    Attributes
    ----------
    images
        Product of images, if any.
    index
        Product that only gives the NDVI, if any.
    heights
        Layer that the heights are written as, if any.
    """

    options: FetchOptions
    images: Product | None
    index: Product | None
    heights: str | None
    layers: list[str]
    when: str
    cache: Cache
    limits: Limits = field(default_factory=lambda: Limits())  # noqa: PLW0108  # tests replace it

    def access(self, product: Product) -> tuple[Service, Access]:
        """Return the service of a product, and how its files are read."""
        service = service_of(self.options.stac or product.service)
        client = Client(self.limits, service.sign, service.headers())
        return service, Access(client, self.cache)


def request_of(options: FetchOptions) -> Request:
    """Check the options.

    Raises
    ------
    UsageError
        For unknown products and layers, and combinations that contradict each other.
    """
    names = [name.strip() for name in options.what.split(",") if name.strip()]
    known = (*IMAGERY, *_HEIGHTS)
    for name in names:
        if name not in known:
            raise UsageError(f"--what {name}: is no product", f"choose {', '.join(known)}")
    images = [PRODUCTS[name] for name in IMAGERY if name in names]
    heights = [name for name in _HEIGHTS if name in names]
    index = images.pop() if len(images) == 2 and images[1].name == "hls" else None
    if not names or len(images) > 1 or len(heights) > 1:
        raise UsageError(
            f"--what {options.what}: layers would come from several products",
            "choose one of sentinel2, landsat and hls (hls may add the NDVI), and dem_prior or "
            "truth_dsm",
        )
    layers = _layers(options, images[0]) if images else []
    folder = default_folder() if options.cache is None else Path(options.cache)
    return Request(
        options,
        images[0] if images else None,
        index,
        heights[0] if heights else None,
        layers,
        _when(options.when),
        Cache(folder, options.cache_limit * 1e9),
    )


def _layers(options: FetchOptions, product: Product) -> list[str]:
    layers = [layer(name.strip()).name for name in options.bands.split(",") if name.strip()]
    for name in layers:
        if name not in product.assets:
            raise UsageError(
                f"--bands {name}: {product.name} has no such layer",
                f"choose among {', '.join(product.assets)}",
            )
    if not layers:
        raise UsageError("--bands names no layer", f"choose among {', '.join(product.assets)}")
    return list(dict.fromkeys(layers))


def _when(text: str | None) -> str:
    if text is None:
        today = dt.datetime.now(dt.UTC).date()
        return f"{today - dt.timedelta(days=365)}/{today}"
    if not _WHEN.fullmatch(text):
        raise UsageError(f"--when {text}: is no interval", "write days or months: 2024-06/2024-09")
    first, _, last = text.partition("/")
    try:
        for part in (first, last or first):
            dt.date.fromisoformat(part if len(part) == 10 else f"{part}-01")
    except ValueError:
        raise UsageError(f"--when {text}: is no date", "write YYYY-MM or YYYY-MM-DD") from None
    if last and last < first[: len(last)]:
        raise UsageError(f"--when {text}: ends before it begins", "swap the dates")
    return text


def fetch_scene(
    request: Request,
    area: GeoBox,
    out: Path,
    *,
    name: str = "",
    use: Literal["training", "validating"] | None = None,
) -> Scene:
    """Write the scene of one area; see :func:`demiurge.fetch`."""
    options = request.options
    check_output(out, overwrite=options.overwrite, inputs=_inputs(options))
    require_replaceable(out, SPEC_NAME, SCENE_FILES)
    notes: list[str] = []
    items = {p.name: _found(request, p, area, notes) for p in _imagery(request)}
    lead = request.images or PRODUCTS[PRIOR]
    grid = scene_grid(area, options, lead.gsd, items.get(lead.name, ()))
    with tempfile.TemporaryDirectory(prefix=".demiurge-", dir=out.absolute().parent) as folder:
        files: dict[str, str] = {}
        made = [_images(request, p, items[p.name], grid, notes) for p in _imagery(request)]
        lazy = {name: plane for images in made for name, plane in images.layers.items()}
        if lazy:
            stack = Path(folder) / "images.tif"
            write_images(lazy, grid, stack, 2, quiet=options.quiet)
            files |= {name: f"{stack}:{band}" for band, name in enumerate(lazy, start=1)}
        tiles: list[SceneItem] = []
        if request.heights is not None:
            tiles = _heights(request, grid, Path(folder) / "heights.tif", notes)
            files[request.heights] = str(Path(folder) / "heights.tif")
        scene = prepare(
            files,
            out,
            gsd=float(grid.affine.a),
            crs=f"EPSG:{epsg_of(grid.crs)}" if epsg_of(grid.crs) else wkt(grid),
            extent=bounds_in(grid, grid.crs),
            equalise=False,
            name=name,
            nodata={name: [] for name in lazy},
            sun=_sun(made, grid, notes),
            overwrite=options.overwrite,
            quiet=options.quiet,
            origin=_origin(made, tiles, use),
        )
    request.cache.trim()
    return replace(scene, notes=(*notes, *scene.notes, *_known(scene)))


def _inputs(options: FetchOptions) -> list[Path]:
    return [Path(file) for file in (options.geometry, options.like) if file is not None]


def _imagery(request: Request) -> list[Product]:
    return [p for p in (request.images, request.index) if p is not None]


def _bands(request: Request, product: Product) -> list[str]:
    return ["red", "nir"] if product is request.index else request.layers


def _found(request: Request, product: Product, area: GeoBox, notes: list[str]) -> list[SceneItem]:
    """Return the items of an image product.

    Raises
    ------
    DataError
        If there are none.
    """
    service, access = request.access(product)
    items, left_out = search(
        service, product, _bands(request, product), boxes_of(area), request.when, access.client
    )
    notes += left_out
    if not items:
        why = f" ({left_out[0]})" if left_out else ""
        raise DataError(
            f"{service.name} has no usable {product.name} item of the area in {request.when}{why}",
            "give another --when, --bbox or --stac",
        )
    return items


def _images(
    request: Request, product: Product, items: list[SceneItem], grid: GeoBox, notes: list[str]
) -> Images:
    """Return the images of a product; of one that gives the NDVI, only that."""
    _, access = request.access(product)
    layers = _bands(request, product)
    images = images_of(product, items, layers, grid, request.options, access)
    notes += images.notes
    if product is request.index:
        red, nir = images.layers["red"], images.layers["nir"]
        images.layers = {"ndvi": dask_arrays().map_blocks(ndvi, red, nir, dtype="float32")}
    shares = ", ".join(f"{one.moment:%Y-%m-%d} ({share:.0%})" for one, share in images.passes)
    notes.append(f"{product.name}: passes with the share of clear pixels: {shares}")
    return images


def _heights(request: Request, grid: GeoBox, path: Path, notes: list[str]) -> list[SceneItem]:
    """Write the tiles of Copernicus DEM that cover a grid, in degrees, with their reference.

    Raises
    ------
    DataError
        If no tile covers the area.
    """
    product = PRODUCTS[PRIOR]
    service, access = request.access(product)
    items, _ = search(service, product, [PRIOR], boxes_of(grid), None, access.client)
    jobs = request.options.jobs
    urls = [item.assets[PRIOR].url for item in items]
    with progress(
        "download heights", len(urls), quiet=request.options.quiet, unit="tiles", passing=True
    ) as advance:
        files = []
        for file in map_ordered(lambda url: window_of(url, grid, access), urls, jobs):
            files.append(file)
            advance(1)
    used = [(item, file) for item, file in zip(items, files, strict=True) if file is not None]
    if not used:
        raise DataError(
            f"{service.name} has no tile of {collections_of(product, service)[0]} in the area",
            "leave out dem_prior over the sea, or give another --stac",
        )
    with open_raster(used[0][1]) as dataset:
        first = grid_of(str(used[0][1]), dataset)
    left, bottom, right, top = bounds_in(grid, first.crs, centre(first)[0])
    x, y = MARGIN * abs(first.affine.a) / 2, MARGIN * abs(first.affine.e) / 2
    native = cropped_grid(first, (left - x, bottom - y, right + x, top + y))
    write_mosaic([file for _, file in used], native, _EGM2008, path, request.heights or PRIOR)
    if request.heights == "truth_dsm":
        notes.append("truth_dsm is Copernicus DEM GLO-30, a surface of 30 m pixels, not lidar")
    return [item for item, _ in used]


def _sun(made: Sequence[Images], grid: GeoBox, notes: list[str]) -> Direction | None:
    """Return the direction to the sun of the images, from grid north."""
    if not made:
        return None
    sun = made[0].sun
    if sun is None:
        several = len(made[0].passes) > 1
        reason = "the passes have different suns" if several else "the item states none"
        notes.append(f"no direction to the sun is recorded: {reason}")
        return None
    return sun.turned(true_north(*centre(grid), grid.crs))


def _origin(
    made: Sequence[Images],
    tiles: Sequence[SceneItem],
    use: Literal["training", "validating"] | None,
) -> Origin:
    used = [item for images in made for one, _ in images.passes for item in one.items]
    credits = []
    for name in dict.fromkeys(item.product for item in (*used, *tiles)):
        days = {item.moment.year for item in used if item.product == name}
        years = "-".join(map(str, sorted({min(days), max(days)}))) if days else ""
        credits.append(PRODUCTS[name].credit.format(years=years))
    dates = [one.moment.date() for images in made[:1] for one, _ in images.passes]
    return Origin(dates, [item.name for item in (*used, *tiles)], credits, use)


def _known(scene: Scene) -> list[str]:
    """Return a note on layers with missing pixels."""
    notes = []
    for name in scene.sources:
        share = 1 - scene.statistics(name)["voids"]
        if share < _KNOWN and layer(name).kind in (Kind.IMAGE, Kind.HEIGHT, Kind.INDEX):
            notes.append(f"{name}: {share:.1%} of the pixels are known")
    return notes
