"""A folder of each kind is recognised and prepared; the values are those that the tool means."""

from collections.abc import Callable
from pathlib import Path

import folders
import numpy as np
import pytest

from demiurge.cli.main import run
from demiurge.errors import DataError, UsageError
from demiurge.scene.open import open_scene
from demiurge.scene.recognise.folder import recognise
from demiurge.scene.scene import Scene

Outcome = tuple[Scene, str]


@pytest.fixture
def prepared(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Prepare a folder with the command; return the scene and what was printed."""

    def act(folder: Path, *options: str) -> Outcome:
        out = tmp_path / "scene"
        with pytest.raises(SystemExit) as stop:
            run(["prepare", str(folder), "-o", str(out), "--no-equalise", *options])
        printed = capfd.readouterr()
        assert stop.value.code == 0, printed.err
        return open_scene(out), printed.err.replace(f"{folder}/", "")

    return act


def read(scene: Scene, name: str) -> np.ndarray:
    return scene.read(layers=[name])[0]


def with_void(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    values[5:9, 5:9] = np.nan
    return values


def test_asp(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    scene, printed = prepared(folders.asp(tmp_path / "run"))
    np.testing.assert_array_equal(read(scene, "dsm"), with_void(folders.HEIGHTS))
    np.testing.assert_array_equal(read(scene, "triangulation_error"), folders.ERRORS)
    np.testing.assert_array_equal(read(scene, "ortho_left"), folders.IMAGE / np.float32(2048))
    assert "dsm is run-DEM.tif" in printed
    assert "not used: run-L.tif, run-R.tif (image that parallel_stereo aligned" in printed
    assert "not an orthoimage" in printed
    assert "above the ellipsoid" in printed


def test_asp_with_an_error_vector_in_degrees_and_mapprojected_images(
    tmp_path: Path, prepared: Callable[..., Outcome]
) -> None:
    folder = folders.asp(tmp_path / "run", vector=True)
    folders.mapproject(folder / "left_map.tif", tagged=False)
    folders.mapproject(folder / "20210714_right.tif")
    scene, printed = prepared(folder)
    expected = np.sqrt(np.float32(3)) * folders.ERRORS
    np.testing.assert_allclose(read(scene, "triangulation_error"), expected, rtol=1e-6)
    np.testing.assert_array_equal(read(scene, "ortho_right"), folders.IMAGE)
    assert "ortho_left is left_map.tif" in printed
    assert "error vector" in printed


def test_asp_in_degrees(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    scene, printed = prepared(folders.asp(tmp_path / "run", crs="EPSG:4326"))
    assert scene.grid.crs.epsg == 32633
    assert "reprojected to EPSG:32633" in printed


@pytest.mark.parametrize("version", [0, 1])
def test_cars(tmp_path: Path, prepared: Callable[..., Outcome], version: int) -> None:
    scene, printed = prepared(folders.cars(tmp_path / "out", version))
    np.testing.assert_array_equal(read(scene, "dsm"), with_void(folders.HEIGHTS))
    np.testing.assert_array_equal(read(scene, "ortho_left"), folders.IMAGE)
    assert ("landcover" in scene.layers) == (version == 1)
    assert "triangulation_error" not in scene.layers
    assert "ambiguity of matching, not an error in metres" in printed


def test_filled_heights_of_cars_are_void(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    folder = folders.cars(tmp_path / "out", filled=True)
    scene, printed = prepared(folder)
    expected = with_void(folders.HEIGHTS)
    expected[20:30, 20:40] = np.nan
    np.testing.assert_array_equal(read(scene, "dsm"), expected)
    assert "fill_with_exogenous_dem" in printed
    (folder / "metadata.json").write_text("{}")
    with pytest.raises(DataError, match="the metadata of the run"), recognise(folder):
        pass


def test_s2p(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    scene, printed = prepared(folders.s2p(tmp_path / "out"))
    np.testing.assert_array_equal(read(scene, "dsm"), with_void(folders.HEIGHTS))
    assert set(scene.layers) == {"dsm", "valid"}
    assert "confidence.tif (confidence of matching" in printed
    assert "dsm-filtered.tif (small gaps are interpolated" in printed


def test_micmac(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    folder = folders.micmac(tmp_path / "site")
    scene, printed = prepared(folder, "--source-crs", "EPSG:32633")
    np.testing.assert_allclose(read(scene, "dsm"), with_void(folders.HEIGHTS), atol=1e-4)
    np.testing.assert_array_equal(read(scene, "red"), folders.COLOURS[0])
    assert (scene.grid.affine.c, scene.grid.affine.f) == (folders.LEFT, folders.TOP)
    assert "0.25 × value + 50" in printed
    assert "MEC-Malt/Z_Num7_DeZoom2_STD-MALT.tif (coarser step" in printed


def test_micmac_needs_its_units_and_a_crs(tmp_path: Path) -> None:
    folder = folders.micmac(tmp_path / "site")
    with (
        pytest.raises(UsageError, match=r"declares no CRS; add .* --source-crs"),
        recognise(folder),
    ):
        pass
    (folder / "MEC-Malt" / "Z_Num8_DeZoom1_STD-MALT.xml").unlink()
    with (
        pytest.raises(DataError, match="the unit of its altitudes is unknown"),
        recognise(folder, source_crs="EPSG:32633"),
    ):
        pass
    (folder / "MEC-Malt" / "Z_Num8_DeZoom1_STD-MALT_Tile_0_0.tif").touch()


def test_setsm(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    scene, printed = prepared(folders.setsm(tmp_path / "strip"))
    expected = with_void(folders.HEIGHTS)
    expected[:2], expected[20:24, 20:24], expected[30:34, 30:34] = np.nan, np.nan, np.nan
    dsm, valid = read(scene, "dsm"), read(scene, "valid")
    np.testing.assert_array_equal(dsm, expected)
    matched = np.ones(folders.SHAPE)
    matched[40:50, 40:50], matched[:2] = 0, 0
    matched[20:24, 20:24], matched[30:34, 30:34] = 0, 0
    np.testing.assert_array_equal(valid, matched)
    np.testing.assert_array_equal(read(scene, "ortho_left"), folders.IMAGE)
    assert "edges, water, clouds" in printed


def test_odm(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    scene, printed = prepared(folders.odm(tmp_path / "project"))
    np.testing.assert_array_equal(read(scene, "dsm"), with_void(folders.HEIGHTS))
    np.testing.assert_array_equal(read(scene, "dtm"), with_void(folders.HEIGHTS - 3))
    np.testing.assert_array_equal(scene.read(layers=["red", "green", "blue"]), folders.COLOURS)
    assert "not a survey" in printed
    assert "odm_georeferenced_model.laz" in printed


def test_metashape(tmp_path: Path, prepared: Callable[..., Outcome]) -> None:
    scene, _ = prepared(folders.metashape(tmp_path / "exports"))
    np.testing.assert_array_equal(read(scene, "dsm"), with_void(folders.HEIGHTS))
    np.testing.assert_array_equal(read(scene, "green"), folders.COLOURS[1])


@pytest.mark.parametrize("tiled", [True, False])
def test_earth_engine(tmp_path: Path, prepared: Callable[..., Outcome], tiled: bool) -> None:
    scene, printed = prepared(folders.earth_engine(tmp_path / "drive", tiled))
    assert {"red", "green", "blue", "nir", "dem_prior", "ndvi"} <= set(scene.layers)
    np.testing.assert_array_equal(read(scene, "blue"), with_void(folders.IMAGE))
    np.testing.assert_array_equal(read(scene, "nir"), with_void(folders.IMAGE + 300))
    assert "B8 of Sentinel-2" in printed


def test_reflectance_of_landsat_gives_the_right_ndvi(
    tmp_path: Path, prepared: Callable[..., Outcome]
) -> None:
    bands = ("SR_B4", "SR_B5", "SR_B6")
    folder = folders.earth_engine(tmp_path / "drive", tiled=False, bands=bands)
    scene, printed = prepared(folder)
    stored = folders.IMAGE.astype(np.float64)
    red, nir = (2.75e-5 * (stored + 100 * i) - 0.2 for i in range(2))
    np.testing.assert_allclose(read(scene, "red"), with_void(red), atol=1e-6)
    assert "B5 of Landsat 8" in printed
    assert read(scene, "nir")[0, 0] == pytest.approx(nir[0, 0], abs=1e-6)
