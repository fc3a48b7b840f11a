"""Epipolar frames, rendering, exposure, orthorectification."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage
from textures import textured

from conftest import terrain as hills
from demiurge.simulation.rendering import (
    EpipolarFrame,
    View,
    coarse_heights,
    expose,
    orthorectify,
    render,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_view_of_the_coarse_surface_equals_the_map() -> None:
    heights = hills(40, 60)
    picture = rng().random((40, 60)).astype(np.float32)
    view = render(heights, picture, heights, 0.4)
    np.testing.assert_allclose(view.image[:, 1:-1], picture[:, 1:-1], atol=1e-5)


def test_ground_behind_a_wall_is_occluded() -> None:
    heights = np.zeros((3, 60), np.float32)
    heights[:, 20:30] = 10
    columns = np.broadcast_to(np.arange(60, dtype=np.float32), (3, 60)).copy()
    view = render(heights, columns, np.zeros_like(heights), 0.8)
    seen = view.image[1][np.isfinite(view.image[1])]
    roof = view.image[1, 28:38]
    np.testing.assert_allclose(roof, np.arange(20, 30), atol=1e-4)
    assert not np.isin(np.arange(31, 37), np.rint(seen)).any(), "eight columns are occluded"
    assert np.isin(np.arange(39, 55), np.rint(seen)).all()


@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 270.0])
def test_quarter_turns_do_not_interpolate(turn: float) -> None:
    plane = rng().random((101, 101)).astype(np.float32)
    frame = EpipolarFrame.around(61, 20, 101, turn)
    assert frame.side == 101
    np.testing.assert_array_equal(frame.from_map(plane), np.rot90(plane, round(turn / 90)))


def test_positions_in_frame_and_map_are_inverse() -> None:
    frame = EpipolarFrame.around(60, 10, 100, 33.0)
    columns, rows = frame.map_pixels(20, 60)
    assert min(columns.min(), rows.min()) >= 9
    assert max(columns.max(), rows.max()) <= frame.side - 10
    x, y = frame.to_map(columns, rows)
    np.testing.assert_allclose(x[0], np.arange(20, 80), atol=1e-3)
    np.testing.assert_allclose(y[:, 0], np.arange(20, 80), atol=1e-3)


def test_orthos_match_with_true_heights_and_are_displaced_with_wrong_ones() -> None:
    heights = hills(60, 160)
    # Smooth: interpolating twice changes little.
    picture = ndimage.gaussian_filter(textured((60, 160), 6), 1.5)
    coarse = coarse_heights(heights, 2.0, rng())
    view = render(heights, picture, coarse, 0.4)
    inner = (slice(5, -5), slice(30, -30))

    columns, rows = np.meshgrid(np.arange(160, dtype=np.float32), np.arange(60, dtype=np.float32))

    def agreement(used: np.ndarray) -> float:
        image = orthorectify(view, used, coarse, (columns, rows))[inner]
        known = np.isfinite(image)
        return float(np.corrcoef(image[known], picture[inner][known])[0, 1])

    assert agreement(heights) > 0.95
    assert agreement(heights + 10) < 0.5


def test_exposure_keeps_occluded_pixels() -> None:
    image = textured((50, 50), 7)
    image[20:25, 20:25] = np.nan
    seen = expose(image, 0.5, 0.01, 0.2, rng())
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(image))
    assert np.nanmin(seen) >= 1
    assert np.nanmax(seen) <= 4095
    assert isinstance(View(seen, 0.1).slant, float)


def test_the_brightest_pixels_are_saturated() -> None:
    image = textured((80, 80), 8)
    image[20:25, 20:25] = np.nan
    clear, saturated = (expose(image, 0.5, 0.01, 0.2, rng(), share) for share in (0.0, 0.1))
    largest = np.nanmax(saturated)
    at_limit = saturated == largest
    assert 0.09 < at_limit.sum() / np.isfinite(image).sum() < 0.12
    assert (clear[at_limit] >= largest).all()
    np.testing.assert_array_equal(saturated[~at_limit], clear[~at_limit])
