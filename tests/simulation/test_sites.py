"""Whole scenes: real errors, exact truth, reproducible."""

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
from demiurge.simulation.settings import STYLES, make_settings
from demiurge.simulation.sites import _corner
from demiurge.simulation.stereo import simulate_stereo

Write = Callable[..., Path]
SMALL = {"size": 160}


def scene(style: str, seed: int = 1) -> dict[str, np.ndarray]:
    settings = make_settings({**STYLES[style], **SMALL}, style)
    return simulate_stereo(settings, np.random.default_rng(seed)).layers


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
    assert opened.shape == (160, 160)
    assert all(f.verdict != "fault" for f in demiurge.check(opened))
    noted = yaml.safe_load((folders[1] / "simulation.yaml").read_text())
    assert noted["style"] == "hills"
    again = demiurge.simulate(tmp_path / "t", style="mixed", config=SMALL, sites=2, seed=4, jobs=2)
    np.testing.assert_array_equal(opened.read(), demiurge.open_scene(again[1]).read())


def test_sites_are_different_places() -> None:
    corners = {_corner(seed, index) for seed in range(3) for index in range(40)}
    assert len(corners) == 120
    assert len({_corner(0, i)[0] for i in range(20)}) == 20


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
    assert not (tmp_path / "s").exists()
