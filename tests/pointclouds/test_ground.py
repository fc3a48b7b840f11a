"""Triangulated ground."""

import numpy as np
import pytest

from demiurge.pointclouds.ground import _needed, _within_long, triangulated

pytest.importorskip("startinpy")


def inside(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centre lies in a triangle, by the signs of three areas."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    a, b, c = corners
    signs = [
        (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) > 0
        for p, q in ((a, b), (b, c), (c, a))
    ]
    return np.all(signs, axis=0) | ~np.any(signs, axis=0)


def test_scan_lines_find_the_pixels_of_triangles() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 3, 20):
        corners = rng.uniform(-10, 50, (count, 3, 2))
        expected = np.any([inside(one, (40, 30)) for one in corners], axis=0)
        np.testing.assert_array_equal(_within_long(corners, 0.0, (40, 30)), expected)


def test_only_triangles_with_a_long_side_count() -> None:
    corners = np.array([[[0, 0], [10, 0], [0, 10]], [[20, 0], [24, 0], [20, 4]]], float)
    mask = _within_long(corners, 8.0, (12, 30))
    assert mask[2, 2]
    assert not mask[1, 21]


def test_a_plane_is_exact_and_long_triangles_are_void() -> None:
    rng = np.random.default_rng(0)
    planes = np.full((3, 50, 60), np.nan, np.float32)
    known = rng.random((50, 60)) < 0.5
    known[20:40, 20:40] = False
    offset = rng.random((2, 50, 60))
    y, x = np.mgrid[:50, :60]
    planes[0] = 100 + 0.5 * (x + offset[1]) - 0.2 * (y + offset[0])
    planes[1:] = offset
    planes[:, ~known] = np.nan
    expected = 100 + 0.5 * (x + 0.5) - 0.2 * (y + 0.5)
    everything = (slice(0, 50), slice(0, 60))
    full = triangulated(planes, 100.0, everything)
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(full[inner], expected[inner], atol=1e-3)
    short = triangulated(planes, 10.0, everything)
    assert np.isnan(short[30, 30])
    assert np.isfinite(short[5:15, 5:15]).all()


def test_points_on_a_line_make_no_ground() -> None:
    planes = np.full((3, 5, 5), np.nan, np.float32)
    planes[0, 2], planes[1:, 2] = 1, 0.5
    assert np.isnan(triangulated(planes, 100.0, (slice(0, 5), slice(0, 5)))).all()


HOLE = (slice(70, 110), slice(75, 120))


@pytest.mark.parametrize(
    ("share", "hole"), [(0.8, None), (0.05, None), (0.6, HOLE), (0.004, None)], ids=str
)
@pytest.mark.parametrize("first", [(40, 45), (0, 45), (90, 80), (0, 0)])
def test_points_far_away_do_not_change_the_ground(
    share: float, hole: tuple[slice, slice] | None, first: tuple[int, int]
) -> None:
    rng = np.random.default_rng(int(1000 * share) + first[0])
    known = rng.random((150, 150)) < share
    if hole is not None:
        known[hole] = False
    planes = rng.random((3, 150, 150)).astype(np.float32)
    planes[0] *= 30
    planes[:, ~known] = np.nan
    inner = (slice(first[0], first[0] + 60), slice(first[1], first[1] + 60))
    everything = triangulated(planes, 30.0, (slice(0, 150), slice(0, 150)))
    np.testing.assert_array_equal(triangulated(planes, 30.0, inner), everything[inner])
    needed, widest = _needed(known, inner)
    if share == 0.8 and first == (40, 45):
        assert needed[0].stop - needed[0].start < 90
        assert widest < 6
