import numpy as np
import pytest
from scipy import ndimage

from conftest import terrain
from demiurge.model.ground import opening


@pytest.mark.parametrize("side", [1, 2, 3, 8, 13, 40])
@pytest.mark.parametrize("shape", [(50, 60), (33, 5)])
def test_it_is_the_opening_that_scipy_knows(side: int, shape: tuple[int, int]) -> None:
    heights = terrain(*shape) + np.random.default_rng(0).random(shape).astype(np.float32)
    size = max(side, 1) // 2 * 2 + 1
    lowest = ndimage.minimum_filter(heights, size, mode="constant", cval=np.inf)
    expected = ndimage.maximum_filter(lowest, size, mode="constant", cval=-np.inf)
    np.testing.assert_array_equal(opening(heights, side), expected)


def test_houses_go_and_hills_stay() -> None:
    rows, _ = np.mgrid[:120, :120].astype(np.float32)
    hill = 0.1 * rows
    surface = hill.copy()
    surface[40:55, 60:80] += 8
    ground = opening(surface, 31)
    assert np.abs(ground - hill)[20:-20, 20:-20].max() < 3.2
    assert (ground <= surface).all()
    assert np.abs(ground - hill)[47, 70] < 3.2
