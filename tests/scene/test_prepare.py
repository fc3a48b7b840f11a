import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.errors import DataError, UsageError
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare

Write = Callable[..., Path]


def inputs(raster: Write) -> dict[str, Path]:
    heights = terrain()
    heights[10:30, 40:60] = -9999
    rng = np.random.default_rng(1)
    left = rng.integers(100, 4000, (160, 192)).astype(np.uint16)
    return {
        "dsm": raster("dsm.tif", heights, nodata=-9999),
        "ortho_left": raster("left.tif", left),
        "truth_dsm": raster("truth.tif", terrain()),
    }


def test_a_scene_folder_opens_here_and_in_gdal(raster: Write, tmp_path: Path) -> None:
    scene = prepare(inputs(raster), tmp_path / "scene")
    with rasterio.open(tmp_path / "scene" / "stack.tif") as stack:
        assert stack.descriptions == ("dsm", "ortho_left", "truth_dsm", "valid")
        assert stack.units[0] == "m"
        assert stack.crs.to_epsg() == 32633
        np.testing.assert_array_equal(stack.read(1), scene.read(layers=["dsm"])[0])
    assert scene._stack is not None, "the stack can be memory-mapped"
    dsm, truth, valid = scene.read(layers=["dsm", "truth_dsm", "valid"])
    np.testing.assert_array_equal(truth, terrain())
    assert np.isnan(dsm[10:30, 40:60]).all()
    np.testing.assert_array_equal(valid, np.isfinite(dsm))


def test_the_folder_can_be_moved(raster: Write, tmp_path: Path) -> None:
    prepare(inputs(raster), tmp_path / "scene")
    (tmp_path / "scene").rename(tmp_path / "elsewhere")
    assert open_scene(tmp_path / "elsewhere").read(layers=["dsm"]).shape == (1, 160, 192)
    assert str(tmp_path) not in (tmp_path / "elsewhere" / "scene.yaml").read_text()


def test_fingerprint_records_voids_relief_and_overlaps(raster: Write, tmp_path: Path) -> None:
    prepare(inputs(raster), tmp_path / "scene")
    result = json.loads((tmp_path / "scene" / "fingerprint.json").read_text())
    assert result["layers"]["dsm"]["voids"] == pytest.approx(400 / (160 * 192), abs=1e-6)
    assert result["layers"]["truth_dsm"]["mean"] == pytest.approx(terrain().mean(), rel=1e-6)
    assert result["layers"]["truth_dsm"]["std"] == pytest.approx(terrain().std(), rel=1e-5)
    assert result["overlaps"]["dsm"]["truth_dsm"] == pytest.approx(1 - 400 / (160 * 192), abs=1e-6)
    p01, p99 = np.percentile(terrain()[np.isfinite(scene_dsm(tmp_path))], (1, 99))
    assert result["relief"] == pytest.approx(p99 - p01, rel=0.05)


def scene_dsm(tmp_path: Path) -> np.ndarray:
    return open_scene(tmp_path / "scene").read(layers=["dsm"])[0]


def test_grids_are_snapped_and_cropped(raster: Write, tmp_path: Path) -> None:
    files = inputs(raster)
    scene = prepare(files, tmp_path / "a", gsd=5)
    box = scene.grid.extent.boundingbox
    assert all(v % 5 == 0 for v in (box.left, box.bottom, box.right, box.top))
    assert scene.pixel_size == 5
    part = prepare(files, tmp_path / "b", extent=f"{LEFT + 20},{TOP - 100},{LEFT + 120},{TOP - 20}")
    assert part.shape == (40, 50)
    np.testing.assert_array_equal(part.read(layers=["truth_dsm"])[0], terrain()[10:50, 10:60])
    like = prepare(files, tmp_path / "c", extent=str(part.folder / "stack.tif"))
    assert like.grid == part.grid


def test_intersection_and_union(raster: Write, tmp_path: Path) -> None:
    files = {
        "dsm": raster("a.tif", terrain()),
        "ortho_left": raster("b.tif", terrain(), transform=from_origin(LEFT + 100, TOP, 2, 2)),
    }
    assert prepare(files, tmp_path / "i").shape == (160, 142)
    union = prepare(files, tmp_path / "u", extent="union")
    assert union.shape == (160, 242)
    assert union.read(layers=["valid"]).sum() == 160 * 192


def test_the_result_does_not_depend_on_blocks_and_threads(
    raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = inputs(raster)
    one = prepare(files, tmp_path / "one", gsd=3, jobs=1)
    monkeypatch.setattr("demiurge.scene.prepare.BLOCK", 37)
    many = prepare(files, tmp_path / "many", gsd=3, jobs=4)
    np.testing.assert_array_equal(one.read(), many.read())


def test_prepared_scenes_and_files_have_the_same_contrast(raster: Write, tmp_path: Path) -> None:
    files = inputs(raster)
    prepared = prepare(files, tmp_path / "scene")
    loose = scene_from_files(files, extent="intersection").with_equalised()
    assert prepared.equalised == loose.equalised == {"ortho_left"}
    np.testing.assert_array_equal(
        prepared.read(layers=["ortho_left"]), loose.read(layers=["ortho_left"])
    )


def test_failures_leave_no_folder(raster: Write, tmp_path: Path) -> None:
    empty = raster("empty.tif", np.full((160, 192), -9999, np.float32), nodata=-9999)
    with pytest.raises(DataError, match="has no data within"):
        prepare({"dsm": empty}, tmp_path / "scene")
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"empty.tif"}


def test_an_existing_scene_is_kept_without_overwrite(raster: Write, tmp_path: Path) -> None:
    files = inputs(raster)
    prepare(files, tmp_path / "scene")
    with pytest.raises(UsageError, match="--overwrite"):
        prepare(files, tmp_path / "scene")
    assert prepare(files, tmp_path / "scene", gsd=4, overwrite=True).pixel_size == 4


def test_a_reference_without_overlap_is_refused(raster: Write, tmp_path: Path) -> None:
    truth = terrain()
    truth[:, :96] = np.nan
    heights = terrain()
    heights[:, 96:] = np.nan
    files = {"dsm": raster("a.tif", heights), "truth_dsm": raster("b.tif", truth)}
    with pytest.raises(DataError, match="no pixel in common"):
        prepare(files, tmp_path / "scene")


def test_a_large_scene_is_checked_by_samples(raster: Write, tmp_path: Path) -> None:
    heights = terrain(1500, 1600)
    scene = scene_from_files(
        {"dsm": raster("dsm.tif", heights), "truth_dsm": raster("t.tif", heights)}
    )
    sample, truth = scene.sample("dsm"), scene.sample("truth_dsm")
    assert sample.size <= 1024**2
    np.testing.assert_array_equal(sample, truth)
    assert scene.statistics("dsm")["mean"] == pytest.approx(heights.mean(), abs=0.5)


def test_a_crs_similar_to_an_epsg_code_is_kept(tmp_path: Path) -> None:
    """Otherwise the stack would be on another grid than the scene and be warped at every read."""
    lambert = (
        "+proj=lcc +lat_0=41.75 +lon_0=-120.5 +lat_1=43 +lat_2=45.5 +x_0=400000 +y_0=0 "
        "+ellps=GRS80 +units=m +no_defs"
    )
    transform = from_origin(400000, 100000, 2, 2)
    file = write_raster(tmp_path / "dsm.tif", terrain(), crs=lambert, transform=transform)
    scene = prepare({"dsm": file}, tmp_path / "scene")
    assert "2991" not in (tmp_path / "scene" / "scene.yaml").read_text()
    assert scene._stack is not None
    assert open_scene(tmp_path / "scene")._stack is not None
