"""No data in all its forms, on the grid of the file and warped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.crs import CRS
from rasterio.transform import Affine, from_origin
from scipy.ndimage import binary_erosion

from conftest import LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.errors import DataError, ResourceError
from demiurge.layers import layer
from demiurge.scene.grid import Window, full_window, snapped_grid
from demiurge.scene.source import Source

Write = Callable[..., Path]
HOLE = (slice(40, 60), slice(50, 80))


def holed(value: float, dtype: str = "float32") -> np.ndarray:
    data = terrain().astype(dtype)
    data[HOLE] = value
    return data


def conventions() -> list[Any]:
    lowest = float(np.finfo(np.float32).min)
    return [
        pytest.param(-9999, "float32", -9999, id="-9999 declared"),
        pytest.param(-9999, "float32", None, id="-9999 undeclared"),
        pytest.param(-32768, "int16", -32768, id="-32768 declared"),
        pytest.param(-32768, "int16", None, id="-32768 undeclared"),
        pytest.param(lowest, "float32", lowest, id="-3.4e38 declared"),
        pytest.param(lowest, "float32", None, id="-3.4e38 undeclared"),
        pytest.param(-9999, "float32", -32768, id="-9999 where -32768 is declared"),
        pytest.param(np.nan, "float32", np.nan, id="NaN declared"),
        pytest.param(np.nan, "float32", None, id="NaN undeclared"),
        pytest.param(np.nan, "float32", -9999, id="NaN where -9999 is declared"),
        pytest.param(0, "uint16", 0, id="0 declared"),
    ]


@pytest.mark.parametrize(("value", "dtype", "nodata"), conventions())
def test_no_data_on_the_grid_of_the_file(
    raster: Write, value: float, dtype: str, nodata: float
) -> None:
    path = raster("a.tif", holed(value, dtype), nodata=nodata)
    source = Source.open(path, layer("dsm"))
    data = source.read(source.grid, full_window(source.grid))
    assert data.dtype == np.float32
    assert np.isnan(data[HOLE]).all()
    expected = terrain().astype(dtype).astype(np.float32)
    outside = np.ones(data.shape, bool)
    outside[HOLE] = False
    np.testing.assert_array_equal(data[outside], expected[outside])


@pytest.mark.parametrize(("value", "dtype", "nodata"), conventions())
def test_warping_ignores_no_data(raster: Write, value: float, dtype: str, nodata: float) -> None:
    source = Source.open(raster("a.tif", holed(value, dtype), nodata=nodata), layer("dsm"))
    target = snapped_grid((LEFT + 11, TOP - 300, LEFT + 361, TOP - 13), source.grid.crs, 3)
    data = source.read(target, full_window(target))
    known = data[np.isfinite(data)]
    assert known.size > 0.8 * data.size
    # Any share of -9999 would give a height outside the range of the terrain.
    assert known.min() > terrain().min() - 1
    assert known.max() < terrain().max() + 1
    middle = data[(45 * 2) // 3 : (55 * 2) // 3, (60 * 2) // 3 - 4 : (70 * 2) // 3 - 4]
    assert np.isnan(middle).all()


def test_mask_band_and_alpha(tmp_path: Path) -> None:
    data = np.clip(holed(200, "uint8"), 1, 255)
    mask = np.full(data.shape, 255, np.uint8)
    mask[HOLE] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        masked = write_raster(tmp_path / "m.tif", data)
        with rasterio.open(masked, "r+") as file:
            file.write_mask(mask)
    alpha = write_raster(tmp_path / "a.tif", np.stack([data, data, data, mask]), photometric="RGB")
    with rasterio.open(alpha, "r+") as file:
        colours = ("red", "green", "blue", "alpha")
        file.colorinterp = [rasterio.enums.ColorInterp[c] for c in colours]
    for path in (masked, alpha):
        source = Source.open(path, layer("red"))
        own = source.read(source.grid, full_window(source.grid))
        assert np.isnan(own[HOLE]).all()
        assert np.isnan(own).sum() == 20 * 30
        np.testing.assert_array_equal(own[:40], data[:40].astype(np.float32))


def test_scale_and_offset_are_applied(raster: Write) -> None:
    path = raster("a.tif", np.full((64, 64), 500, np.uint16), scale=0.1, offset=-20.0)
    source = Source.open(path, layer("dsm"))
    np.testing.assert_allclose(source.read(source.grid, Window(3, 4, 5, 6)), 30.0, rtol=1e-6)


def test_windows_of_a_warped_file_equal_the_full_raster(raster: Write) -> None:
    source = Source.open(raster("a.tif", holed(-9999), nodata=-9999), layer("dsm"))
    target = snapped_grid((LEFT, TOP - 320, LEFT + 384, TOP), source.grid.crs, 1.5)
    full = source.read(target, full_window(target))
    window = Window(33, 57, 71, 64)
    np.testing.assert_array_equal(source.read(target, window), full[window.slices])


@pytest.mark.parametrize("name", ["dsm", "dem_prior"])
def test_windows_warped_between_crss_equal_the_full_raster(raster: Write, name: str) -> None:
    """A resumed run reads other strips and must give the same bits."""
    transform = from_origin(14.99, 36.15, 2.2e-4, 1.8e-4)
    path = raster("a.tif", holed(-9999), nodata=-9999, crs="EPSG:4326", transform=transform)
    target = snapped_grid((LEFT, TOP - 2600, LEFT + 2300, TOP), CRS("EPSG:32633"), 5)
    full = Source.open(path, layer(name)).read(target, full_window(target))
    assert np.isfinite(full).mean() > 0.5
    for window in (Window(33, 57, 171, 64), Window(200, 250, 128, 128), Window(519, 459, 1, 1)):
        fresh = Source.open(path, layer(name))
        np.testing.assert_array_equal(fresh.read(target, window), full[window.slices])


def test_a_replaced_source_has_an_empty_cache(raster: Write) -> None:
    path = raster("a.tif", terrain())
    source = Source.open(path, layer("dsm"))
    target = snapped_grid((LEFT, TOP - 320, LEFT + 384, TOP), source.grid.crs, 1.5)
    smooth = source.read(target, full_window(target))
    changed = replace(source, layer=replace(layer("dsm"), resampling="nearest"))
    nearest = changed.read(target, full_window(target))
    assert set(np.unique(nearest[np.isfinite(nearest)])) <= set(np.unique(terrain()))
    assert (nearest != smooth).mean() > 0.5


@pytest.mark.parametrize("kind", ["south-up", "rotated", "degrees", "flipped"])
def test_odd_grids_give_the_same_heights(raster: Write, kind: str) -> None:
    """A plane in easting and northing stays that plane, whatever the orientation of the file."""
    plain = snapped_grid((LEFT + 100, TOP - 200, LEFT + 200, TOP - 100), "EPSG:32633", 2)
    transforms = {
        "south-up": Affine(PIXEL, 0, LEFT, 0, PIXEL, TOP - 320),
        "rotated": Affine.translation(LEFT, TOP - 150) @ Affine.rotation(20) @ Affine.scale(2, -2),
        "flipped": Affine(-PIXEL, 0, LEFT + 384, 0, -PIXEL, TOP),
        "degrees": from_origin(14.9995, 36.1456, 2.2e-5, 1.8e-5),
    }
    transform, crs = transforms[kind], "EPSG:4326" if kind == "degrees" else "EPSG:32633"
    rows, columns = np.mgrid[:200, :250] + 0.5
    x = transform.a * columns + transform.b * rows + transform.c
    y = transform.d * columns + transform.e * rows + transform.f
    if kind == "degrees":
        from pyproj import Transformer

        x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(x, y)
    heights = (100 + 0.1 * (x - LEFT) - 0.05 * (y - TOP)).astype(np.float32)
    source = Source.open(raster("a.tif", heights, transform=transform, crs=crs), layer("dsm"))
    data = source.read(plain, full_window(plain))
    rows, columns = np.mgrid[:50, :50] + 0.5
    expected = 100 + 0.1 * (100 + 2 * columns) - 0.05 * (-100 - 2 * rows)
    assert np.isfinite(data).mean() > 0.6
    # Half a pixel at the edge of the file has neighbours on one side only.
    known = binary_erosion(np.isfinite(data), iterations=2, border_value=1)
    np.testing.assert_allclose(data[known], expected[known], atol=0.02)


def test_warping_is_exact_on_steep_slopes(raster: Write) -> None:
    """GDAL's default approximation is off by 1/8 pixel, which is metres on a mountain."""
    transform = from_origin(-105.9, 40.5, 0.0025, 0.0025)
    rows, columns = np.mgrid[:150, :150]
    heights = (3000 + 400 * np.sin(columns / 7) * np.cos(rows / 5)).astype(np.float32)
    path = raster("a.tif", heights, transform=transform, crs="EPSG:4326")
    source = Source.open(path, layer("dsm"))
    grid = snapped_grid((430000, 4455000, 450000, 4475000), "EPSG:32613", 100)
    result = source.read(grid, full_window(grid))
    from pyproj import Transformer
    from scipy.ndimage import map_coordinates

    r, c = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    x, y = grid.affine.a * c + grid.affine.c, grid.affine.e * r + grid.affine.f
    lon, lat = Transformer.from_crs(32613, 4326, always_xy=True).transform(x, y)
    place = [(40.5 - lat) / 0.0025 - 0.5, (lon + 105.9) / 0.0025 - 0.5]
    expected = map_coordinates(heights.astype(float), place, order=1)
    assert np.abs(result - expected).max() < 0.1


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"crs": None}, DataError, "no coordinate reference system"),
        ({"unit": "ft"}, DataError, "in 'ft'"),
        ({"transform": Affine.identity()}, DataError, "no geotransform"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_unsuitable_files_are_refused(
    raster: Write, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        Source.open(raster("a.tif", terrain(), **options), layer("dsm"))


def test_missing_and_damaged_files(tmp_path: Path, raster: Write) -> None:
    with pytest.raises(ResourceError, match="no such file"):
        Source.open(tmp_path / "no.tif", layer("dsm"))
    with pytest.raises(DataError, match="no band 2"):
        Source.open(raster("a.tif", terrain()), layer("dsm"), 2)
    full = raster("b.tif", terrain(), compress="deflate")
    cut = tmp_path / "cut.tif"
    cut.write_bytes(full.read_bytes()[:-20000])
    with pytest.raises(DataError, match="cannot be read"):
        source = Source.open(cut, layer("dsm"))
        source.read(source.grid, full_window(source.grid))


def test_bands_share_an_open_file_and_a_replaced_file_is_reopened(
    raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demiurge.scene import source as module

    opened: list[str] = []
    plain = module.open_raster

    def counted(path: str | Path) -> Any:
        opened.append(str(path))
        return plain(path)

    path = raster("two.tif", np.stack([terrain(), terrain() + 1]))
    bands = [Source.open(path, layer("red"), band) for band in (1, 2)]
    full = full_window(bands[0].grid)
    monkeypatch.setattr(module, "open_raster", counted)
    first, second = (source.read(source.grid, full) for source in bands)
    np.testing.assert_allclose(second - first, 1, atol=1e-4)
    assert opened == [str(path)]
    path.unlink()
    raster("two.tif", np.stack([terrain() + 5, terrain()]))
    again = Source.open(path, layer("red"), 1)
    np.testing.assert_allclose(again.read(again.grid, full) - first, 5, atol=1e-4)
