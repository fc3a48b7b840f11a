"""Orientations that bring the sun to its canonical side."""

import numpy as np
import pytest

from demiurge.raster.orientation import ORIENTATIONS, canonical, unit_vector


@pytest.mark.parametrize("azimuth", [0, 10, 45, 80, 100, 135, 150, 180, 200, 250, 300, 350, 359.7])
def test_the_sun_comes_to_the_south_south_east(azimuth: float) -> None:
    orientation, folded = canonical(azimuth)
    assert 135 <= folded <= 180
    # A bright pixel towards the sun moves as the sun does.
    planes = np.zeros((1, 201, 201), np.float32)
    right, up, _ = 100 * unit_vector(azimuth, 0)
    planes[0, round(100 - up), round(100 + right)] = 1
    _, row, col = np.argwhere(orientation.apply(planes))[0]
    found = np.degrees(np.arctan2(col - 100, 100 - row)) % 360
    assert found == pytest.approx(folded, abs=0.5)
    np.testing.assert_allclose(
        orientation.undo_vector(unit_vector(folded, 40)), unit_vector(azimuth, 40), atol=1e-8
    )


def test_every_orientation_occurs_once() -> None:
    found = {canonical(azimuth)[0] for azimuth in range(22, 360, 45)}
    assert found == set(ORIENTATIONS[8])


def test_the_canonical_side_stays() -> None:
    for azimuth in (135.0, 149.3, 180.0):
        assert canonical(azimuth) == (ORIENTATIONS[1][0], azimuth)


def test_turned_suns_have_equal_canonical_azimuths() -> None:
    assert {canonical(a)[1] for a in (149.3, 329.3, 59.3, 239.3, 360 - 149.3, 30.7)} == {149.3}
