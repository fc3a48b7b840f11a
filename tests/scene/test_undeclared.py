"""Undeclared no data: converted, noted or refused; flat water, roofs and towers are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import LEFT, PIXEL, TOP, terrain
from demiurge.errors import DataError, UsageError
from demiurge.layers import layer
from demiurge.scene.check import LayerVerdict, check, require_fit
from demiurge.scene.grid import Window, blocks, full_window, sample_windows, snapped_grid
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.source import Source

Write = Callable[..., Path]
HOLE = (slice(20, 24), slice(30, 36))
SHAPE = (50, 50)  # 24 of 2,500 pixels are in the hole


def hills(lift: float = 200) -> np.ndarray:
    return terrain(*SHAPE) + np.float32(lift)


def holed(value: float, data: np.ndarray | None = None) -> np.ndarray:
    data = (hills() if data is None else data).copy()
    data[HOLE] = value
    return data


def opened(path: Path, name: str = "dsm", **options: Any) -> Source:
    return Source.open(path, layer(name), **options)


def read_all(source: Source) -> np.ndarray:
    return source.read(source.grid, full_window(source.grid))


@pytest.mark.parametrize("value", [32767, 9999, 65535, 1e6, -3.4e38, -9999, -10000, -32768])
def test_impossible_heights_become_void_with_a_count(raster: Write, value: float) -> None:
    source = opened(raster("a.tif", holed(value)))
    expected = np.where(holed(1) == 1, np.nan, hills())
    np.testing.assert_array_equal(read_all(source), expected)
    (remark,) = source.remarks
    assert remark.startswith("24 of 2500 pixels")
    grid = snapped_grid((500007, 3999911, 500091, 3999990), source.grid.crs, 1)
    warped = source.read(grid, full_window(grid))
    assert hills().min() <= np.nanmin(warped)
    assert np.nanmax(warped) <= hills().max()
    assert np.isnan(warped).any()


@pytest.mark.parametrize("value", [-999, -99, -500, -8888, 0])
@pytest.mark.parametrize("name", ["dsm", "dem_prior", "truth_dsm", "truth_dtm"])
def test_an_isolated_value_is_refused_with_a_cure(raster: Write, value: float, name: str) -> None:
    path = raster("a.tif", holed(value))
    with pytest.raises(DataError, match=rf"24 pixels are exactly {value}.*--nodata {name}={value}"):
        opened(path, name)
    declared = opened(path, name, nodata=[value])
    assert np.isnan(read_all(declared)).sum() == 24
    kept = opened(path, name, nodata=[])
    np.testing.assert_array_equal(read_all(kept), holed(value))


def test_nodata_values_refer_to_stored_values(raster: Write) -> None:
    data = np.rint(hills() * 10).astype(np.int16)
    path = raster("a.tif", holed(-999, data), scale=0.1, offset=50.0)
    with pytest.raises(DataError, match="--nodata dsm=-999"):
        opened(path)
    result = read_all(opened(path, nodata=[-999]))
    assert np.isnan(result).sum() == 24
    assert np.nanmin(result) > 200


def test_several_nodata_values_are_applied(raster: Write) -> None:
    data = holed(-999)
    data[:3] = -77
    path = raster("a.tif", data)
    assert np.isnan(read_all(opened(path, nodata=[-999, -77]))).sum() == 24 + 150


def test_few_pixels_of_a_large_file_are_detected_when_read(raster: Write) -> None:
    """None of the sample windows at opening contains them."""
    data = np.tile(terrain(), (16, 13))[:, :2300] + np.float32(300)
    seen = np.zeros(data.shape[0], bool)
    for window, *_ in sample_windows(data.shape, 2048):
        seen[window.slices[0]] = True
    row = int(np.argmin(seen))
    assert not seen[row : row + 3].any()
    data[row : row + 3, 1100:1103] = -999
    source = opened(raster("a.tif", data, compress="deflate"))
    source.read(source.grid, Window(0, 0, 100, 512))
    around = Window(row - 90, 1024, 200, 200)
    with pytest.raises(DataError, match=r"9 pixels are exactly -999.*--nodata dsm=-999"):
        source.read(source.grid, around)
    y = TOP - PIXEL * row
    grid = snapped_grid((LEFT + 2100, y - 100, LEFT + 2300, y + 100), source.grid.crs, 3)
    with pytest.raises(DataError, match="--nodata dsm=-999"):
        source.read(grid, full_window(grid))
    declared = opened(Path(source.path), nodata=[-999])
    assert np.isnan(declared.read(declared.grid, around)).sum() == 9


def sea(level: float, data: np.ndarray) -> np.ndarray:
    return np.maximum(data, np.float32(level))


def steps(data: np.ndarray) -> np.ndarray:
    """Return a town on flat ground: exact roofs, one tower, one quarry with water."""
    result = np.full(data.shape, 12.5, np.float32)
    result[10:20, 10:20] = 30
    result[30:36, 5:12] = 92.5
    result[40:45, 40:45] = -60
    return result


TRUE = {
    "sea at 0": lambda: sea(0, hills(-95)),
    "lake at one level": lambda: sea(300, hills()),
    "integer metres": lambda: np.rint(hills()),
    "integer metres about 0": lambda: np.rint(hills(-100)),
    "below sea level, through -99": lambda: np.rint(hills(-199)),
    "town": lambda: steps(hills()),
    "tower of 828 m": lambda: holed(828, hills(-90)),
    "steep coast": lambda: sea(0, (hills() - 300) * 8 + 40),
    "flat": lambda: np.full(SHAPE, 7, np.float32),
    "zeros": lambda: np.zeros(SHAPE, np.float32),
    "bathymetry": lambda: -5000 - hills() * 10,
    "summit of the earth": lambda: 8700 + np.minimum(hills(0), 149),
    "mast in the sea": lambda: np.where(np.arange(2500).reshape(SHAPE) == 999, 150, 0.0),
}


@pytest.mark.parametrize("name", TRUE)
def test_true_heights_are_kept(raster: Write, name: str) -> None:
    data = TRUE[name]().astype(np.float32)
    source = opened(raster("a.tif", data))
    np.testing.assert_array_equal(read_all(source), data)
    for size in (7, 16, 25):
        for window in blocks(SHAPE, size):
            source.read(source.grid, window)


def test_exact_zeros_in_lowland_get_a_note(raster: Write) -> None:
    data = terrain(*SHAPE) - np.float32(88)
    assert (data == 0).sum() == 0
    assert not opened(raster("a.tif", data)).remarks
    (remark,) = opened(raster("b.tif", holed(0, data)[:, :40])).remarks
    assert "exactly 0" in remark
    assert "--nodata dsm=0" in remark
    assert not opened(raster("c.tif", holed(0, data)), nodata=[0]).remarks


def test_heights_of_other_bodies_have_other_limits(raster: Write) -> None:
    mars = (
        'PROJCS["Mars",GEOGCS["Mars 2000",DATUM["Mars_2000",SPHEROID["Mars_2000",3396190,169.89]],'
        'PRIMEM["Reference",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
        'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",0],'
        'PARAMETER["scale_factor",1],PARAMETER["false_easting",500000],'
        'PARAMETER["false_northing",0],UNIT["metre",1]]'
    )
    data = hills(20900)
    source = opened(raster("a.tif", holed(60000, data), crs=mars))
    assert np.isnan(read_all(source)).sum() == 24
    assert "24 of 2500" in source.remarks[0]
    result = opened(raster("b.tif", data))
    assert np.isnan(read_all(result)).all()
    assert "2500 of 2500 pixels are outside -12000 to 9000 m" in result.remarks[0]


def test_a_border_of_zeros_in_an_image_gets_a_note(raster: Write) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(90, 25, (160, 192)), 0, 255).astype(np.uint8)
    assert not opened(raster("a.tif", image), "red").remarks
    image[np.add.outer(np.arange(160), np.arange(192)) < 80] = 0
    (remark,) = opened(raster("b.tif", image), "red").remarks
    assert "exactly 0" in remark
    assert "--nodata red=0" in remark
    water = np.clip(terrain() - 90, 0, 60).astype(np.uint8)  # a gradual decrease
    assert not opened(raster("c.tif", water), "nir").remarks


def test_check_and_commands_report_undeclared_no_data(raster: Write) -> None:
    scene = scene_from_files({"dsm": raster("dsm.tif", holed(32767))})
    (result, *_) = check(scene)
    assert result.verdict is LayerVerdict.WARNING
    assert "24 of 2500 pixels" in result.message
    assert require_fit(scene, ("dsm",))[0].message == result.message
    with pytest.raises(UsageError, match="--nodata red: no such layer is read"):
        scene_from_files({"dsm": raster("dsm.tif", hills())}, nodata={"red": [0]})


def test_prepare_refuses_undeclared_no_data_or_writes_voids(raster: Write, tmp_path: Path) -> None:
    files = {"dsm": raster("d.tif", hills()), "truth_dsm": raster("t.tif", holed(-99))}
    with pytest.raises(DataError, match="--nodata truth_dsm=-99"):
        prepare(files, tmp_path / "scene")
    assert not (tmp_path / "scene").exists()
    scene = prepare(files, tmp_path / "scene", nodata={"truth_dsm": [-99]})
    assert np.isnan(scene.read(layers=["truth_dsm"])).sum() == 24
    counted = prepare({"dsm": raster("e.tif", holed(9999))}, tmp_path / "other")
    assert any("24 of 2500" in note for note in counted.notes)


def test_training_refuses_undeclared_no_data_in_a_reference(raster: Write, tmp_path: Path) -> None:
    """Scene folders of earlier versions or written by hand may contain it."""
    files = {"dsm": raster("d.tif", hills()), "truth_dsm": raster("t.tif", holed(-99))}
    prepare(files, tmp_path / "scene", nodata={"truth_dsm": []})
    kept = open_scene(tmp_path / "scene")  # the user's word for it stays with the scene
    assert np.isfinite(kept.read(layers=["truth_dsm"])).all()
    spec = tmp_path / "scene" / "scene.yaml"
    spec.write_text(spec.read_text().replace("nodata: []", "nodata: null"))
    with pytest.raises(DataError, match="24 pixels are exactly -99"):
        open_scene(tmp_path / "scene")
    declared = open_scene(tmp_path / "scene", nodata={"truth_dsm": [-99]})
    assert np.isnan(declared.read(layers=["truth_dsm"])).sum() == 24
