"""Triangulation, its error, and gridding of points."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage
from textures import textured

from conftest import terrain as hills
from demiurge.simulation.settings import GriddingSettings
from demiurge.simulation.triangulation import grid_points, triangulate, triangulation_error


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_triangulation_inverts_the_projection() -> None:
    heights = hills(30, 120) - 100
    coarse = ndimage.gaussian_filter(heights, 8)
    left, right = -0.4, 0.35
    columns = np.broadcast_to(np.arange(120, dtype=np.float64), heights.shape)

    def on_map(slant: float) -> np.ndarray:
        x = columns + 0.0
        for _ in range(50):
            rows = np.broadcast_to(np.arange(30)[:, None], x.shape)
            there = ndimage.map_coordinates(coarse, [rows, x], order=1, mode="nearest")
            x = columns + slant * (heights - there)
        return x

    x_left, x_right = on_map(left), on_map(right)
    disparity = np.full(heights.shape, np.nan, np.float32)
    expected = np.full(heights.shape, np.nan, np.float32)
    for r in range(30):
        disparity[r] = np.interp(columns[r], x_left[r], x_left[r] - x_right[r])
        expected[r] = np.interp(columns[r], x_left[r], heights[r])
    _, computed = triangulate(disparity, coarse, left, right)
    np.testing.assert_allclose(computed[:, 15:-15], expected[:, 15:-15], atol=0.05)


def test_triangulation_error_grows_with_displaced_rows() -> None:
    image = textured((80, 120), 5)
    level = np.zeros(image.shape, np.float32)
    miss = [
        float(
            np.nanmedian(
                triangulation_error(image, ndimage.shift(image, (d, 0), order=3), level, 0.5)
            )
        )
        for d in (0.0, 0.3, 0.6)
    ]
    assert miss[0] < miss[1] < miss[2]
    torn = level.copy()
    torn[5, 5] = np.nan
    assert np.isnan(triangulation_error(image, image, torn, 0.5)[5, 5])


def test_points_are_averaged_by_distance_and_gaps_stay_void() -> None:
    columns = np.array([0.0, 1.0, 1.0, 2.5, 0.0], np.float32)
    rows = np.zeros(5, np.float32)
    heights = np.array([5.0, 6.0, 8.0, 10.0, np.nan], np.float32)
    (out,) = grid_points(columns, rows, [heights], 5, GriddingSettings())
    np.testing.assert_allclose(out[0], [5, 7, 10, 10, np.nan])
    assert np.isnan(out[1:]).all()


def test_gridding_methods() -> None:
    columns = np.array([2.0, 2.4], np.float32)
    rows = np.array([2.0, 2.0], np.float32)
    heights, miss = np.array([5.0, 9.0], np.float32), np.array([0.1, 0.3], np.float32)
    results = {}
    for way in ("gaussian", "nearest", "highest"):
        settings = GriddingSettings.model_validate({"way": way})
        height, error = grid_points(columns, rows, [heights, miss], 5, settings)
        results[way] = (float(height[2, 2]), float(error[2, 2]))
    assert results["nearest"] == pytest.approx((5, 0.1))
    assert results["highest"] == pytest.approx((9, 0.3))
    assert 5 < results["gaussian"][0] < 7


def test_outliers_are_removed_and_small_holes_filled() -> None:
    rows, columns = (v.astype(np.float32) for v in np.mgrid[:20, :20])
    heights = rng().normal(0, 0.1, (20, 20)).astype(np.float32)
    heights[5, 5] = 30
    heights[12:14, 12:14] = np.nan
    (plain,) = grid_points(columns, rows, [heights], 20, GriddingSettings())
    assert plain[5, 5] == 30
    assert np.isnan(plain).sum() == 4
    (cleaned,) = grid_points(columns, rows, [heights], 20, GriddingSettings(outliers=8, fill=2))
    assert np.isfinite(cleaned).all()
    assert np.abs(cleaned).max() < 1
