"""Means of blocks."""

import numpy as np

from demiurge.raster.resample import block_means


def test_block_means_ignore_no_data() -> None:
    heights = np.arange(16, dtype=np.float32).reshape(4, 4)
    heights[0, 0] = np.nan
    heights[2:, 2:] = np.nan
    means = block_means(heights, 2)
    np.testing.assert_allclose(means, [[(1 + 4 + 5) / 3, 4.5], [10.5, np.nan]])


def test_blocks_at_the_edges_may_be_smaller() -> None:
    heights = np.arange(15, dtype=np.float32).reshape(3, 5)
    np.testing.assert_allclose(block_means(heights, 2), [[3, 5, 6.5], [10.5, 12.5, 14]])
