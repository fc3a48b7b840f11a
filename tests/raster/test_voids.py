import numpy as np
import pytest

from conftest import terrain
from demiurge.raster.voids import enclosed, fill_voids


def test_measured_pixels_do_not_change() -> None:
    heights = terrain()
    heights[30:90, 40:120] = np.nan
    known = np.isfinite(heights)
    filled = fill_voids(heights)
    np.testing.assert_array_equal(filled[known], heights[known])
    assert np.isfinite(filled).all()
    assert np.isnan(heights[50, 50]), "the input is left alone"


def test_a_plane_is_interpolated_into_a_hole() -> None:
    rows, columns = np.mgrid[:128, :128]
    plane = (2000 + 0.5 * columns - 0.2 * rows).astype(np.float32)
    torn = plane.copy()
    torn[50:70, 60:80] = np.nan
    assert np.abs(fill_voids(torn) - plane).max() < 3.0
    mean = np.where(np.isnan(torn), np.nanmean(torn), torn)
    assert np.abs(fill_voids(torn) - plane).mean() < 0.2 * np.abs(mean - plane).mean()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (33, 17), (64, 64)])
def test_any_shape_and_one_measured_pixel(shape: tuple[int, int]) -> None:
    heights = np.full(shape, np.nan, np.float32)
    assert (fill_voids(heights) == 0).all()
    heights[-1, -1] = 4807.0
    np.testing.assert_allclose(fill_voids(heights), 4807.0)


def test_filled_values_stay_within_the_measured_range(seed: int = 3) -> None:
    rng = np.random.default_rng(seed)
    heights = rng.uniform(3000, 3100, (97, 61)).astype(np.float32)
    heights[rng.random(heights.shape) < 0.9] = np.nan
    filled = fill_voids(heights)
    assert filled.min() >= np.nanmin(heights) - 1e-2
    assert filled.max() <= np.nanmax(heights) + 1e-2


def test_holes_are_enclosed_and_the_outside_is_not() -> None:
    measured = np.zeros((120, 120), bool)
    measured[30:90, 30:90] = True
    measured[50:60, 50:60] = False
    closed = enclosed(measured, 10)
    assert closed[50:60, 50:60].all()
    assert closed.sum() == 60 * 60
    wide = measured.copy()
    wide[35:85, 35:85] = False
    assert not enclosed(wide, 10)[60, 60]


def test_enclosed_depends_on_no_pixel_beyond_twice_the_radius() -> None:
    rng = np.random.default_rng(5)
    from scipy.ndimage import gaussian_filter

    measured = gaussian_filter(rng.standard_normal((200, 200)), 6) > 0
    full = enclosed(measured, 12)
    part = enclosed(measured[40:160, 40:160], 12)
    np.testing.assert_array_equal(part[24:-24, 24:-24], full[64:136, 64:136])
