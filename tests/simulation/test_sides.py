"""Snow, moisture and forest lie on the shaded side; suns follow from latitude."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from demiurge.simulation.classes import FOREST, SNOW
from demiurge.simulation.land import BareEarth
from demiurge.simulation.landscape import build_optical_world, describe_relief, soil_moisture
from demiurge.simulation.settings import LandscapeSettings
from demiurge.simulation.styles import draw_sun, varied


def ridge(lowest: float) -> BareEarth:
    """A ridge from west to east: the upper half faces north, the lower half south."""
    rows = np.abs(np.arange(240, dtype=np.float32) - 119.5)
    heights = np.repeat((lowest + 3 * (120 - rows))[:, None], 240, axis=1).astype(np.float32)
    none = np.zeros(heights.shape, bool)
    return BareEarth(heights, none, none, none)


def north_less_south(number: int, lowest: float, latitude: float, seed: int) -> float:
    """Share of a class on the slope that faces north less that on the other."""
    settings = LandscapeSettings(
        latitude=latitude, water=0, town=0, crops=0, forest=0.4, snowline=2700, roads=0
    )
    world = build_optical_world(ridge(lowest), 10, settings, np.random.default_rng(seed))
    there = world.landcover == number
    assert 0.1 < there.mean() < 0.9
    return float(there[:120].mean() - there[120:].mean())


@pytest.mark.parametrize(("number", "lowest"), [(SNOW, 2500.0), (FOREST, 300.0)])
def test_snow_and_forest_lie_on_poleward_slopes(number: int, lowest: float) -> None:
    # The same land in both hemispheres: its random part cancels.
    for seed in range(4):
        northern, southern = (north_less_south(number, lowest, x, seed) for x in (45.0, -45.0))
        assert northern - southern > 0.1, seed


@pytest.mark.parametrize("latitude", [45.0, -45.0])
def test_poleward_slopes_are_moist(latitude: float) -> None:
    land = ridge(300)
    flat = np.zeros_like(land.heights)
    settings = LandscapeSettings(latitude=latitude)
    relief = describe_relief(land.heights, 10, settings)
    moisture = soil_moisture(relief, flat, settings, flat, np.random.default_rng(0))
    difference = moisture[20:100].mean() - moisture[140:220].mean()
    assert difference * np.sign(latitude) == pytest.approx(0.15, abs=0.01)


def suns(latitude: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = [draw_sun(rng, latitude) for _ in range(600)]
    return np.array([s["azimuth"] for s in drawn]), np.array([s["elevation"] for s in drawn])


def test_suns_stand_where_they_do_at_each_latitude() -> None:
    for latitude in (-50, -35):
        assert (np.cos(np.radians(suns(latitude)[0])) > 0).mean() > 0.95
    for latitude in (35, 50):
        assert (np.cos(np.radians(suns(latitude)[0])) < 0).mean() > 0.95
    tropics = np.cos(np.radians(suns(0)[0]))
    assert 0.3 < (tropics > 0).mean() < 0.7
    azimuth, elevation = suns(50)
    assert elevation.min() >= 20
    assert 0.6 < (azimuth < 180).mean() < 0.9, "most satellites cross in the morning"


def test_every_sector_of_azimuth_occurs() -> None:
    lights = [varied("optical", np.random.default_rng(s))["light"] for s in range(1500)]
    counts = np.histogram([light["azimuth"] for light in lights], 12, (0, 360))[0]
    assert counts.min() > 5


def test_a_stated_latitude_decides_the_sun() -> None:
    drawn = varied("optical", np.random.default_rng(1), -40.0)
    assert drawn["landscape"]["latitude"] == -40
    assert np.cos(np.radians(drawn["light"]["azimuth"])) > 0
