"""Gradient, slope, aspect and hillshade."""

import numpy as np
import pytest

from demiurge.raster.terrain import aspect, gradient, hillshade, slope

ROWS, COLUMNS = np.indices((12, 15)).astype(np.float32)


def rough() -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((61, 47)) * 300 + 100).astype(np.float32)


@pytest.mark.parametrize("gsd", [0.5, 0.7, 3.0])
def test_one_sided_gradients_equal_those_of_numpy(gsd: float) -> None:
    down, across = np.gradient(rough(), np.float32(gsd))
    result = gradient(rough(), gsd)
    np.testing.assert_array_equal(result.down, down)
    np.testing.assert_array_equal(result.across, across)


@pytest.mark.parametrize("gsd", [0.5, 0.7, 3.0])
def test_gradients_with_replicated_edges_equal_those_of_opencv(gsd: float) -> None:
    cv2 = pytest.importorskip("cv2")
    result = gradient(rough(), gsd, edges="replicate")
    for plane, dx in ((result.down, 0), (result.across, 1)):
        expected = cv2.Sobel(
            rough(), cv2.CV_32F, dx, 1 - dx, ksize=1, scale=0.5 / gsd,
            borderType=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        np.testing.assert_array_equal(plane, expected)


def test_a_single_row_has_no_gradient() -> None:
    assert np.isnan(gradient(rough()[:1], 1.0).across).all()


@pytest.mark.parametrize(
    ("heights", "direction"), [(ROWS, 0), (-COLUMNS, 90), (-ROWS, 180), (COLUMNS, 270)]
)
def test_aspect_is_the_downslope_direction(heights: np.ndarray, direction: float) -> None:
    gradients = gradient(heights, 1.0)
    np.testing.assert_allclose(slope(gradients), 45, rtol=1e-6)
    np.testing.assert_allclose(aspect(gradients), direction, atol=1e-4)


def test_level_ground_has_no_aspect() -> None:
    assert np.isnan(aspect(gradient(0.05 * COLUMNS, 1.0))).all()


def test_no_data_has_no_gradient() -> None:
    heights = rough()
    heights[5, 6] = np.nan
    unknown = np.isnan(gradient(heights, 1.0).across)
    assert unknown[5, [5, 7]].all()
    assert unknown.sum() == 2


def test_slopes_that_face_the_light_are_bright() -> None:
    facing, averted = hillshade(ROWS + COLUMNS, 1.0), hillshade(-ROWS - COLUMNS, 1.0)
    level = hillshade(np.zeros((20, 20), np.float32), 1.0)
    assert facing.min() > level[0, 0] > averted.max()
    assert level[0, 0] == pytest.approx(np.sin(np.radians(45)))
