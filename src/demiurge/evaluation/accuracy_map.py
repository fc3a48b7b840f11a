"""Maps of the linear error that a surface's recalibrated uncertainty predicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.outputs import atomic_file
from demiurge.scene.grid import Window
from demiurge.scene.source import Source

#: Pixels a side of the blocks that are read and written at once; a multiple of 16.
_BLOCK = 1024


def share_within(uncertainty: Source, grid: GeoBox, factor: float, limit: float) -> float:
    """Return the share 0 … 1 of known pixels where factor times uncertainty is within a limit.

    Parameters
    ----------
    uncertainty
        Standard deviations in metres.
    factor
        Linear error in standard deviations.
    limit
        Metres.
    """
    within = known = 0
    for _, errors in _blocks(uncertainty, grid, factor):
        finite = np.isfinite(errors)
        known += int(finite.sum())
        within += int((errors[finite] <= limit).sum())
    return within / known if known else float("nan")


def write_accuracy_map(
    path: Path, uncertainty: Source, grid: GeoBox, factor: float, limit: float, figure: str
) -> None:
    """Write a GeoTIFF of two float32 bands: linear error in metres, and 1 where within the limit.

    The second band is 0 elsewhere; both are NaN where the surface is void.
    """
    import rasterio

    height, width = grid.shape
    with (
        atomic_file(path) as partial,
        rasterio.open(
            partial, "w", driver="GTiff", dtype="float32", count=2, height=height, width=width,
            crs=grid.crs.to_wkt() if grid.crs is not None else None, transform=grid.affine,
            nodata=float("nan"), tiled=True, blockxsize=256, blockysize=256, compress="deflate",
            predictor=3, bigtiff="if_safer",
        ) as file,
    ):  # fmt: skip
        file.descriptions = (figure.lower(), f"within_{limit:g}_m")
        file.units = ("m", "1")
        file.update_tags(linear_error=figure, factor=f"{factor:.6g}", limit=f"{limit:g} m")
        for window, errors in _blocks(uncertainty, grid, factor):
            inside = np.where(np.isfinite(errors), errors <= limit, np.nan)
            place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
            file.write(np.stack([errors, inside]).astype(np.float32), window=place)


def _blocks(uncertainty: Source, grid: GeoBox, factor: float) -> Iterator[tuple[Window, Array]]:
    height, width = grid.shape
    for row in range(0, height, _BLOCK):
        for col in range(0, width, _BLOCK):
            window = Window(row, col, min(_BLOCK, height - row), min(_BLOCK, width - col))
            yield window, np.float32(factor) * uncertainty.read(grid, window)
