import numpy as np

from conftest import terrain
from demiurge.raster.gaps import compress_gaps


def test_a_cliff_is_lowered_and_both_sides_keep_their_shape() -> None:
    ground = terrain(64, 64)
    high = np.zeros((64, 64), bool)
    high[:, 40:] = True
    heights = ground + np.where(high, np.float32(800), np.float32(0))
    result = compress_gaps(heights, np.ones((64, 64), bool), 20.0)
    np.testing.assert_array_equal(result[~high], heights[~high])
    lowered = (heights - result)[high]
    np.testing.assert_allclose(lowered, lowered.mean(), atol=1e-3)
    assert np.isclose(result[high].min() - result[~high].max(), 20, atol=1e-2)


def test_interpolated_heights_in_a_gap_stay_in_order() -> None:
    heights = np.repeat(np.linspace(0, 1000, 60, dtype=np.float32)[None], 60, axis=0)
    measured = np.ones((60, 60), bool)
    measured[:, 20:40] = False
    result = compress_gaps(heights, measured, 50.0)
    assert (np.diff(result, axis=1) > 0).all()
    assert result.max() < 800


def test_scenes_without_a_wide_gap_and_towers_do_not_change() -> None:
    heights = terrain(64, 64)
    measured = np.ones((64, 64), bool)
    assert compress_gaps(heights, measured, 20.0) is heights
    heights[30:33, 30:33] += 300
    assert compress_gaps(heights, measured, 20.0) is heights
    assert compress_gaps(heights, np.zeros((64, 64), bool), 20.0) is heights
