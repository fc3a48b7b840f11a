"""Scenes of one multispectral image: what covers the land, what it looks like, the prior."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("numba")
pytest.importorskip("cv2")

from rasterio.transform import from_origin

import demiurge
from demiurge.errors import ConfigError
from demiurge.simulation.classes import (
    BANDS,
    CROPS,
    DIFFUSE_SHARE,
    FOREST,
    GRASS,
    HAZE_REFLECTANCE,
    NATIVE_GSD,
    SNOW,
    SPECTRA,
    WATER,
)
from demiurge.simulation.cover import OpticalWorld, build_optical_world
from demiurge.simulation.filters import slope_tangent
from demiurge.simulation.land import BareEarth
from demiurge.simulation.optical import MARGIN, OpticalLayers, make_prior, simulate_optical
from demiurge.simulation.settings import LandscapeSettings, PriorSettings, make_optical_settings
from demiurge.simulation.styles import OPTICAL

Write = Callable[..., Path]


def scene(style: str = "hills", seed: int = 1, **over: Any) -> OpticalLayers:
    settings = make_optical_settings({**OPTICAL[style], "size": 256, **over}, style)
    return simulate_optical(settings, np.random.default_rng(seed))


@pytest.mark.parametrize("style", list(OPTICAL))
def test_every_style_makes_sound_layers(style: str) -> None:
    layers = scene(style).layers
    assert {"blue", "green", "red", "nir", "truth_dtm", "landcover"} == set(layers)
    for name, plane in layers.items():
        assert plane.shape == (256, 256), name
        assert np.isfinite(plane).all(), name
    for name in ("blue", "green", "red", "nir"):
        assert 50 < np.median(layers[name]) < 6000, name


def test_the_same_seed_gives_the_same_scene() -> None:
    a, b, c = scene(seed=5), scene(seed=5), scene(seed=6)
    for name, plane in a.layers.items():
        np.testing.assert_array_equal(plane, b.layers[name])
    np.testing.assert_array_equal(a.coarse["dem_prior"].values, b.coarse["dem_prior"].values)
    assert not np.array_equal(a.layers["truth_dtm"], c.layers["truth_dtm"])


def test_tables_name_every_band_once() -> None:
    assert all(len(look) == len(BANDS) for pair in SPECTRA.values() for look in pair)
    assert set(DIFFUSE_SHARE) == set(HAZE_REFLECTANCE) == set(NATIVE_GSD) == set(BANDS)
    assert all(0 < v < 1 for pair in SPECTRA.values() for look in pair for v in look)


def test_cover_follows_height_slope_and_water() -> None:
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    heights = (rows * 12).astype(np.float32)  # north is low, south is high, slope 1.2 at the end
    heights[:60] = 0.2 * columns[:60]
    none = np.zeros((300, 300), bool)
    water = none.copy()
    water[:60, :10] = True
    heights[200:] = 2800 + 3 * (rows[200:] - 200)
    settings = LandscapeSettings(forest=0.3, crops=0.1, town=0, water=0)
    found = build_optical_world(BareEarth(heights, water, none, none), 20.0, settings, rng)
    assert (found.landcover[water] == WATER).all()
    crops = found.landcover == CROPS
    assert 0.05 < crops.mean() < 0.15
    assert slope_tangent(heights, 20.0)[crops].max() < 0.13
    trees = found.landcover == FOREST
    assert heights[trees].max() < settings.treeline + 200, "ragged, but no higher"
    assert (found.landcover[220:] == SNOW).mean() > 0.5
    assert not (found.landcover[:60] == SNOW).any()


def test_shaded_slopes_are_darker_and_haze_brightens_blue_most() -> None:
    clear = scene(sky={"haze": 0.0}, landscape={"town": 0.0}, terrain={"steepness": 0.15})
    layers = clear.layers
    down, across = np.gradient(layers["truth_dtm"], 10.0)
    light = down * np.cos(np.radians(155.0)) - across * np.sin(np.radians(155.0))
    grass = layers["landcover"] == GRASS
    assert np.corrcoef(light[grass], layers["nir"][grass])[0, 1] > 0.4
    hazy = scene(sky={"haze": 1.0}, landscape={"town": 0.0}, terrain={"steepness": 0.15}).layers
    gain = {b: float(np.median(hazy[b] - layers[b])) for b in ("blue", "red", "nir")}
    assert gain["blue"] > 300
    assert gain["blue"] > gain["red"] > gain["nir"]


def test_plants_are_bright_in_near_infrared_and_water_dark() -> None:
    layers = scene("forest").layers
    index = (layers["nir"] - layers["red"]) / (layers["nir"] + layers["red"])
    assert np.median(index[layers["landcover"] == FOREST]) > 0.5
    assert np.median(index[layers["landcover"] == WATER]) < 0.1


def test_the_prior_is_smooth_noisy_and_shifted_as_told() -> None:
    side = 240 + 2 * MARGIN
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    plane = 100 + 0.2 * columns + 0.5 * rows  # metres per pixel of 10 m
    bare = np.full((side, side), GRASS, np.uint8)
    scape = OpticalWorld(plane, bare, np.zeros_like(plane))
    exact = PriorSettings(gsd=30, noise=0, shift=0)
    found = make_prior(scape, 10.0, exact, np.random.default_rng(0))
    assert (found.gsd, found.corner) == (30, (-60, -60))
    # The centre of the first cell lies 45 m west and north of the scene's corner.
    first = 100 + (0.2 + 0.5) * (MARGIN - 0.5 - 4.5)
    assert found.values[0, 0] == pytest.approx(first, abs=0.01)
    assert found.values[10, 20] - found.values[0, 0] == pytest.approx(0.2 * 60 + 0.5 * 30, abs=0.01)
    noisy = make_prior(scape, 10.0, PriorSettings(noise=2, shift=0), np.random.default_rng(0))
    assert (noisy.values - found.values).std() == pytest.approx(2 * (1 + 3 * 0.054), rel=0.15)
    moved = make_prior(scape, 10.0, PriorSettings(noise=0, shift=1), np.random.default_rng(1))
    assert 0.01 < abs(float(np.median(moved.values - found.values))) < 3 * 0.7


def test_forests_lift_the_prior() -> None:
    side = 120 + 2 * MARGIN
    flat = np.zeros((side, side), np.float32)
    woods = np.full((side, side), FOREST, np.uint8)
    quiet = PriorSettings(noise=0, shift=0, canopy=0.5)
    found = make_prior(OpticalWorld(flat, woods, flat), 10.0, quiet, np.random.default_rng(0))
    np.testing.assert_allclose(found.values, 9.0, atol=0.01)


def test_an_optical_scene_is_a_scene(tmp_path: Path) -> None:
    config = {"size": 128, "sensor": {"bands": ["swir1", "coastal"]}}
    (folder,) = demiurge.simulate(tmp_path / "o", family="optical", config=config, seed=2)
    opened = demiurge.open_scene(folder)
    wanted = {"blue", "green", "red", "nir", "swir1", "coastal", "dem_prior", "truth_dtm"}
    assert wanted <= set(opened.layers)
    assert opened.shape == (128, 128)
    assert opened.grid.affine.a == 10
    layers = dict(zip(opened.layers, opened.read(), strict=True))
    for name in wanted:
        assert np.isfinite(layers[name]).all(), name
    error = layers["dem_prior"] - layers["truth_dtm"]
    assert 0.3 < np.median(np.abs(error)) < 20
    # Coarser bands carry less detail.
    detail = {b: float(np.abs(np.diff(layers[b])).mean() / layers[b].mean())
              for b in ("red", "swir1", "coastal")}  # fmt: skip
    assert detail["coastal"] < detail["swir1"] < detail["red"]
    noted = yaml.safe_load((folder / "simulation.yaml").read_text())
    assert noted["settings"]["family"] == "optical"


def test_real_terrain_under_an_optical_scene(tmp_path: Path, raster: Write) -> None:
    rows, columns = np.mgrid[:200, :200]
    ramp = (500 + 0.9 * columns + 0.3 * rows).astype(np.float32)
    dem = raster("dem.tif", ramp, transform=from_origin(500000, 4000000, 30, 30))
    config = {"size": 100, "gsd": 20, "landscape": {"water": 0}}
    (folder,) = demiurge.simulate(tmp_path / "o", family="optical", config=config, terrain=dem)
    truth = demiurge.open_scene(folder).read(layers=["truth_dtm"])[0]
    down, across = np.gradient(truth, 20.0)
    assert np.median(across) == pytest.approx(0.03, abs=0.002)
    assert np.median(down) == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"gsd": 5}, "gsd"),
        ({"light": {"elevation": -1}}, "light.elevation"),
        ({"landscape": {"forest": 0.9, "crops": 0.5}}, "landscape: the shares sum to more than 1"),
        ({"sensor": {"bands": ["infrared"]}}, "sensor.bands"),
        ({"prior": {"gsd": 500}}, "prior.gsd"),
        ({"family": "stereo"}, "family"),
    ],
)
def test_impossible_settings(content: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_optical_settings(content, "simulate")
