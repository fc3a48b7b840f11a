"""Warp an array from one grid to another, no data left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.scene.grid import Window, window_grid, wkt

Array = npt.NDArray[np.float32]

#: How far, in pixels, GDAL's approximate transformer may be off. Its own 0.125 costs metres
#: of height on steep ground; this costs under a centimetre and no time.
WARP_TOLERANCE = 0.001


def halves(grid: GeoBox) -> tuple[GeoBox, GeoBox]:
    """Cut a grid in two along its longer axis."""
    rows, columns = int(grid.shape[0]), int(grid.shape[1])
    if columns > rows:
        first, second = (
            Window(0, 0, rows, columns // 2),
            Window(0, columns // 2, rows, columns - columns // 2),
        )
    else:
        first, second = (
            Window(0, 0, rows // 2, columns),
            Window(rows // 2, 0, rows - rows // 2, columns),
        )
    return window_grid(grid, first), window_grid(grid, second)


def warp(data: Array, source: GeoBox, target: GeoBox, resampling: str, scale: float) -> Array:
    """Warp an array from one grid to another.

    Parameters
    ----------
    data
        float32 on the source grid, NaN for no data, which takes no part.
    resampling
        GDAL's name of it.
    scale
        Target pixels for one source pixel. Left alone, GDAL takes it from each piece that it
        warps, so that results would depend on how the raster is cut.
    """
    from rasterio.enums import Resampling
    from rasterio.io import MemoryFile
    from rasterio.vrt import WarpedVRT

    profile = {
        "driver": "GTiff",
        "height": source.shape[0],
        "width": source.shape[1],
        "count": 1,
        "dtype": "float32",
        "crs": wkt(source),
        "transform": source.affine,
    }
    options = {
        "crs": wkt(target),
        "transform": target.affine,
        "height": target.shape[0],
        "width": target.shape[1],
        "resampling": Resampling[resampling],
        "dtype": "float32",
        "num_threads": 1,
        "tolerance": WARP_TOLERANCE,
        "src_nodata": np.nan,
        "nodata": np.nan,
        "XSCALE": scale,
        "YSCALE": scale,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as writer:
            writer.write(data, 1)
        with memory.open() as copy, WarpedVRT(copy, **options) as view:
            return np.asarray(view.read(1), np.float32)
