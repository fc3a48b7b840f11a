"""Optical scenes: bands, light, the prior."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from demiurge.simulation.classes import (
    BANDS,
    DIFFUSE_SHARE,
    FOREST,
    GRASS,
    HAZE_REFLECTANCE,
    NATIVE_GSD,
    SPECTRA,
    WATER,
)
from demiurge.simulation.landscape import OpticalWorld
from demiurge.simulation.optical import MARGIN, OpticalLayers, make_prior, simulate_optical
from demiurge.simulation.settings import PriorSettings, make_optical_settings
from demiurge.simulation.styles import OPTICAL


def scene(style: str = "hills", seed: int = 1, **over: Any) -> OpticalLayers:
    settings = make_optical_settings({**OPTICAL[style], "size": 256, **over}, style)
    return simulate_optical(settings, np.random.default_rng(seed))


@pytest.mark.parametrize("style", list(OPTICAL))
def test_every_style_makes_valid_layers(style: str) -> None:
    layers = scene(style).layers
    assert {"blue", "green", "red", "nir", "truth_dtm", "landcover"} == set(layers)
    for name, plane in layers.items():
        assert plane.shape == (256, 256), name
        assert np.isfinite(plane).all(), name
    for name in ("blue", "green", "red", "nir"):
        assert 50 < np.median(layers[name]) < 6000, name


def test_seed_decides_the_optical_scene() -> None:
    a, b, c = scene(seed=5), scene(seed=5), scene(seed=6)
    for name, plane in a.layers.items():
        np.testing.assert_array_equal(plane, b.layers[name])
    np.testing.assert_array_equal(a.coarse["dem_prior"].values, b.coarse["dem_prior"].values)
    assert not np.array_equal(a.layers["truth_dtm"], c.layers["truth_dtm"])


def test_tables_cover_every_band() -> None:
    assert all(len(look) == len(BANDS) for pair in SPECTRA.values() for look in pair)
    assert set(DIFFUSE_SHARE) == set(HAZE_REFLECTANCE) == set(NATIVE_GSD) == set(BANDS)
    assert all(0 < v < 1 for pair in SPECTRA.values() for look in pair for v in look)


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


def test_prior_follows_its_settings() -> None:
    side = 240 + 2 * MARGIN
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    plane = 100 + 0.2 * columns + 0.5 * rows  # metres per pixel of 10 m
    bare = np.full((side, side), GRASS, np.uint8)
    world = OpticalWorld(plane, bare, np.zeros_like(plane), np.ones_like(plane))
    exact = PriorSettings(gsd=30, noise=0, shift=0)
    prior = make_prior(world, 10.0, exact, np.random.default_rng(0))
    assert (prior.gsd, prior.corner) == (30, (-60, -60))
    # The centre of the first cell lies 45 m west and north of the scene's corner.
    first = 100 + (0.2 + 0.5) * (MARGIN - 0.5 - 4.5)
    assert prior.values[0, 0] == pytest.approx(first, abs=0.01)
    assert prior.values[10, 20] - prior.values[0, 0] == pytest.approx(0.2 * 60 + 0.5 * 30, abs=0.01)
    noisy = make_prior(world, 10.0, PriorSettings(noise=2, shift=0), np.random.default_rng(0))
    assert (noisy.values - prior.values).std() == pytest.approx(2 * (1 + 3 * 0.054), rel=0.15)
    moved = make_prior(world, 10.0, PriorSettings(noise=0, shift=1), np.random.default_rng(1))
    assert 0.01 < abs(float(np.median(moved.values - prior.values))) < 3 * 0.7


def test_forest_raises_the_prior() -> None:
    side = 120 + 2 * MARGIN
    flat = np.zeros((side, side), np.float32)
    woods = np.full((side, side), FOREST, np.uint8)
    quiet = PriorSettings(noise=0, shift=0, canopy=0.5)
    prior = make_prior(
        OpticalWorld(flat, woods, flat, flat + 1), 10.0, quiet, np.random.default_rng(0)
    )
    np.testing.assert_allclose(prior.values, 9.0, atol=0.01)
