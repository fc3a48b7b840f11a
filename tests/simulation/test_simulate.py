"""``simulate``: scene folders, real inputs, faults before work."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("numba")
pytest.importorskip("cv2")

from rasterio.transform import from_origin

import demiurge
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.scene.camera import Direction
from demiurge.scene.views import pair_of
from demiurge.simulation.site import optical_location, stereo_location

Write = Callable[..., Path]
SMALL = {"size": 160}


def test_stereo_scene_opens_as_a_scene(tmp_path: Path) -> None:
    folders = demiurge.simulate(tmp_path / "s", style="mixed", config=SMALL, sites=2, seed=4)
    assert [f.name for f in folders] == ["site_000", "site_001"]
    scene = demiurge.open_scene(folders[1])
    expected = {"dsm", "ortho_left", "ortho_right", "triangulation_error", "ndvi", "valid"}
    assert expected | {"truth_dsm", "truth_dtm", "landcover"} <= set(scene.layers)
    surface, ground, height = scene.read(layers=["truth_dsm", "truth_dtm", "truth_height"])
    np.testing.assert_allclose(height, surface - ground, atol=1e-4)
    assert scene.shape == (160, 160)
    assert all(f.verdict != "fault" for f in demiurge.check(scene))
    record = yaml.safe_load((folders[1] / "simulation.yaml").read_text())
    assert record["style"] == "hills"
    left, right = record["settings"]["sensor"]["incidence"]
    pair = pair_of(scene)
    assert pair is not None
    assert pair.left.incidence == pytest.approx(abs(left), abs=0.01)
    assert pair.convergence == pytest.approx(right - left, abs=0.01)
    light = record["settings"]["light"]
    assert scene.sun == Direction(light["azimuth"], light["elevation"])
    again = demiurge.simulate(tmp_path / "t", style="mixed", config=SMALL, sites=2, seed=4, jobs=2)
    np.testing.assert_array_equal(scene.read(), demiurge.open_scene(again[1]).read())


def test_optical_scene_opens_as_a_scene(tmp_path: Path) -> None:
    config = {"size": 128, "sensor": {"bands": ["swir1", "coastal"]}}
    (folder,) = demiurge.simulate(tmp_path / "o", family="optical", config=config, seed=2)
    scene = demiurge.open_scene(folder)
    expected = {"blue", "green", "red", "nir", "swir1", "coastal", "dem_prior", "truth_dtm"}
    assert expected <= set(scene.layers)
    assert scene.shape == (128, 128)
    assert scene.grid.affine.a == 10
    assert scene.sun is not None
    assert not scene.views
    layers = dict(zip(scene.layers, scene.read(), strict=True))
    for name in expected:
        assert np.isfinite(layers[name]).all(), name
    error = layers["dem_prior"] - layers["truth_dtm"]
    assert 0.3 < np.median(np.abs(error)) < 20
    # Coarser bands have less detail.
    detail = {b: float(np.abs(np.diff(layers[b])).mean() / layers[b].mean())
              for b in ("red", "swir1", "coastal")}  # fmt: skip
    assert detail["coastal"] < detail["swir1"] < detail["red"]
    record = yaml.safe_load((folder / "simulation.yaml").read_text())
    assert record["settings"]["family"] == "optical"


def test_sites_have_different_locations() -> None:
    for place in (stereo_location, optical_location):
        corners = {place(seed, index) for seed in range(3) for index in range(40)}
        assert len(corners) == 120


def test_varied_sites_keep_the_given_settings(
    tmp_path: Path,
) -> None:
    config = {"size": 64, "light": {"elevation": 40}}
    folders = demiurge.simulate(tmp_path / "s", config=config, sites=3, seed=1, vary=True)
    record = [yaml.safe_load((f / "simulation.yaml").read_text())["settings"] for f in folders]
    assert len({n["light"]["azimuth"] for n in record}) == 3
    assert {n["light"]["elevation"] for n in record} == {40}
    assert {n["size"] for n in record} == {64}
    spans = [n["sensor"]["incidence"][1] - n["sensor"]["incidence"][0] for n in record]
    assert all(10 <= s <= 40 for s in spans)
    assert len(set(spans)) == 3


def test_terrain_only_writes_one_layer(tmp_path: Path) -> None:
    (folder,) = demiurge.simulate(tmp_path / "s", config=SMALL, terrain_only=True)
    scene = demiurge.open_scene(folder)
    assert set(scene.layers) == {"dtm", "valid"}
    heights = scene.read(layers=["dtm"])[0]
    assert 10 < np.ptp(heights) < 200


def test_real_terrain_is_kept(tmp_path: Path, raster: Write) -> None:
    rows, columns = np.mgrid[:60, :60]
    ramp = (500 + 3 * columns + 1 * rows).astype(np.float32)
    dem = raster("dem.tif", ramp, transform=from_origin(500000, 4000000, 10, 10))
    config = {**SMALL, "cover": {"forest": 0, "town": 0, "water": 0}}
    (folder,) = demiurge.simulate(tmp_path / "s", config=config, terrain=dem)
    scene = demiurge.open_scene(folder)
    truth = scene.read(layers=["truth_dtm"])[0]
    down, across = np.gradient(truth, 0.5)
    assert np.median(across) == pytest.approx(0.3, abs=0.02)
    assert np.median(down) == pytest.approx(0.1, abs=0.02)


def test_real_terrain_is_kept_in_an_optical_scene(tmp_path: Path, raster: Write) -> None:
    rows, columns = np.mgrid[:200, :200]
    ramp = (500 + 0.9 * columns + 0.3 * rows).astype(np.float32)
    dem = raster("dem.tif", ramp, transform=from_origin(500000, 4000000, 30, 30))
    config = {"size": 100, "gsd": 20, "landscape": {"water": 0}}
    (folder,) = demiurge.simulate(tmp_path / "o", family="optical", config=config, terrain=dem)
    truth = demiurge.open_scene(folder).read(layers=["truth_dtm"])[0]
    down, across = np.gradient(truth, 20.0)
    assert np.median(across) == pytest.approx(0.03, abs=0.002)
    assert np.median(down) == pytest.approx(0.01, abs=0.002)


def test_real_surface_keeps_heights_and_voids(tmp_path: Path, raster: Write) -> None:
    rng = np.random.default_rng(0)
    ground = np.zeros((420, 420), np.float32)
    surface = ground.copy()
    surface[180:240, 180:240] = 12
    surface[300:310, 300:310] = np.nan
    image = (100 + 50 * rng.random((420, 420))).astype(np.float32)
    place = from_origin(500000, 4000000, 0.5, 0.5)
    files = {
        name: raster(f"{name}.tif", plane, transform=place, nodata=-9999.0)
        for name, plane in {"surface": surface, "terrain": ground, "albedo": image}.items()
    }
    (folder,) = demiurge.simulate(tmp_path / "s", config={"size": 224}, **files)
    scene = demiurge.open_scene(folder)
    layers = dict(zip(scene.layers, scene.read(), strict=True))
    assert "landcover" not in layers
    assert "ndvi" not in layers
    assert scene.grid.affine.a == 0.5
    assert np.nanmax(layers["truth_dsm"]) == 12
    assert np.nanmax(np.abs(layers["truth_dtm"])) == 0
    assert 50 < np.isnan(layers["truth_dsm"]).sum() < 150, "voids stay void in the reference"
    error = layers["dsm"] - layers["truth_dsm"]
    assert np.nanmedian(np.abs(error)) < 0.5, "the pair was matched"
    assert np.nanmedian(error[layers["truth_dsm"] == 12]) == pytest.approx(0, abs=1)


def test_margins_of_a_small_surface_are_mirrored(tmp_path: Path, raster: Write) -> None:
    rows, columns = np.mgrid[:96, :110]
    surface = (5 + 0.1 * columns + 3 * (rows > 40)).astype(np.float32)
    file = raster("s.tif", surface, transform=from_origin(500000, 4000000, 0.5, 0.5))
    (folder,) = demiurge.simulate(tmp_path / "s", config={"size": 96}, surface=file)
    truth = demiurge.open_scene(folder).read(layers=["truth_dsm"])[0]
    assert truth.shape == (96, 96)
    assert any(np.array_equal(truth, surface[:, k : k + 96]) for k in range(15))
    with pytest.raises(DataError, match="the scene needs 64 m a side"):
        demiurge.simulate(tmp_path / "t", config={"size": 128}, surface=file)


def test_faults_are_reported_before_work(tmp_path: Path, raster: Write) -> None:
    small = raster("dem.tif", np.ones((20, 20), np.float32))
    with pytest.raises(DataError, match="covers 40 × 40 m"):
        demiurge.simulate(tmp_path / "s", config=SMALL, terrain=small)
    with pytest.raises(ResourceError, match="no such file"):
        demiurge.simulate(tmp_path / "s", config=SMALL, terrain=tmp_path / "no.tif")
    with pytest.raises(UsageError, match="--style is 'moon'"):
        demiurge.simulate(tmp_path / "s", style="moon")
    with pytest.raises(UsageError, match="--sites is 0"):
        demiurge.simulate(tmp_path / "s", sites=0)
    with pytest.raises(UsageError, match="--style is 'arid'"):
        demiurge.simulate(tmp_path / "s", style="arid")
    with pytest.raises(UsageError, match="--albedo is given without --surface"):
        demiurge.simulate(tmp_path / "s", albedo=small)
    with pytest.raises(UsageError, match="--surface is for --family stereo"):
        demiurge.simulate(tmp_path / "s", family="optical", surface=small)
    with pytest.raises(UsageError, match="--terrain-only does not use --surface"):
        demiurge.simulate(tmp_path / "s", surface=small, terrain_only=True)
    coarse = raster("coarse.tif", np.ones((90, 90), np.float32),
                    transform=from_origin(0, 0, 10, 10))  # fmt: skip
    with pytest.raises(DataError, match="pixels of 10 m are too coarse"):
        demiurge.simulate(tmp_path / "s", surface=coarse)
    assert not (tmp_path / "s").exists()


def test_full_disk_is_reported_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 10_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match=r"has 0.01 GB free, the scenes need about 1.3"):
        demiurge.simulate(tmp_path / "s", config={"size": 1024}, sites=25)
    assert not list((tmp_path / "s").glob("*"))


def test_disk_that_fills_up_leaves_no_files(tmp_path: Path) -> None:
    """A limit on file sizes simulates a full disk."""
    command = "ulimit -f 300; exec python -m demiurge.cli.main simulate -o full --size 256"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert "could not be written completely; free some space" in done.stderr
    assert done.returncode == 4
    assert not list(tmp_path.iterdir())
