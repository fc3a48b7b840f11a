"""Rasters with known values for the viewer, and a catalogue of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

#: Rows, columns and pixel size of the rasters, and their north-western corner.
ROWS, COLUMNS, GSD = 120, 160, 2.0
WEST, NORTH = 500000.0, 5000000.0


def heights() -> np.ndarray:
    """A plane that rises by 0.1 m a pixel eastward, with a block of 20 m and a void."""
    data = np.broadcast_to(100 + 0.1 * np.arange(COLUMNS, dtype=np.float32), (ROWS, COLUMNS)).copy()
    data[40:80, 60:100] += 20
    data[10:20, 10:20] = np.nan
    return data


def write(path: Path, bands: np.ndarray, names: list[str] | None = None, **more: object) -> Path:
    """Write float32 or uint8 (bands, rows, columns)."""
    profile = {
        "driver": "GTiff", "count": len(bands), "dtype": bands.dtype, "crs": "EPSG:32633",
        "height": bands.shape[1], "width": bands.shape[2],
        "transform": from_origin(WEST, NORTH, GSD, GSD),
    }  # fmt: skip
    if bands.dtype == np.float32:
        profile["nodata"] = np.nan
    with rasterio.open(path, "w", **(profile | more)) as file:
        file.write(bands)
        for i, name in enumerate(names or [], start=1):
            file.set_band_description(i, name)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A surface of four bands, its initial DSM (1 m higher), and an image."""
    z = heights()
    ground = np.broadcast_to(100 + 0.1 * np.arange(COLUMNS, dtype=np.float32), z.shape)
    surface = np.stack([z, np.full_like(z, 0.5), ground, np.full_like(z, 0.25)])
    names = ["dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty"]
    colours = np.zeros((3, ROWS, COLUMNS), np.uint8)
    colours[0, :, : COLUMNS // 2], colours[2, :, COLUMNS // 2 :] = 200, 200
    return [
        write(tmp_path / "better.tif", surface, names),
        write(tmp_path / "initial.tif", (z + 1)[None]),
        write(tmp_path / "image.tif", colours, photometric="RGB"),
    ]


@pytest.fixture
def catalogue(files: list[Path]) -> Any:
    pytest.importorskip("titiler.core")
    from demiurge.viewer.catalogue import open_catalogue

    return open_catalogue(files)
