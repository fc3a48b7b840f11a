"""Places cut out of real rasters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from demiurge.simulation.real import cut_out, land_sources, surface_sources

Write = Callable[..., Path]


@pytest.mark.parametrize("kind", ["surface", "terrain"])
def test_pixels_of_a_raster_of_the_same_size_are_kept(raster: Write, kind: str) -> None:
    """Its pixel centres lie on multiples of the pixel size: a snapped grid would blur it."""
    rng = np.random.default_rng(0)
    noise = (100 + rng.standard_normal((300, 300))).astype(np.float32)
    path = str(raster("a.tif", noise, transform=from_origin(499_999.75, 4_000_000.25, 0.5, 0.5)))
    sources = surface_sources(path, None, None) if kind == "surface" else land_sources(path)
    place = cut_out(sources, 64, 0.5, 16, np.random.default_rng(1))
    found = place.rasters[kind][16:-16, 16:-16]  # the margin may be mirrored
    row = round((4_000_000.25 - place.grid.affine.f) / 0.5)
    col = round((place.grid.affine.c - 499_999.75) / 0.5)
    np.testing.assert_array_equal(found, noise[row : row + 64, col : col + 64])


def test_web_mercator_is_cut_in_true_metres(raster: Write) -> None:
    place = from_origin(1_669_792, 4_865_942, 2, 2)  # 15° E, 40° N: a metre is 0.77 m there
    path = str(raster("a.tif", np.ones((400, 400), np.float32), transform=place, crs="EPSG:3857"))
    found = cut_out(land_sources(path), 64, 2.0, 16, np.random.default_rng(1))
    assert found.grid.crs.epsg == 32633
    assert found.source_gsd == pytest.approx(1.53, abs=0.03)
