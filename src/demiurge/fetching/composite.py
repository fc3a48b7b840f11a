"""Images of passes on one grid: masked, calibrated, and their median, lazily with Dask."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import missing_extra
from demiurge.fetching.catalogues import MaskRule
from demiurge.fetching.masks import clear, covered, fill_of, median
from demiurge.fetching.search import SceneItem
from demiurge.progress import progress
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import bounds_in
from demiurge.scene.georeference import grid_of
from demiurge.scene.geotiff import create_stack, map_stack, release
from demiurge.scene.grid import blocks, epsg_of, wkt

#: Side in pixels of the pieces that Dask computes.
_CHUNK = 1024
#: Pixels at a time along each axis from which shares are estimated.
_SHARE_SIDE = 512
_EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v1.1.0", "raster/v1.1.0")
]


@dataclass(frozen=True)
class LocalItem:
    """An item whose windows are on this machine.

    Attributes
    ----------
    files
        Window by layer, and that of the mask by ``"mask"``.
    """

    item: SceneItem
    files: Mapping[str, Path]


def clear_pixels(
    items: Sequence[LocalItem], rule: MaskRule, grid: GeoBox, *, snow: bool
) -> tuple[float, float]:
    """Return the shares of a grid that a pass sees clearly, and that it covers.

    Parameters
    ----------
    items
        The items of the pass, with their masks.
    """
    step = max(1, max(grid.shape) // _SHARE_SIDE)
    coarse = grid.zoom_out(step) if step > 1 else grid
    seen = np.zeros(coarse.shape, np.bool_)
    reached = np.zeros(coarse.shape, np.bool_)
    for item in items:
        flags = _load(item, ["mask"], coarse, lazy=False)["mask"]
        seen |= clear(flags, rule, snow=snow)
        reached |= covered(flags, rule)
    return float(seen.mean()), float(reached.mean())


def reflectance(
    local: LocalItem, layer: str, rule: MaskRule, grid: GeoBox, *, snow: bool, lazy: bool = True
) -> Any:
    """Return one layer of an item on a grid: reflectance, NaN where not clear.

    Parameters
    ----------
    lazy
        Return a Dask array; else a NumPy array.

    Returns
    -------
    float32 (rows, columns).
    """
    asset = local.item.assets[layer]
    assert asset.calibration is not None
    scale, offset, nodata = asset.calibration
    planes = _load(local, [layer, "mask"], grid, lazy=lazy, nodata=nodata)

    def calibrate(stored: Any, flags: Any) -> Array:
        known = clear(flags, rule, snow=snow) & np.isfinite(stored) & (stored != nodata)
        values = stored * np.float32(scale) + np.float32(offset)
        return np.where(known, values, np.nan).astype(np.float32)

    if not lazy:
        return calibrate(planes[layer], planes["mask"])
    return dask_arrays().map_blocks(calibrate, planes[layer], planes["mask"], dtype=np.float32)


def combined(
    passes: Sequence[Sequence[LocalItem]], layer: str, rule: MaskRule, grid: GeoBox, *, snow: bool
) -> Any:
    """Return the median of passes as a lazy float32 (rows, columns), NaN where never clear.

    Within a pass, the first item that sees a pixel clearly counts.
    """
    da = dask_arrays()
    planes = []
    for items in passes:
        first, *others = [reflectance(i, layer, rule, grid, snow=snow) for i in items]
        for other in others:
            first = da.where(da.isnan(first), other, first)
        planes.append(first)
    if len(planes) == 1:
        return planes[0]
    stack = da.stack(planes, axis=-1).rechunk({2: -1})
    return da.map_blocks(median, stack, dtype=np.float32, drop_axis=2)


def dask_arrays() -> Any:
    """Return the module ``dask.array``.

    Raises
    ------
    ResourceError
        If Dask is not installed.
    """
    try:
        import dask.array
    except ImportError:
        raise missing_extra("dask", "fetch", "the median of several dates") from None
    return dask.array


def write_images(
    images: Mapping[str, Any], grid: GeoBox, path: Path, jobs: int, *, quiet: bool
) -> None:
    """Compute lazy layers block by block into a GeoTIFF whose bands have the layers' names."""
    from rasterio.errors import NotGeoreferencedWarning

    da, names = dask_arrays(), list(images)
    create_stack(path, grid, names)
    stack = map_stack(path, writable=True)
    assert stack is not None
    total = grid.shape[0] * grid.shape[1] / 1e6
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    with (
        progress("composite", total, quiet=quiet, unit="Mpx") as advance,
        warnings.catch_warnings(),
    ):
        # rasterio ignores it while it warps, but not reliably in several threads.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for window in blocks(shape, _CHUNK):
            rows, columns = window.slices
            planes = da.stack([images[name][rows, columns] for name in names])
            parts = planes.compute(scheduler="threads", num_workers=jobs)
            for band, part in enumerate(parts):
                stack[band, rows, columns] = part
            release(stack)
            advance(window.height * window.width / 1e6)
    stack.flush()


def write_mosaic(files: Sequence[Path], grid: GeoBox, crs: CRS, path: Path, layer: str) -> None:
    """Write the first known height of several tiles on a grid in degrees.

    Parameters
    ----------
    crs
        CRS of the grid with the vertical reference.
    """
    nan = float("nan")
    items = [_stac_item(f"tile {i}", {layer: (f, nan)}, grid) for i, f in enumerate(files)]
    create_stack(path, GeoBox(grid.shape, grid.affine, crs), [layer])
    stack = map_stack(path, writable=True)
    assert stack is not None
    for item in items:
        tile = _read(item, [layer], grid, "bilinear")[layer]
        plane = np.asarray(tile, np.float32)
        stack[0] = np.where(np.isfinite(stack[0]), stack[0], plane)
    stack.flush()


def _load(
    local: LocalItem, names: list[str], grid: GeoBox, *, lazy: bool, nodata: float = 0.0
) -> dict[str, Any]:
    """Return bands of an item on a grid, images bilinear and masks nearest."""
    values = {name: fill_of(local.item.product) if name == "mask" else nodata for name in names}
    item = _stac_item(local.item.name, {n: (local.files[n], values[n]) for n in names}, grid)
    resampling = {name: "nearest" if name == "mask" else "bilinear" for name in names}
    return _read(item, names, grid, resampling, lazy=lazy)


def _read(
    item: Any, names: list[str], grid: GeoBox, resampling: Any, *, lazy: bool = False
) -> dict[str, Any]:
    try:
        import odc.stac
    except ImportError:
        raise missing_extra("odc-stac", "fetch", "reading items") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # odc-geo calls old names of Shapely
        loaded = odc.stac.load(
            [item],
            bands=names,
            geobox=grid,
            groupby="id",
            resampling=resampling,
            chunks={"x": _CHUNK, "y": _CHUNK} if lazy else None,
        )
    return {name: loaded[name].data[0] for name in names}


def _stac_item(name: str, files: Mapping[str, tuple[Path, float]], target: GeoBox) -> Any:
    """Return a STAC item of local windows, with projection, type and no data of each."""
    import pystac

    left, bottom, right, top = bounds_in(target, CRS("EPSG:4326"))
    corners = [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]]
    # The windows contain the target; odc-stac leaves out items whose outlines do not.
    outline = {"type": "Polygon", "coordinates": [corners]}
    time = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    item = pystac.Item(name, outline, [left, bottom, right, top], time, {})
    item.stac_extensions += _EXTENSIONS
    for key, (file, nodata) in files.items():
        with open_raster(file) as dataset:
            grid, kind = grid_of(str(file), dataset), dataset.dtypes[0]
        code = epsg_of(grid.crs)
        fields = {
            **({"proj:epsg": code} if code else {"proj:epsg": None, "proj:wkt2": wkt(grid)}),
            "proj:shape": [int(n) for n in grid.shape],
            "proj:transform": list(grid.affine)[:6],
            "raster:bands": [{"data_type": kind, "nodata": nodata}],
        }
        kind = pystac.MediaType.GEOTIFF
        item.add_asset(key, pystac.Asset(str(file), media_type=kind, roles=["data"],
                                         extra_fields=fields))  # fmt: skip
    return item
