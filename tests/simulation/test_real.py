"""Squares cut out of real rasters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from demiurge.simulation.real import cut_out, land_sources, surface_sources

Write = Callable[..., Path]


@pytest.mark.parametrize("kind", ["surface", "terrain"])
def test_pixels_of_equal_size_are_not_resampled(raster: Write, kind: str) -> None:
    """The raster's corners are not multiples of the pixel size: a snapped grid would resample."""
    rng = np.random.default_rng(0)
    noise = (100 + rng.standard_normal((300, 300))).astype(np.float32)
    path = str(raster("a.tif", noise, transform=from_origin(499_999.75, 4_000_000.25, 0.5, 0.5)))
    sources = surface_sources(path, None, None) if kind == "surface" else land_sources(path)
    cutout = cut_out(sources, 64, 0.5, 16, np.random.default_rng(1))
    heights = cutout.rasters[kind][16:-16, 16:-16]  # the margin may be mirrored
    row = round((4_000_000.25 - cutout.grid.affine.f) / 0.5)
    col = round((cutout.grid.affine.c - 499_999.75) / 0.5)
    np.testing.assert_array_equal(heights, noise[row : row + 64, col : col + 64])


def test_web_mercator_is_cut_out_in_true_metres(raster: Write) -> None:
    transform = from_origin(1_669_792, 4_865_942, 2, 2)  # 15° E, 40° N: a unit is 0.77 m
    path = str(
        raster("a.tif", np.ones((400, 400), np.float32), transform=transform, crs="EPSG:3857")
    )
    cutout = cut_out(land_sources(path), 64, 2.0, 16, np.random.default_rng(1))
    assert cutout.grid.crs.epsg == 32633
    assert cutout.source_gsd == pytest.approx(1.53, abs=0.03)
