"""A geoid grid whose heights are known everywhere."""

from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from conftest import write_raster

WEST, NORTH = 14.0, 37.0


def undulation(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Geoid heights that a bilinear grid holds exactly: 40 m and 3 m/° east, 2 m/° south."""
    return 40 + 3 * (lon - WEST) + 2 * (NORTH - lat)


def write_geoid(path: Path) -> Path:
    lon = WEST + 0.25 * np.arange(9)
    lat = NORTH - 0.25 * np.arange(9)
    values = undulation(*np.meshgrid(lon, lat)).astype(np.float32)
    corner = from_origin(WEST - 0.125, NORTH + 0.125, 0.25, 0.25)
    return write_raster(path, values, crs="EPSG:4326", transform=corner)
