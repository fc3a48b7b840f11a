"""Rasters across and beyond 180° of longitude."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine, from_origin

from conftest import make_bundle
from demiurge.layers import layer
from demiurge.predict.api import generate
from demiurge.scene.crs import transform
from demiurge.scene.footprint import pixel_ratio, source_window, utm_of
from demiurge.scene.grid import Window, full_window
from demiurge.scene.open import scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.source import Source

Write = Callable[..., Path]
DEGREES = CRS("EPSG:4326")


def height(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return smooth heights that are continuous across 180°."""
    return 500 + 300 * np.sin(np.radians(30 * lon)) + 40 * (lat - 66)


def degrees(raster: Write, name: str, left: float, width: float, size: float) -> Path:
    """Write heights from 65 to 67° N."""
    columns, rows = round(width / size), round(2 / size)
    lon = left + size * (np.arange(columns) + 0.5)
    lat = 67 - size * (np.arange(rows) + 0.5)
    data = height(lon[None], lat[:, None]).astype(np.float32)
    return raster(name, data, crs="EPSG:4326", transform=from_origin(left, 67, size, size))


def utm_grid(lon: float, epsg: int, size: float = 100, side: int = 120) -> GeoBox:
    """Return a square about a point at 66° N."""
    x, y = transform([lon], [66.0], DEGREES, CRS(f"EPSG:{epsg}"))
    left, top = x[0] - size * side / 2, y[0] + size * side / 2
    return GeoBox((side, side), Affine(size, 0, left, 0, -size, top), f"EPSG:{epsg}")


def expected(grid: GeoBox) -> np.ndarray:
    a = grid.affine
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    lon, lat = transform(a.a * columns + a.c, a.e * rows + a.f, grid.crs, DEGREES)
    return height(lon, lat)


FILES = [
    pytest.param(179, 2, id="179 to 181"),
    pytest.param(-181, 2, id="-181 to -179"),
    pytest.param(-180, 360, id="-180 to 180"),
    pytest.param(0, 360, id="0 to 360"),
]


@pytest.mark.parametrize(("left", "width"), FILES)
@pytest.mark.parametrize("lon", [179.95, 180.0, -179.95])
@pytest.mark.parametrize("epsg", [32660, 32601])
@pytest.mark.parametrize("name", ["dem_prior", "dsm"])
def test_heights_continue_across_180_degrees(
    raster: Write, left: float, width: float, lon: float, epsg: int, name: str
) -> None:
    source = Source.open(degrees(raster, "a.tif", left, width, 0.02), layer(name))
    grid = utm_grid(lon, epsg)
    assert pixel_ratio(source.grid, grid) == pytest.approx(14.2, abs=0.3)
    result = source.read(grid, full_window(grid))
    assert np.isfinite(result).all()
    assert np.abs(result - expected(grid)).max() < 0.2
    part = Window(7, 30, 50, 64)
    fresh = Source.open(source.path, layer(name))
    np.testing.assert_array_equal(fresh.read(grid, part), result[part.slices])


@pytest.mark.parametrize(("left", "width"), FILES)
def test_generate_reads_its_complete_prior(
    raster: Write, tmp_path: Path, left: float, width: float
) -> None:
    grid = utm_grid(180.0, 32660)
    image = raster("i.tif", np.full((120, 120), 7, np.uint16), names=["red"],
                   crs="EPSG:32660", transform=grid.affine)  # fmt: skip
    prior = degrees(raster, "prior.tif", left, width, 0.02)
    bundle = make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",), answers=[0.0, 0.0], pixel=(50, 200),
    )  # fmt: skip
    surface = generate(image, tmp_path / "out.tif", prior=prior, bundle=bundle)
    with rasterio.open(surface.path) as file:
        result = file.read(1)
    assert np.isfinite(result).all()
    assert np.abs(result - expected(grid)).max() < 2
    scene = prepare({"red": image, "dem_prior": prior}, tmp_path / "scene")
    assert scene.shape == (120, 120)
    assert np.isfinite(scene.read(layers=["dem_prior"])).all()


@pytest.mark.parametrize("left", [179.9, -180.1, 539.9])
def test_a_dsm_in_degrees_across_180_is_complete_and_fast(raster: Write, left: float) -> None:
    size = 0.2 / 320
    lon = 179.9 + size * (np.arange(320) + 0.5)
    lat = 66 - size * (np.arange(320) + 0.5)
    data = height(lon[None], lat[:, None]).astype(np.float32)
    path = raster("a.tif", data, crs="EPSG:4326", transform=from_origin(left, 66, size, size))
    start = time.monotonic()
    scene = scene_from_files({"dsm": path})
    result = scene.read(layers=["dsm"])[0]
    assert time.monotonic() - start < 5
    assert scene.grid.crs.epsg in (32601, 32660)
    assert max(scene.shape) < 800
    known = np.isfinite(result)
    # The footprint is a trapezoid in its bounds: 9.1 km wide, 22.3 km high, turned by 2.7°.
    assert known.mean() > 0.8
    assert np.abs(result - expected(scene.grid))[known].max() < 0.5


def test_an_ortho_in_degrees_covers_a_dsm(raster: Write) -> None:
    grid = utm_grid(180.0, 32660)
    dsm = raster("dsm.tif", expected(grid).astype(np.float32), crs="EPSG:32660",
                 transform=grid.affine)  # fmt: skip
    ortho = degrees(raster, "left.tif", 179.5, 1, 0.002)
    scene = scene_from_files({"dsm": dsm, "ortho_left": ortho})
    image = scene.read(layers=["ortho_left"])[0]
    assert np.isfinite(image).all()
    assert np.abs(image - expected(grid)).max() < 0.5


def test_longitudes_beyond_180_have_data(raster: Write) -> None:
    """A file in 0 … 360 has western longitudes above 180."""
    source = Source.open(degrees(raster, "a.tif", 189, 2, 0.02), layer("dsm"))
    grid = utm_grid(-170.0, 32602)
    result = source.read(grid, full_window(grid))
    assert np.isfinite(result).all()
    assert utm_of(source.grid).epsg == 32602


def test_files_on_opposite_sides_of_the_globe_are_disjoint(raster: Write) -> None:
    source = Source.open(degrees(raster, "a.tif", 179, 2, 0.02), layer("dsm"))
    assert source_window(source.grid, utm_grid(0.1, 32631)) is None
    assert source_window(source.grid, utm_grid(180.0, 32660)) is not None


def test_a_footprint_with_a_pole_spans_all_longitudes(raster: Write) -> None:
    globe = GeoBox((180, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    pole = GeoBox((100, 100), Affine(10_000, 0, -500_000, 0, -10_000, 500_000), "EPSG:3031")
    window = source_window(globe, pole)
    assert window is not None
    assert (window.col, window.width) == (0, 360)
    assert window.row + window.height == 180
