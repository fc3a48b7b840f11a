"""Gross outliers are detected; towers, cliffs, walls and canyons are not."""

import numpy as np
import pytest

from conftest import terrain
from demiurge.raster.outliers import MARGIN, gross_outliers


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("side", "height"), [(1, 5000.0), (1, 500.0), (7, 1500.0), (24, 1500.0)])
def test_specks_and_blobs_are_detected(side: int, height: float, sign: int) -> None:
    heights = terrain(200, 200)
    wrong = np.zeros(heights.shape, bool)
    wrong[90 : 90 + side, 60 : 60 + side] = True
    heights[wrong] += sign * height
    np.testing.assert_array_equal(gross_outliers(heights, 0.5), wrong)


def test_resampled_flanks_belong_to_the_outlier() -> None:
    heights = terrain(120, 120)
    heights[50:53, 50:53] += 250.0
    heights[51, 51] += 4000.0
    expected = np.zeros(heights.shape, bool)
    expected[50:53, 50:53] = True
    np.testing.assert_array_equal(gross_outliers(heights, 0.5), expected)


def test_an_outlier_among_voids_is_detected() -> None:
    heights = terrain(120, 120)
    heights[45:60, 45:60] = np.nan
    heights[50:55, 50:55] = 1700.0
    result = gross_outliers(heights, 0.5)
    assert result[50:55, 50:55].all()
    assert result.sum() == 25


def test_real_objects_are_not_outliers() -> None:
    rows, columns = np.mgrid[:240, :240]
    ground = terrain(240, 240)
    disc = np.hypot(rows - 120, columns - 120)
    forms = {
        "cliff": np.where(columns > 120, 800.0, 0.0),
        "cliff at an angle": np.where(columns + 0.37 * rows > 160, 800.0, 0.0),
        "mesa": np.where(disc < 60, 800.0, 0.0),
        "canyon": np.where(np.abs(columns - 120 - 10 * np.sin(rows / 20)) < 4, -800.0, 0.0),
        "wall": np.where(np.abs(columns - 120) < 3, 600.0, 0.0),
        "tower of 302 m": np.where(disc < 8, 186.0, 0.0) + np.where(disc < 1, 116.0, 0.0),
        "skyscraper of 541 m": np.where(
            np.maximum(abs(rows - 120), abs(columns - 120)) < 15, 541, 0
        ),
    }
    for name, form in forms.items():
        for gsd in (0.5, 1.0, 2.0):
            result = gross_outliers((ground + form).astype(np.float32), gsd)
            assert not result.any(), f"{name} at {gsd} m"


def test_the_result_depends_on_no_pixel_beyond_the_margin() -> None:
    rng = np.random.default_rng(0)
    heights = terrain(400, 400)
    for row, column in rng.integers(0, 390, (40, 2)):
        side = int(rng.integers(1, 10))
        heights[row : row + side, column : column + side] += rng.choice([-2000.0, 2000.0, 3000.0])
    full = gross_outliers(heights, 0.5)
    assert full.any()
    part = (slice(128, 192), slice(160, 224))
    around = tuple(slice(s.start - MARGIN, s.stop + MARGIN) for s in part)
    inner = slice(MARGIN, MARGIN + 64)
    np.testing.assert_array_equal(gross_outliers(heights[around], 0.5)[inner, inner], full[part])
