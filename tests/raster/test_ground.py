"""Bare earth under large roofs."""

import numpy as np
import pytest

from demiurge.raster import ground

GSD = 1.0


def town() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A slope and a flat hall of 60 m, under which the ground is 6 m too high and uncertain."""
    x = np.mgrid[:256, :256].astype(np.float32)[1]
    earth = 100 + 0.05 * x
    surface, predicted = earth.copy(), earth.copy()
    deviation = np.full(earth.shape, 0.3, np.float32)
    hall = (slice(90, 150), slice(90, 150))
    surface[hall] = 125
    predicted[hall] += 6
    deviation[hall] = 4
    return surface, predicted, deviation


def test_only_uncertain_ground_near_large_roofs_is_in_the_zone() -> None:
    surface, earth, deviation = town()
    zone = ground.under_roofs(surface, earth, deviation, GSD)
    assert zone[120, 120]
    assert not zone[20, 20]
    assert not ground.under_roofs(surface, earth, np.minimum(deviation, 1), GSD).any()


def test_rough_canopy_is_no_roof() -> None:
    surface, earth, deviation = town()
    surface[90:150, 90:150] += np.random.default_rng(0).normal(0, 3, (60, 60)).astype(np.float32)
    assert not ground.under_roofs(surface, earth, deviation, GSD).any()


def test_reliable_ground_keeps_its_heights() -> None:
    surface, earth, deviation = town()
    zone = ground.under_roofs(surface, earth, deviation, GSD)
    weight = ground.weights(earth, deviation, zone)
    assert (weight[~zone] == 1).all()
    assert weight[120, 120] < 1e-4
    levels = ground.gather(earth.astype(np.float64), weight)
    coarse = ground.complete(*levels[-1])
    filled = ground.spread(levels, coarse)
    np.testing.assert_array_equal(filled[~zone], earth[~zone])
    truth = 100 + 0.05 * 120
    assert abs(filled[120, 120] - truth) < 1
    assert earth[120, 120] - truth == pytest.approx(6, abs=1e-3)


def test_no_ground_at_all_stays_void() -> None:
    nothing = np.zeros((32, 32))
    assert (ground.complete(nothing, nothing) == 0).all()
