"""The parts of the demonstration that compute."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from conftest import terrain
from demiurge.demo.figure import hillshade
from demiurge.demo.jacksboro import degrade
from demiurge.demo.rocky import block_means


def test_block_means_leave_no_data_out() -> None:
    heights = np.arange(16, dtype=np.float32).reshape(4, 4)
    heights[0, 0] = np.nan
    heights[2:, 2:] = np.nan
    means = block_means(heights, 2)
    np.testing.assert_allclose(means, [[(1 + 4 + 5) / 3, 4.5], [10.5, np.nan]])


def test_light_comes_from_the_north_west() -> None:
    rows, columns = np.mgrid[:20, :20]
    facing = hillshade((rows + columns).astype(np.float32) * 10, 20)
    away = hillshade(-(rows + columns).astype(np.float32) * 10, 20)
    flat = hillshade(np.zeros((20, 20), np.float32), 20)
    assert facing[10, 10] > flat[10, 10] > away[10, 10]


def test_degradation_is_synthetic_but_of_the_right_size() -> None:
    truth = terrain(200, 200)
    initial, told = degrade(truth, np.random.default_rng(0))
    assert 0.02 < np.isnan(initial).mean() < 0.25
    error = np.abs(initial - truth)
    assert 2 < np.nanmean(error) < 30
    known = np.isfinite(error)
    assert np.corrcoef(error[known], told[known])[0, 1] > 0.2
    again = degrade(truth, np.random.default_rng(0))
    np.testing.assert_array_equal(initial, again[0])
    other = degrade(truth, np.random.default_rng(1))
    assert not np.array_equal(initial, other[0], equal_nan=True)
