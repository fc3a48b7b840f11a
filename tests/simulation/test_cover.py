"""Land cover of stereo and optical worlds."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from demiurge.simulation.classes import BUILDING, CROPS, FOREST, ROAD, SNOW, WATER
from demiurge.simulation.cover import build_stereo_world
from demiurge.simulation.land import BareEarth, make_heights
from demiurge.simulation.settings import CoverSettings


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
