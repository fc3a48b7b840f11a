"""Plain GeoTIFFs: what a prepared scene or a demonstration is made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.outputs import check_written


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
        float32 (bands, rows, columns), or one raster per band; NaN for no data.
    crs, transform
        As rasterio takes them.
    nodata
        What NaN becomes in the file, and what the file declares.
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
            known = plane if np.isnan(nodata) else np.nan_to_num(plane, nan=nodata)
            file.write(known, band)
    check_written(path, 4 * len(planes) * height * width)
