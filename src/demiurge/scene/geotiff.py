"""GeoTIFF files that hold the layers of scenes: memory-mapped stacks and plain float32 files."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, ResourceError
from demiurge.layers import layer
from demiurge.outputs import check_written
from demiurge.scene.files import open_raster
from demiurge.scene.grid import wkt

STACK_NAME = "stack.tif"
#: A memory-mapped file, float32 (bands, rows, columns).
Stack = np.memmap[Any, np.dtype[np.float32]]


def create_stack(path: Path, grid: GeoBox, names: list[str]) -> None:
    """Create an uncompressed float32 GeoTIFF full of NaN, band-sequential and without gaps.

    Parameters
    ----------
    names
        Layers in band order.

    Raises
    ------
    ResourceError
        If the disk is full or the file cannot be written.
    """
    import rasterio
    from rasterio.errors import RasterioError

    options = {"interleave": "band", "bigtiff": "IF_SAFER", "blockysize": 1}
    try:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype="float32",
            count=len(names),
            height=grid.shape[0],
            width=grid.shape[1],
            crs=wkt(grid),
            transform=grid.affine,
            nodata=np.nan,
            **options,
        ) as dataset:
            for band, name in enumerate(names, start=1):
                dataset.set_band_description(band, name)
                unit = layer(name).unit
                dataset.set_band_unit(band, unit if unit not in ("1", "DN") else "")
            # GDAL fills unwritten strips with no data, in order, when it closes the file.
    except (RasterioError, OSError) as error:
        raise ResourceError(
            f"{path}: cannot be written ({error})", "free some space or choose another disk"
        ) from None
    check_written(path, 4 * len(names) * grid.shape[0] * grid.shape[1])


def map_stack(path: Path, *, writable: bool = False, opened: Any = None) -> Stack | None:
    """Map a raster into memory if its layout allows it.

    Parameters
    ----------
    opened
        The open dataset of the file, if there is one; it stays open.

    Returns
    -------
    float32 (bands, rows, columns) backed by the file, or None for any other layout.

    Raises
    ------
    DataError
        If the file is shorter than its header says.
    """
    with open_raster(path) if opened is None else nullcontext(opened) as dataset:
        offset = _pixel_offset(dataset)
        shape = (dataset.count, *dataset.shape)
    if offset is None:
        return None
    if path.stat().st_size < offset + 4 * int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path}: the file is truncated", "prepare the scene again")
    return np.memmap(path, np.float32, "r+" if writable else "r", offset, shape)


def release(stack: Stack | None) -> None:
    """Drop the pages of a mapped stack from this process; written pixels stay in the file.

    The pages stay in the page cache of the system. A process that reads a large scene keeps a
    small resident size.
    """
    mapped = getattr(stack, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _pixel_offset(dataset: Any) -> int | None:
    """Return the byte offset of the pixels if they are one contiguous run of native float32."""
    plain = (
        dataset.driver == "GTiff"
        and dataset.compression is None
        and set(dataset.dtypes) == {"float32"}
        and dataset.nodata is not None
        and np.isnan(dataset.nodata)
        and set(zip(dataset.scales, dataset.offsets, strict=True)) == {(1.0, 0.0)}
        and (dataset.count == 1 or dataset.interleaving.name == "band")
        and not dataset.profile.get("tiled", False)
    )
    if not plain:
        return None
    rows_per_strip = dataset.block_shapes[0][0]
    last = -(-dataset.height // rows_per_strip) - 1

    def offset(band: int, strip: int) -> int:
        value = dataset.get_tag_item(f"BLOCK_OFFSET_0_{strip}", "TIFF", bidx=band)
        return int(value) if value else -1

    first = offset(1, 0)
    row_bytes = 4 * dataset.width
    for band in range(1, dataset.count + 1):
        start = first + (band - 1) * dataset.height * row_bytes
        if offset(band, 0) != start:
            return None
        for strip in {*range(0, last, max(1, last // 64)), last}:
            if offset(band, strip) != start + strip * rows_per_strip * row_bytes:
                return None
    with Path(dataset.name).open("rb") as file:
        order = {b"II": "little", b"MM": "big"}.get(file.read(2))
    return first if first > 0 and order == sys.byteorder else None


def write_planes(
    path: Path,
    planes: Array | Sequence[Array],
    crs: Any,
    transform: Any,
    *,
    nodata: float = float("nan"),
) -> None:
    """Write a float32 GeoTIFF.

    Parameters
    ----------
    planes
        float32 (bands, rows, columns), or one array per band; NaN for no data.
    crs, transform
        As rasterio takes them.
    nodata
        The declared no-data value, which replaces NaN in the file.

    Raises
    ------
    ResourceError
        If the disk is full.
    """
    import rasterio

    height, width = planes[0].shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=len(planes),
        height=height,
        width=width,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as file:
        for band, plane in enumerate(planes, start=1):
            stored = plane if np.isnan(nodata) else np.nan_to_num(plane, nan=nodata)
            file.write(stored, band)
    check_written(path, 4 * len(planes) * height * width)
