"""Land cover of optical scenes: what lies high, low, steep and gentle; water, roads, brightness."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from demiurge.arrays import Array
from demiurge.simulation.classes import BUILDING, CROPS, FOREST, GRASS, ROCK, SNOW, WATER
from demiurge.simulation.filters import slope_tangent
from demiurge.simulation.land import BareEarth, make_heights
from demiurge.simulation.landscape import OpticalWorld, build_optical_world
from demiurge.simulation.roads import trace_roads
from demiurge.simulation.settings import LandscapeSettings


def bare_earth(heights: Array) -> BareEarth:
    none = np.zeros(heights.shape, bool)
    return BareEarth(heights, none, none, none)


def world(seed: int, **settings: Any) -> OpticalWorld:
    """Cover on eroded hills of 300 m over 3 km."""
    rng = np.random.default_rng(seed)
    land = bare_earth(make_heights((300, 300), 300.0, 0.95, 10, rng))
    return build_optical_world(land, 10.0, LandscapeSettings(**settings), rng)


def ranks(heights: Array) -> Array:
    return np.asarray(np.argsort(np.argsort(heights.ravel())).reshape(heights.shape) / heights.size)


def test_cover_follows_height_slope_and_water() -> None:
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    heights = (rows * 12).astype(np.float32)  # north is low, south is high, slope 1.2 at the end
    heights[:60] = 0.2 * columns[:60]
    none = np.zeros((300, 300), bool)
    water = none.copy()
    water[:60, :10] = True
    heights[200:] = 2800 + 3 * (rows[200:] - 200)
    settings = LandscapeSettings(
        forest=0.3, crops=0.1, town=0, water=0, dry=0, treeline=1900, snowline=2700
    )
    made = build_optical_world(BareEarth(heights, water, none, none), 20.0, settings, rng)
    assert (made.landcover[water] == WATER).all()
    crops = made.landcover == CROPS
    assert 0.05 < crops.mean() < 0.15
    assert slope_tangent(heights, 20.0)[crops].max() < 0.25
    trees = made.landcover == FOREST
    assert 0.1 < trees.mean() < 0.35
    assert heights[trees].max() < 1900 + 200, "the limit is ragged"
    assert (made.landcover[220:] == SNOW).mean() > 0.5
    assert not (made.landcover[:60] == SNOW).any()


def test_forest_climbs_and_people_live_low_on_gentle_ground() -> None:
    high: dict[int, list[float]] = {FOREST: [], CROPS: [], BUILDING: []}
    steep: dict[int, list[float]] = {FOREST: [], CROPS: [], BUILDING: []}
    for seed in range(8):
        made = world(seed, forest=0.35, crops=0.25, town=0.03)
        rank, slope = ranks(made.heights), slope_tangent(made.heights, 10.0)
        for number, ranked in high.items():
            here = made.landcover == number
            ranked.append(float(rank[here].mean()))
            steep[number].append(float(slope[here].mean() / slope.mean()))
    assert 0.5 < np.mean(high[FOREST]) < 0.75
    assert np.mean(high[CROPS]) < 0.45
    assert np.mean(high[BUILDING]) < 0.45
    assert np.mean(steep[FOREST]) > 1.05
    assert np.mean(steep[CROPS]) < 0.85
    assert np.mean(steep[BUILDING]) < 0.9
    # Chance decides much: some scene has forest in the lower half.
    assert np.std(high[FOREST]) > 0.03


def test_shares_place_the_limits_of_forest_and_snow_in_any_relief() -> None:
    made = world(3, bare=0.4, snow=0.1, forest=0.6, crops=0, town=0, roads=0)
    rank = ranks(made.heights)
    trees = made.landcover == FOREST
    assert trees.any()
    assert (trees & (rank > 0.75)).sum() < 0.06 * trees.sum(), "the limit is ragged"
    snow = made.landcover == SNOW
    assert 0.03 < snow.mean() < 0.2
    assert rank[snow].mean() > 0.85
    none = world(3, forest=0.6, crops=0, town=0)
    assert not (none.landcover == SNOW).any()


def test_river_beds_are_dry_in_part() -> None:
    heights = np.repeat(np.arange(200, dtype=np.float32)[:, None], 200, axis=1)
    none = np.zeros(heights.shape, bool)
    river = none.copy()
    river[:, 95:105] = True
    land = BareEarth(heights, river, none, none)
    for dry, low, high in ((0.0, 0, 0), (0.5, 0.05, 0.95), (1.0, 0.95, 1)):
        settings = LandscapeSettings(dry=dry, water=0, roads=0)
        cover = build_optical_world(land, 10.0, settings, np.random.default_rng(1)).landcover
        assert low <= float((cover[river] == ROCK).mean()) <= high
        assert set(np.unique(cover[river])) <= {ROCK, WATER}


def test_roads_lie_in_valleys_and_reach_the_edge() -> None:
    rows, columns = np.mgrid[:200, :200].astype(np.float32)
    valley = 0.5 * rows + 2 * np.abs(columns - 100)  # falls northward, floor at column 100
    road = trace_roads(np.asarray(valley, np.float32), 10.0, 3, np.random.default_rng(0))
    assert 50 < road.sum() < 3000
    assert np.median(np.abs(np.argwhere(road)[:, 1] - 100)) < 25
    assert road[:8].any()


def test_contrast_varies_the_brightness_within_classes() -> None:
    deviations = []
    for contrast in (0.05, 0.3):
        made = world(4, contrast=contrast, crops=0, town=0)
        deviations.append(float(np.log(made.shade[made.landcover == GRASS]).std()))
    np.testing.assert_allclose(deviations, (0.05 * 0.87, 0.3 * 0.87), rtol=0.25)
