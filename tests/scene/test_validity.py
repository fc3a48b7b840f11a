"""Validity of pixels in all forms: values, masks, alpha."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.layers import layer
from demiurge.scene.grid import full_window, snapped_grid
from demiurge.scene.source import Source

Write = Callable[..., Path]
HOLE = (slice(40, 60), slice(50, 80))
FIELD = np.zeros((160, 192), bool)
FIELD[HOLE] = True


def own(path: Path, band: int = 1, name: str = "dsm") -> np.ndarray:
    source = Source.open(path, layer(name), band)
    return source.read(source.grid, full_window(source.grid))


def warped(path: Path, band: int = 1, name: str = "dsm") -> np.ndarray:
    source = Source.open(path, layer(name), band)
    grid = snapped_grid((LEFT + 11, TOP - 300, LEFT + 361, TOP - 13), source.grid.crs, 3)
    return source.read(grid, full_window(grid))


def declared(raster: Write) -> Path:
    return raster("declared.tif", np.where(FIELD, np.nan, terrain()), nodata=np.nan)


def with_alpha(path: Path, dtype: str, opaque: float) -> Path:
    alpha = np.where(FIELD, 0, opaque)
    data = np.where(FIELD, 9, terrain())
    write_raster(path, np.stack([data, alpha]).astype(dtype))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    return path


def with_mask(path: Path, *, sidecar: bool, nodata: float | None = None) -> Path:
    write_raster(path, np.where(FIELD, 9, terrain()).astype(np.float32), nodata=nodata)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not sidecar), rasterio.open(path, "r+") as file:
        file.write_mask(~FIELD)
    return path


@pytest.mark.parametrize(
    ("dtype", "opaque"),
    [("float32", 255), ("float32", 1), ("uint8", 255), ("uint8", 1), ("uint16", 65535),
     ("uint16", 4095), ("int16", 255), ("float64", 255)],
)  # fmt: skip
def test_alpha_of_any_type(tmp_path: Path, raster: Write, dtype: str, opaque: float) -> None:
    path = with_alpha(tmp_path / "a.tif", dtype, opaque)
    np.testing.assert_array_equal(np.isnan(own(path, name="red")), FIELD)
    expected = np.isnan(warped(declared(raster)))
    np.testing.assert_array_equal(np.isnan(warped(path, name="red")), expected)


def test_opaque_alpha_outside_the_sample(tmp_path: Path) -> None:
    alpha = np.zeros((2200, 700), np.uint8)
    alpha[300:310, 300:310] = 1
    path = write_raster(tmp_path / "a.tif", np.stack([np.full_like(alpha, 7), alpha]))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    np.testing.assert_array_equal(np.isfinite(own(path, name="red")), alpha == 1)


def test_the_alpha_band_itself_can_be_a_layer(tmp_path: Path) -> None:
    path = with_alpha(tmp_path / "a.tif", "uint8", 1)
    np.testing.assert_array_equal(own(path, 2, "valid"), ~FIELD)


@pytest.mark.parametrize("sidecar", [False, True])
@pytest.mark.parametrize("nodata", [None, -9999])
def test_mask_and_declared_value_both_apply(
    tmp_path: Path, raster: Write, sidecar: bool, nodata: float | None
) -> None:
    path = with_mask(tmp_path / "m.tif", sidecar=sidecar, nodata=nodata)
    assert (tmp_path / "m.tif.msk").exists() == sidecar
    np.testing.assert_array_equal(np.isnan(own(path)), FIELD)
    np.testing.assert_array_equal(np.isnan(warped(path)), np.isnan(warped(declared(raster))))
    if nodata is not None:
        with rasterio.open(path, "r+") as file:
            file.write(np.full((1, 3, 4), nodata, np.float32), window=((0, 3), (0, 4)))
        assert np.isnan(own(path)).sum() == FIELD.sum() + 12


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4e38, 3.4e38])
@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_no_data_is_removed_before_warping(
    raster: Write, value: float, nodata: float | None
) -> None:
    """NaN in addition to a declared value must not widen voids, nor infinity its neighbourhood."""
    data = terrain()
    data[HOLE] = value
    result = warped(raster("a.tif", data, nodata=nodata))
    np.testing.assert_array_equal(result, warped(declared(raster)))


def test_no_data_by_band(tmp_path: Path) -> None:
    """GeoTIFF declares one value for all bands; VRT and others one for each."""
    data = np.stack([terrain(), terrain() + 50])
    data[0][HOLE], data[1][HOLE] = 100, 200
    data[1][:5] = 100  # a height in the second band, no data in the first
    write_raster(tmp_path / "a.tif", data)
    bands = "".join(
        f'<VRTRasterBand dataType="Float32" band="{band}"><NoDataValue>{100 * band}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2)
    )
    with rasterio.open(tmp_path / "a.tif") as file:
        crs, t = file.crs.to_wkt(), file.transform.to_gdal()
    path = tmp_path / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="192" rasterYSize="160"><SRS>{crs}</SRS><GeoTransform>'
        f"{', '.join(map(str, t))}</GeoTransform>{bands}</VRTDataset>"
    )
    for band in (1, 2):
        result = own(path, band)
        np.testing.assert_array_equal(np.isnan(result), FIELD)
        elsewhere = warped(path, band)
        assert elsewhere[np.isfinite(elsewhere)].min() > 50 * (band == 2)
        assert np.isnan(elsewhere).any()
    assert (own(path, 2)[:5] == 100).all()


def test_a_fine_file_is_warped_to_a_coarse_grid_in_bounded_parts(
    raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demiurge.scene import source as module

    path = raster("a.tif", terrain())
    source = Source.open(path, layer("dsm"))
    grid = snapped_grid((LEFT, TOP - 320, LEFT + 384, TOP), source.grid.crs, 16)
    full = source.read(grid, full_window(grid))
    sizes: list[Any] = []
    read = module.read_stored

    def counted(dataset: Any, band: int, window: Any, shape: Any = None) -> np.ndarray:
        sizes.append(window.height * window.width)
        return read(dataset, band, window, shape)

    monkeypatch.setattr(module, "read_stored", counted)
    monkeypatch.setattr(module, "_MOST", 4096)
    fresh = Source.open(path, layer("dsm"))
    np.testing.assert_allclose(fresh.read(grid, full_window(grid)), full, rtol=1e-6)
    assert len(sizes) > 4
    assert max(sizes) <= 4096
