"""Land cover of stereo and optical worlds."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from demiurge.simulation.classes import BUILDING, CROPS, FOREST, ROAD, SNOW, WATER
from demiurge.simulation.cover import build_optical_world, build_stereo_world
from demiurge.simulation.filters import slope_tangent
from demiurge.simulation.land import BareEarth, make_heights
from demiurge.simulation.settings import CoverSettings, LandscapeSettings


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_objects_stand_on_the_bare_earth() -> None:
    settings = CoverSettings(forest=0.3, town=0.3, water=0.05)
    none = np.zeros((400, 400), bool)
    land = BareEarth(make_heights((400, 400), 10.0, 1.1, 5, rng(3)), none, none, none)
    world = build_stereo_world(land, 0.5, settings, rng(3))
    above = world.dsm - world.dtm
    assert above.min() > -1.0
    for number, low in ((FOREST, 3.0), (BUILDING, 2.0)):
        here = world.landcover == number
        assert here.sum() > 500
        assert np.median(above[here]) > low
    for number in (ROAD, WATER):
        here = world.landcover == number
        assert here.sum() > 100
        np.testing.assert_allclose(above[here], 0, atol=1e-4)
    wet = world.dtm[world.landcover == WATER]
    assert np.ptp(wet) == 0, "water is level"
    assert world.ndvi is not None
    assert world.ndvi[world.landcover == FOREST].mean() > 0.6


def test_fields_have_uniform_brightness_and_hedges_between() -> None:
    none = np.zeros((300, 300), bool)
    flat = BareEarth(np.zeros((300, 300), np.float32), none, none, none)
    quiet = {"forest": 0.0, "town": 0.0, "water": 0.0, "single_trees": 0.0}
    bare = build_stereo_world(flat, 1.0, CoverSettings(crops=0.9, hedges=False, **quiet), rng(6))
    assert (bare.landcover == CROPS).mean() > 0.8
    assert np.ptp(bare.dsm) == 0
    # Brightness varies more between fields than within them.
    parts = bare.albedo[:296, :296].reshape(37, 8, 37, 8).transpose(0, 2, 1, 3).reshape(37, 37, -1)
    assert parts.mean(axis=2).std() > 1.5 * np.median(parts.std(axis=2))
    hedged = build_stereo_world(flat, 1.0, CoverSettings(crops=0.9, **quiet), rng(6))
    tall = hedged.landcover == FOREST
    assert 0.005 < tall.mean() < 0.15
    assert 1 < np.median(hedged.dsm[tall]) < 5


def test_snow_is_bright_and_has_no_trees() -> None:
    white = np.ones((200, 200), bool)
    land = BareEarth(np.zeros((200, 200), np.float32), ~white, ~white, white)
    world = build_stereo_world(land, 1.0, CoverSettings(forest=1.0, town=0, water=0), rng(7))
    assert (world.landcover == SNOW).all()
    assert world.albedo.min() > 0.6


def test_optical_cover_follows_height_slope_and_water() -> None:
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    heights = (rows * 12).astype(np.float32)  # north is low, south is high, slope 1.2 at the end
    heights[:60] = 0.2 * columns[:60]
    none = np.zeros((300, 300), bool)
    water = none.copy()
    water[:60, :10] = True
    heights[200:] = 2800 + 3 * (rows[200:] - 200)
    settings = LandscapeSettings(forest=0.3, crops=0.1, town=0, water=0)
    world = build_optical_world(BareEarth(heights, water, none, none), 20.0, settings, rng)
    assert (world.landcover[water] == WATER).all()
    crops = world.landcover == CROPS
    assert 0.05 < crops.mean() < 0.15
    assert slope_tangent(heights, 20.0)[crops].max() < 0.13
    trees = world.landcover == FOREST
    assert heights[trees].max() < settings.treeline + 200, "the limit is ragged"
    assert (world.landcover[220:] == SNOW).mean() > 0.5
    assert not (world.landcover[:60] == SNOW).any()
