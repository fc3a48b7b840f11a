from __future__ import annotations

import numpy as np
import pytest

from demiurge.raster.visibility import hidden


def test_a_wall_hides_pixels_in_proportion_to_its_height() -> None:
    heights = np.zeros((5, 40), np.float32)
    heights[:, 20] = 10
    # The sensor is in the east: a metre of height displaces the image half a pixel westward.
    result = hidden(heights, (0.0, -0.5))
    assert result[2].nonzero()[0].tolist() == [16, 17, 18, 19]
    # With the sensor in the west, the other side is hidden.
    assert hidden(heights, (0.0, 0.5))[2].nonzero()[0].tolist() == [21, 22, 23, 24]


def test_a_diagonal_line_of_sight_is_followed() -> None:
    heights = np.zeros((40, 40), np.float32)
    heights[20, 20] = 20
    result = hidden(heights, (0.5, 0.5))  # the sensor is up and left
    rows, cols = result.nonzero()
    assert rows.size > 5
    assert (np.abs(rows - cols) <= 1).all()
    assert 20 <= rows.min() <= 21
    assert 27 <= rows.max() <= 30


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.9])
def test_a_slope_below_the_line_of_sight_hides_nothing(slope: float) -> None:
    heights = np.tile(np.arange(50, dtype=np.float32) * slope, (10, 1))
    assert not hidden(heights, (0.0, -0.5), slack=0.01).any()  # rises 2 m per pixel


def test_a_slope_above_the_line_of_sight_hides_itself() -> None:
    heights = np.tile(np.arange(50, dtype=np.float32) * 2.5, (10, 1))
    assert hidden(heights, (0.0, -0.5))[:, :-1].all()


def test_a_nadir_view_sees_all_pixels() -> None:
    heights = np.random.default_rng(0).uniform(0, 100, (20, 20)).astype(np.float32)
    assert not hidden(heights, (0.0, 0.0)).any()
