import numpy as np
import pytest
from scipy import ndimage

from conftest import terrain
from demiurge.raster.morphology import opening, smooth_opening


@pytest.mark.parametrize("side", [1, 2, 3, 8, 13, 40])
@pytest.mark.parametrize("shape", [(50, 60), (33, 5)])
def test_the_opening_equals_that_of_scipy(side: int, shape: tuple[int, int]) -> None:
    heights = terrain(*shape) + np.random.default_rng(0).random(shape).astype(np.float32)
    size = max(side, 1) // 2 * 2 + 1
    lowest = ndimage.minimum_filter(heights, size, mode="constant", cval=np.inf)
    expected = ndimage.maximum_filter(lowest, size, mode="constant", cval=-np.inf)
    np.testing.assert_array_equal(opening(heights, side), expected)


def test_the_opening_removes_houses_and_keeps_hills() -> None:
    rows, _ = np.mgrid[:120, :120].astype(np.float32)
    hill = 0.1 * rows
    surface = hill.copy()
    surface[40:55, 60:80] += 8
    ground = opening(surface, 31)
    assert np.abs(ground - hill)[20:-20, 20:-20].max() < 3.2
    assert (ground <= surface).all()
    assert np.abs(ground - hill)[47, 70] < 3.2


@pytest.mark.parametrize("side", [1, 6, 20, 41])
def test_smoothing_removes_steps_and_keeps_slopes(side: int) -> None:
    rows, columns = np.mgrid[:160, :160].astype(np.float32)
    plane = 0.3 * rows - 0.1 * columns
    inside = (slice(60, -60), slice(60, -60))
    np.testing.assert_allclose(
        smooth_opening(plane, side)[inside], opening(plane, side)[inside], atol=1e-3
    )
    noisy = plane + np.random.default_rng(0).normal(0, 1, plane.shape).astype(np.float32)
    kinks = [np.abs(np.diff(f(noisy, side), 2)).max() for f in (opening, smooth_opening)]
    assert kinks[1] < 0.5 * kinks[0]


def test_smoothing_is_symmetric() -> None:
    heights = np.random.default_rng(0).normal(size=(64, 80)).astype(np.float32)
    result = smooth_opening(heights, 20)
    assert result.shape == heights.shape
    np.testing.assert_allclose(smooth_opening(heights[::-1], 20)[::-1], result, atol=1e-5)
    np.testing.assert_allclose(smooth_opening(heights.T, 20).T, result, atol=1e-5)
