"""Positions of the sun against known ones."""

import pytest

from demiurge.raster.sun import sun_position


@pytest.mark.parametrize(
    ("latitude", "day", "azimuth", "elevation"),
    [
        (50.0, 172, 180, 63.44),
        (50.0, 355, 180, 16.56),
        (-40.0, 172, 0, 26.56),
        (0.0, 172, 0, 66.56),
    ],
)
def test_noon_at_the_solstices(latitude: float, day: int, azimuth: float, elevation: float) -> None:
    around, high = sun_position(latitude, day, 12)
    assert (around - azimuth + 180) % 360 == pytest.approx(180, abs=0.01)
    assert high == pytest.approx(elevation, abs=0.1)


def test_sun_rises_in_the_east_at_the_equinox_and_is_down_at_midnight() -> None:
    for latitude in (-50, 50):
        azimuth, elevation = sun_position(latitude, 80, 6)
        assert azimuth == pytest.approx(90, abs=1)
        assert elevation == pytest.approx(0, abs=1)
        assert sun_position(latitude, 80, 0)[1] < -30


def test_morning_mirrors_afternoon() -> None:
    morning, afternoon = sun_position(-20, 40, 10), sun_position(-20, 40, 14)
    assert morning[0] == pytest.approx(360 - afternoon[0])
    assert morning[1] == pytest.approx(afternoon[1])
