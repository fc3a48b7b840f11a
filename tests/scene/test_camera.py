from __future__ import annotations

import math

import numpy as np
import pytest
from rasterio.rpc import RPC

from demiurge.errors import DataError
from demiurge.scene.camera import (
    Camera,
    Direction,
    Pair,
    centre_of,
    from_geographic,
    in_pixels,
    to_geographic,
)
from scene.cameras import affine_camera, grid_of


def terms(p: float, l: float, h: float) -> list[float]:  # noqa: E741
    """Return the 20 terms of RPC00B (STDI-0002): latitude p, longitude l, height h."""
    return [
        1, l, p, h, l * p, l * h, p * h, l * l, p * p, h * h,
        p * l * h, l**3, l * p * p, l * h * h, l * l * p, p**3, p * h * h, l * l * h, p * p * h,
        h**3,
    ]  # fmt: skip


def curved_camera() -> Camera:
    rng = np.random.default_rng(5)
    num = [rng.normal(0, 1e-4, 20) for _ in range(4)]
    for series in (num[1], num[3]):
        series[0] = 1
    num[0][[1, 2, 3]] = 0.02, -1, -0.2
    num[2][[1, 2, 3]] = 1, 0.03, 0.1
    return Camera(
        RPC(
            height_off=100, height_scale=500, lat_off=45.1, lat_scale=0.05, long_off=15.2,
            long_scale=0.07, line_off=2000, line_scale=2000, samp_off=2500, samp_scale=2500,
            line_num_coeff=list(num[0]), line_den_coeff=list(num[1]),
            samp_num_coeff=list(num[2]), samp_den_coeff=list(num[3]), err_bias=None, err_rand=None,
        )
    )  # fmt: skip


def test_polynomials_follow_the_standard() -> None:
    camera, rpc = curved_camera(), curved_camera().rpc
    lon, lat, height = 15.22, 45.08, 340.0
    t = terms((lat - 45.1) / 0.05, (lon - 15.2) / 0.07, (height - 100) / 500)
    row = np.dot(rpc.line_num_coeff, t) / np.dot(rpc.line_den_coeff, t) * 2000 + 2000 + 0.5
    col = np.dot(rpc.samp_num_coeff, t) / np.dot(rpc.samp_den_coeff, t) * 2500 + 2500 + 0.5
    result = camera.image_of(np.array([lon]), np.array([lat]), np.array([height]))
    assert result[0][0] == pytest.approx(row, abs=1e-6)
    assert result[1][0] == pytest.approx(col, abs=1e-6)


def test_ground_and_image_are_inverse_to_a_thousandth_of_a_pixel() -> None:
    camera = curved_camera().shifted(1.5, -2.25)
    rng = np.random.default_rng(1)
    row, col = rng.uniform(0, 4000, (2, 50))
    height = rng.uniform(0, 800, 50)
    there = camera.ground_of(row, col, height)
    back = camera.image_of(*there, height)
    assert np.abs(back[0] - row).max() < 1e-3
    assert np.abs(back[1] - col).max() < 1e-3


def test_voids_project_to_nan() -> None:
    rows, cols = curved_camera().image_of(
        np.array([15.2, 15.2]), np.array([45.1, 45.1]), np.array([10.0, np.nan])
    )
    assert np.isfinite(rows).tolist() == [True, False]
    assert np.isfinite(cols).tolist() == [True, False]


@pytest.mark.parametrize("given", [(0.3, -0.1), (-0.05, 0.6), (0.0, 0.0)])
def test_displacement_of_a_known_camera(given: tuple[float, float]) -> None:
    grid = grid_of()
    camera = affine_camera(grid, given)
    result = camera.displacement(grid, *centre_of(grid), 120.0)
    assert result == pytest.approx(given, abs=1e-4)
    direction = camera.direction(grid, 120.0)
    assert direction.incidence == pytest.approx(
        math.degrees(math.atan(math.hypot(*given))), abs=0.01
    )


def test_a_southern_sensor_displaces_high_points_northward() -> None:
    direction = Direction(180, 60)
    east, north = direction.displacement
    assert east == pytest.approx(0, abs=1e-12)
    assert north == pytest.approx(math.tan(math.radians(30)))
    again = Direction.from_displacement(east, north)
    assert (again.azimuth, again.elevation) == pytest.approx((180, 60))


def test_displacement_in_pixels_has_rows_downward() -> None:
    assert in_pixels((2.0, 3.0), grid_of(gsd=0.5)) == pytest.approx((-6.0, 4.0))


def test_geometry_of_a_pair() -> None:
    # Two sensors in the east and west, each 20 degrees off the vertical.
    pair = Pair(Direction(90, 70), Direction(270, 70))
    assert pair.convergence == pytest.approx(40)
    assert pair.base_to_height == pytest.approx(2 * math.tan(math.radians(20)))
    assert pair.epipolar_azimuth == pytest.approx(90)
    same = Pair(Direction(10, 60), Direction(10, 60))
    assert (same.convergence, same.base_to_height) == (0, 0)


@pytest.mark.parametrize("elevation", [0, -10, 95, math.nan])
def test_impossible_directions_are_refused(elevation: float) -> None:
    with pytest.raises(DataError, match="direction"):
        Direction(10, elevation)


def test_degenerate_rpcs_are_refused() -> None:
    camera = affine_camera(grid_of(), (0.1, 0.1))
    camera.rpc.samp_num_coeff = [0.0] * 20  # all points in one column
    with pytest.raises(DataError, match="RPCs"):
        camera.direction(grid_of(), 100)


def test_height_range_of_the_polynomials() -> None:
    assert curved_camera().height_range == (-400, 600)


def test_map_and_geographic_coordinates_are_inverse() -> None:
    grid = grid_of()
    x, y = np.array([500_010.0, 500_100.0]), np.array([4_999_990.0, 4_999_910.0])
    back = from_geographic(grid, *to_geographic(grid, x, y))
    assert np.abs(back[0] - x).max() < 1e-6
    assert np.abs(back[1] - y).max() < 1e-6
