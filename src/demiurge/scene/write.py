"""Plain GeoTIFFs: what a prepared scene or a demonstration is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def write_planes(
    path: Path, planes: Array, crs: Any, transform: Any, *, nodata: float = float("nan")
) -> None:
    """Write a float32 GeoTIFF.

    Parameters
    ----------
    planes
        float32 (bands, rows, columns), NaN for no data.
    crs, transform
        As rasterio takes them.
    nodata
        What NaN becomes in the file, and what the file declares.
    """
    import rasterio

    count, height, width = planes.shape
    filled = planes if np.isnan(nodata) else np.where(np.isnan(planes), np.float32(nodata), planes)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=count,
        height=height,
        width=width,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(filled)
