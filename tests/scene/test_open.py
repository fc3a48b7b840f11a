from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.errors import ConfigError, DataError, ResourceError, UsageError
from demiurge.paths import split_band
from demiurge.scene.bands import name_inputs, recognise_bands
from demiurge.scene.grid import Window
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare

Write = Callable[..., Path]


def test_a_metric_north_up_dsm_keeps_its_grid(raster: Write) -> None:
    transform = from_origin(LEFT + 0.7, TOP + 0.3, 2, 2)  # not on multiples of the pixel
    scene = scene_from_files({"dsm": raster("dsm.tif", terrain(), transform=transform)})
    assert scene.grid.affine == transform
    assert scene.shape == (160, 192)
    assert scene.notes == ()
    np.testing.assert_array_equal(scene.read(layers=["dsm"])[0], terrain())


def test_the_dsm_defines_the_grid(raster: Write) -> None:
    image = np.full((80, 96), 7, np.uint16)
    scene = scene_from_files(
        {
            "ortho_left": raster("left.tif", image, transform=from_origin(LEFT, TOP, 4, 4)),
            "dsm": raster("dsm.tif", terrain()),
        }
    )
    assert scene.pixel_size == 2
    assert scene.read(layers=["ortho_left"]).shape == (1, 160, 192)
    assert (scene.read(layers=["ortho_left"]) == 7).all()


def test_an_image_defines_the_grid_before_a_prior(raster: Write) -> None:
    coarse = raster("prior.tif", terrain(6, 6), transform=from_origin(LEFT, TOP, 60, 60))
    image = raster("image.tif", np.ones((3, 100, 100), np.uint8), names=["red", "green", "blue"])
    scene = scene_from_files({"dem_prior": coarse, "red": f"{image}:1"})
    assert scene.pixel_size == 2
    assert scene.base == "dem_prior"


def test_degrees_are_reprojected_to_utm_with_a_note(raster: Write) -> None:
    path = raster("dsm.tif", terrain(), crs="EPSG:4326", transform=from_origin(15, 40, 2e-5, 2e-5))
    scene = scene_from_files({"dsm": path})
    assert scene.grid.crs.epsg == 32633
    assert any("reprojected to EPSG:32633" in note for note in scene.notes)
    assert 1.5 < scene.pixel_size < 2.5


def test_derived_layers_are_computed_from_stored_layers(raster: Write) -> None:
    heights = terrain()
    heights[10:20, 10:20] = -9999
    red, nir = np.full((160, 192), 100, np.uint16), np.full((160, 192), 300, np.uint16)
    truth = np.full((160, 192), np.nan, np.float32)
    scene = scene_from_files(
        {
            "dsm": raster("dsm.tif", heights, nodata=-9999),
            "red": raster("red.tif", red),
            "nir": raster("nir.tif", nir),
            "truth_dsm": raster("truth.tif", truth),
        }
    )
    assert {"ndvi", "valid"} <= set(scene.layers)
    np.testing.assert_allclose(scene.read(layers=["ndvi"]), 0.5)
    valid = scene.read(layers=["valid"])[0]
    assert valid.sum() == 160 * 192 - 100
    assert (valid[10:20, 10:20] == 0).all()


def test_windows_and_steps(raster: Write) -> None:
    scene = scene_from_files({"dsm": raster("dsm.tif", terrain())})
    part = scene.read(Window(5, 6, 7, 8), ["dsm"])[0]
    np.testing.assert_array_equal(part, terrain()[5:12, 6:14])
    assert scene.read(layers=["dsm"], step=4).shape == (1, 40, 48)
    for window in (Window(-1, 0, 4, 4), Window(158, 0, 4, 4), Window(0, 0, 0, 4)):
        with pytest.raises(UsageError, match="exceeds scene"):
            scene.read(window)


def test_disjoint_files_are_refused(raster: Write) -> None:
    far = raster("far.tif", terrain(), transform=from_origin(LEFT + 1e5, TOP, 2, 2))
    with pytest.raises(DataError, match="does not overlap"):
        scene_from_files({"dsm": raster("dsm.tif", terrain()), "ortho_left": far})


def test_vertical_references_must_agree(raster: Write) -> None:
    a = raster("a.tif", terrain(), crs="EPSG:32633+5773")
    b = raster("b.tif", terrain(), crs="EPSG:32633+3855")
    with pytest.raises(DataError, match="EGM96"):
        scene_from_files({"dsm": a, "truth_dsm": b})
    assert scene_from_files({"dsm": a}).vertical.reference == "orthometric"


def test_inputs_are_named_or_recognised(raster: Write) -> None:
    rgb = raster("rgb.tif", np.ones((3, 8, 8), np.uint8), photometric="RGB")
    dsm = raster("dsm.tif", terrain())
    result = name_inputs([str(rgb), str(dsm), "truth_dtm=x.tif:2"])
    assert result == {
        "red": f"{rgb}:1",
        "green": f"{rgb}:2",
        "blue": f"{rgb}:3",
        "dsm": f"{dsm}:1",
        "truth_dtm": "x.tif:2",
    }
    with pytest.raises(UsageError, match="given twice"):
        name_inputs([str(dsm), f"dsm={dsm}"])
    with pytest.raises(UsageError, match="no layer is recognised"):
        recognise_bands(str(raster("mystery.tif", terrain())))


def test_split_band() -> None:
    assert split_band("a.tif") == ("a.tif", None)
    assert split_band("C:/a.tif:12") == ("C:/a.tif", 12)


def scene_yaml(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "scene.yaml").write_text(text)
    return folder


def test_a_hand_written_scene_opens_and_warps(raster: Write, tmp_path: Path) -> None:
    raster("dsm.tif", terrain())
    image = np.full((40, 48), 9, np.uint8)
    raster("left.tif", image, transform=from_origin(LEFT, TOP, 8, 8))
    folder = scene_yaml(
        tmp_path / "s",
        "layers:\n  dsm: {file: ../dsm.tif}\n  ortho_left: {file: ../left.tif}\n"
        "acquired: [2020-05-01]\nsun: {azimuth: 150, elevation: 50}\n",
    )
    scene = open_scene(folder)
    assert scene.read().shape == (3, 160, 192)  # with the derived valid
    assert scene.spec is not None
    assert scene.spec.sun is not None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("layers: {}\n", "names no layer"),
        ("layers:\n  dsn: {file: a.tif}\n", "did you mean 'dsm'"),
        ("layers:\n  dsm: {file: a.tif, bnd: 2}\n", "bnd: is not a known key"),
        ("layers: [", "not valid YAML at line"),
        ("just text\n", "holds no keys"),
        ("layers:\n  dsm: {file: a.tif}\nsun: {azimuth: 400, elevation: 1}\n", "sun.azimuth"),
    ],
)
def test_invalid_scene_files(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        open_scene(scene_yaml(tmp_path / "s", text))


def test_paths_that_are_not_scenes(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="is not a scene"):
        open_scene(tmp_path)
    with pytest.raises(ResourceError, match="no such scene"):
        open_scene(tmp_path / "no")


def test_statistics_of_several_layers_at_once(raster: Write) -> None:
    rough = np.random.default_rng(0).standard_normal((160, 192)).astype(np.float32)
    files = {"red": raster("red.tif", terrain()), "green": raster("green.tif", rough)}
    scene = scene_from_files(files)
    scene.compute_statistics(["red", "green"])
    smooth, noise = scene.grain("red"), scene.grain("green")
    assert smooth is not None
    assert smooth < 0.2
    assert noise == pytest.approx(1.13, abs=0.03)
    assert scene.statistics("red")["mean"] == pytest.approx(float(terrain().mean()), rel=1e-5)


def test_a_prepared_scene_opens_its_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rasterio

    files = {n: write_raster(tmp_path / f"{n}.tif", terrain()) for n in ("dsm", "truth_dsm")}
    prepare(files, tmp_path / "scene")
    real, names = rasterio.open, list[str]()

    def counted(path: Any, *given: Any, **options: Any) -> Any:
        names.append(str(path))
        return real(path, *given, **options)

    monkeypatch.setattr(rasterio, "open", counted)
    scene = open_scene(tmp_path / "scene")
    assert len(scene.sources) > 1
    assert len(names) == 1
