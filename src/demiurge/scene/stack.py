"""One uncompressed GeoTIFF that holds all layers of a scene and can be memory-mapped."""

from __future__ import annotations

import mmap
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, ResourceError
from demiurge.layers import layer
from demiurge.outputs import check_written
from demiurge.scene.grid import wkt
from demiurge.scene.paths import open_raster

STACK_NAME = "stack.tif"
Stack = np.memmap[Any, np.dtype[np.float32]]


def create_stack(path: Path, grid: GeoBox, names: list[str]) -> None:
    """Make a stack full of no data: float32, bands one after the other, rows without gaps.

    Raises
    ------
    ResourceError
        If there is no room or no right to write.
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
            # Nothing is written here: on closing, GDAL fills the strips with no data, in order.
    except (RasterioError, OSError) as error:
        raise ResourceError(
            f"{path}: cannot be written ({error})", "free or choose a disk"
        ) from None
    check_written(path, 4 * len(names) * grid.shape[0] * grid.shape[1])


def map_stack(path: Path, *, writable: bool = False, opened: Any = None) -> Stack | None:
    """Map a raster into memory if its layout allows it.

    Parameters
    ----------
    opened
        The file's dataset, if it is open already; it stays open.

    Returns
    -------
    float32 (bands, rows, columns) backed by the file, or None for any other layout.

    Raises
    ------
    DataError
        If the file is shorter than its header promises.
    """
    with open_raster(path) if opened is None else nullcontext(opened) as dataset:
        offset = _plain_offset(dataset)
        shape = (dataset.count, *dataset.shape)
    if offset is None:
        return None
    if path.stat().st_size < offset + 4 * int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path}: is cut short", "prepare the scene again")
    return np.memmap(path, np.float32, "r+" if writable else "r", offset, shape)


def release(stack: Stack | None) -> None:
    """Take the pages of a mapped stack out of this process; what was written stays in the file.

    They stay in the system's cache; a process that walks over a large scene stays small.
    """
    mapped = getattr(stack, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _plain_offset(dataset: Any) -> int | None:
    """Return where the pixels of a GeoTIFF begin if they are one run of native float32."""
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
    # Bytes in the other order would be read as nonsense.
    with Path(dataset.name).open("rb") as file:
        order = {b"II": "little", b"MM": "big"}.get(file.read(2))
    return first if first > 0 and order == sys.byteorder else None
