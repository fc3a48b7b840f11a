"""Whole scenes: real errors, exact truth, reproducible."""

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
from scipy import ndimage

import demiurge
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.simulation.light import illuminate
from demiurge.simulation.settings import make_optical_settings, make_stereo_settings
from demiurge.simulation.site import optical_location, stereo_location
from demiurge.simulation.stereo import MARGIN, make_world, simulate_stereo
from demiurge.simulation.styles import STEREO, varied

Write = Callable[..., Path]
SMALL = {"size": 160}


def scene(style: str, seed: int = 1) -> dict[str, np.ndarray]:
    settings = make_stereo_settings({**STEREO[style], **SMALL}, style)
    return simulate_stereo(settings, np.random.default_rng(seed))


def test_the_initial_dsm_errs_as_stereo_does() -> None:
    layers = scene("hills", seed=3)
    error = layers["dsm"] - layers["truth_dsm"]
    known = np.isfinite(error)
    assert 0.005 < 1 - known.mean() < 0.4, "voids"
    open_ground = known & (layers["landcover"] == 1)
    middle = np.median(error[open_ground])
    nmad = 1.4826 * np.median(np.abs(error[open_ground] - middle)) / 0.5
    assert 0.2 < nmad < 3, "pixels of error on open ground"
    assert abs(middle) < 0.25, "no bias"
    told = layers["triangulation_error"]
    bad = np.abs(error) > 2
    assert told[known & bad].mean() > 1.3 * told[known & ~bad].mean()


def test_layers_lie_on_one_another() -> None:
    layers = scene("town")
    assert {p.shape for p in layers.values()} == {(160, 160)}
    assert (layers["truth_dsm"] >= layers["truth_dtm"] - 1).all()
    height = layers["truth_dsm"] - layers["truth_dtm"]
    assert height[layers["landcover"] == 3].mean() > 3
    # Both orthos show the same land: they agree but for errors, noise and shadows.
    left, right = layers["ortho_left"], layers["ortho_right"]
    both = np.isfinite(left) & np.isfinite(right)
    assert np.corrcoef(left[both], right[both])[0, 1] > 0.6


def test_the_same_seed_gives_the_same_scene_and_another_does_not() -> None:
    a, b, c = scene("plain", 5), scene("plain", 5), scene("plain", 6)
    for name, plane in a.items():
        np.testing.assert_array_equal(plane, b[name])
    assert not np.array_equal(a["truth_dtm"], c["truth_dtm"])


def test_a_simulated_scene_is_a_scene(tmp_path: Path) -> None:
    folders = demiurge.simulate(tmp_path / "s", style="mixed", config=SMALL, sites=2, seed=4)
    assert [f.name for f in folders] == ["site_000", "site_001"]
    opened = demiurge.open_scene(folders[1])
    wanted = {"dsm", "ortho_left", "ortho_right", "triangulation_error", "ndvi", "valid"}
    assert wanted | {"truth_dsm", "truth_dtm", "landcover"} <= set(opened.layers)
    surface, ground, height = opened.read(layers=["truth_dsm", "truth_dtm", "truth_height"])
    np.testing.assert_allclose(height, surface - ground, atol=1e-4)
    assert opened.shape == (160, 160)
    assert all(f.verdict != "fault" for f in demiurge.check(opened))
    noted = yaml.safe_load((folders[1] / "simulation.yaml").read_text())
    assert noted["style"] == "hills"
    again = demiurge.simulate(tmp_path / "t", style="mixed", config=SMALL, sites=2, seed=4, jobs=2)
    np.testing.assert_array_equal(opened.read(), demiurge.open_scene(again[1]).read())


def test_sites_are_different_places() -> None:
    for place in (stereo_location, optical_location):
        corners = {place(seed, index) for seed in range(3) for index in range(40)}
        assert len(corners) == 120


def test_real_terrain_is_kept(tmp_path: Path, raster: Write) -> None:
    rows, columns = np.mgrid[:60, :60]
    ramp = (500 + 3 * columns + 1 * rows).astype(np.float32)
    dem = raster("dem.tif", ramp, transform=from_origin(500000, 4000000, 10, 10))
    config = {**SMALL, "cover": {"forest": 0, "town": 0, "water": 0}}
    (folder,) = demiurge.simulate(tmp_path / "s", config=config, terrain=dem)
    opened = demiurge.open_scene(folder)
    truth = opened.read(layers=["truth_dtm"])[0]
    down, across = np.gradient(truth, 0.5)
    assert np.median(across) == pytest.approx(0.3, abs=0.02)
    assert np.median(down) == pytest.approx(0.1, abs=0.02)


def test_faults_are_told_before_work(tmp_path: Path, raster: Write) -> None:
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


def test_a_full_disk_is_told_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 10_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match=r"has 0.01 GB free, the scenes need about 1.3"):
        demiurge.simulate(tmp_path / "s", config={"size": 1024}, sites=25)
    assert not list((tmp_path / "s").glob("*"))


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk."""
    command = "ulimit -f 300; exec python -m demiurge.cli.main simulate -o full --size 256"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert "could not be written in full; make room there" in done.stderr
    assert done.returncode == 4
    assert not list(tmp_path.iterdir())


def offset(layer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return by how many rows and columns a layer lies off its truth: least squares."""
    down, across = np.gradient(ndimage.gaussian_filter(truth, 1))
    error = ndimage.gaussian_filter(np.where(np.isnan(layer), truth, layer) - truth, 1)
    known = np.isfinite(layer)
    known &= np.abs(error) <= np.quantile(np.abs(error[known]), 0.9)
    terms = np.stack([down[known], across[known], np.ones(known.sum())], axis=1)
    found = np.linalg.lstsq(terms, -error[known], rcond=None)[0]
    return float(found[0]), float(found[1])


@pytest.mark.parametrize("turn", [0.0, 90.0, 203.0])
@pytest.mark.parametrize("kind", ["sgbm", "census"])
@pytest.mark.parametrize("way", ["mean", "gaussian", "nearest", "highest"])
def test_every_layer_is_in_register_with_the_truth(turn: float, kind: str, way: str) -> None:
    content = {
        **STEREO["hills"],
        "size": 256,
        "sensor": {"turn": turn, "jitter": 0, "misregistration": 0, "multispectral": 1},
        "matcher": {"kind": kind},
        "gridding": {"way": way},
    }
    settings = make_stereo_settings(content, "test")
    world = make_world(settings, np.random.default_rng(3))
    layers = simulate_stereo(settings, np.random.default_rng(3), world)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    light, truth = settings.light, world.dsm
    image = illuminate(truth, world.albedo, settings.gsd, light.azimuth, light.elevation)[inner]
    assert world.ndvi is not None
    expected = {"dsm": truth[inner], "ortho_left": image, "ndvi": world.ndvi[inner]}
    for name, plane in expected.items():
        seen = layers[name]
        # Brightness in units of the layer's spread; heights as they are.
        gain = 1 if name == "dsm" else np.nanstd(seen) / plane.std()
        wanted = (plane - plane.mean()) * gain + (plane.mean() if gain == 1 else np.nanmean(seen))
        assert np.abs(offset(seen, wanted)).max() < 0.1, name


def test_trees_of_28_m_are_matched_at_fine_pixels() -> None:
    """With a range about the ground alone, they are cut off."""
    content = {
        **STEREO["forest"],
        "size": 256,
        "gsd": 0.3,
        "cover": {"forest": 0.9, "town": 0, "water": 0, "tree_height": (20, 28)},
        "sensor": {"incidence": (-15, 15)},
    }
    error = []
    for search in (None, 64):
        settings = make_stereo_settings({**content, "matcher": {"disparities": search}}, "test")
        layers = simulate_stereo(settings, np.random.default_rng(2))
        error.append(float(np.nanmean(np.abs(layers["dsm"] - layers["truth_dsm"]))))
    assert error[0] < 0.5 * error[1]


def test_the_second_take_of_another_day_looks_different() -> None:
    def agreement(light: dict[str, float]) -> float:
        content = {**STEREO["hills"], **SMALL, "sensor": {"turn": 0}, "light": light}
        layers = simulate_stereo(make_stereo_settings(content, "test"), np.random.default_rng(1))
        left, right = layers["ortho_left"], layers["ortho_right"]
        both = np.isfinite(left) & np.isfinite(right)
        return float(np.corrcoef(left[both], right[both])[0, 1])

    same = agreement({"later": 1})
    assert agreement({"later": 40, "higher": -15}) < same - 0.05, "shadows"
    assert agreement({"later": 1, "change": 0.2}) < same - 0.05, "reflectances"


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


def test_a_real_surface_keeps_its_shapes_and_voids(tmp_path: Path, raster: Write) -> None:
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
    opened = demiurge.open_scene(folder)
    layers = dict(zip(opened.layers, opened.read(), strict=True))
    assert "landcover" not in layers
    assert "ndvi" not in layers
    assert opened.grid.affine.a == 0.5
    assert np.nanmax(layers["truth_dsm"]) == 12
    assert np.nanmax(np.abs(layers["truth_dtm"])) == 0
    assert 50 < np.isnan(layers["truth_dsm"]).sum() < 150, "voids stay void in the truth"
    error = layers["dsm"] - layers["truth_dsm"]
    assert np.nanmedian(np.abs(error)) < 0.5, "the pair was matched"
    assert np.nanmedian(error[layers["truth_dsm"] == 12]) == pytest.approx(0, abs=1)


def test_terrain_only_is_the_land_alone(tmp_path: Path) -> None:
    (folder,) = demiurge.simulate(tmp_path / "s", config=SMALL, terrain_only=True)
    opened = demiurge.open_scene(folder)
    assert set(opened.layers) == {"dtm", "valid"}
    heights = opened.read(layers=["dtm"])[0]
    assert 10 < np.ptp(heights) < 200


def test_varied_sites_differ_in_light_and_views_but_not_in_what_is_asked_for(
    tmp_path: Path,
) -> None:
    config = {"size": 64, "light": {"elevation": 40}}
    folders = demiurge.simulate(tmp_path / "s", config=config, sites=3, seed=1, vary=True)
    noted = [yaml.safe_load((f / "simulation.yaml").read_text())["settings"] for f in folders]
    assert len({n["light"]["azimuth"] for n in noted}) == 3
    assert {n["light"]["elevation"] for n in noted} == {40}
    assert {n["size"] for n in noted} == {64}
    spans = [n["sensor"]["incidence"][1] - n["sensor"]["incidence"][0] for n in noted]
    assert all(10 <= s <= 40 for s in spans)
    assert len(set(spans)) == 3


@pytest.mark.parametrize("family", ["stereo", "optical"])
def test_all_that_is_drawn_is_sound(family: str) -> None:
    make = make_stereo_settings if family == "stereo" else make_optical_settings
    for seed in range(200):
        make(varied(family, np.random.default_rng(seed)), family)
