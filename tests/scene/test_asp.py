from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.scene.asp import adjusted_camera, find_adjust_file
from demiurge.scene.camera import Camera, centre_of, from_geographic, to_geographic
from demiurge.scene.ecef import from_ecef, to_ecef
from scene.cameras import affine_camera, grid_of
from scene.test_camera import curved_camera

GRID = grid_of()
STILL = (1.0, 0.0, 0.0, 0.0)


def write_adjust(
    path: Path, translation: np.ndarray, quaternion: tuple[float, ...] = STILL, more: str = ""
) -> Path:
    lines = (" ".join(repr(float(v)) for v in part) for part in (translation, quaternion))
    path.write_text("\n".join(lines) + f" \n{more}")
    return path


def axes(lon: float, lat: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the unit vectors east, north and up in ECEF."""
    l, p = math.radians(lon), math.radians(lat)  # noqa: E741
    east = np.array([-math.sin(l), math.cos(l), 0])
    up = np.array([math.cos(p) * math.cos(l), math.cos(p) * math.sin(l), math.sin(p)])
    return east, np.cross(up, east), up


def ground_point(camera: Camera, row: float, col: float, height: float) -> np.ndarray:
    """Return map coordinates (x, y) of a pixel."""
    pixel = np.array([row]), np.array([col])
    return np.concatenate(from_geographic(GRID, *camera.ground_of(*pixel, np.array([height]))))


@pytest.mark.parametrize("displacement", [(0.0, 0.0), (0.4, 0.3), (-0.2, 0.5)])
def test_a_translation_across_the_line_of_sight_moves_the_ground_by_as_much(
    tmp_path: Path, displacement: tuple[float, float]
) -> None:
    camera = affine_camera(GRID, displacement)
    lon, lat = to_geographic(GRID, *(np.array([v]) for v in centre_of(GRID)))
    east, north, _ = axes(lon[0], lat[0])
    # A horizontal direction at a right angle to the line of sight.
    length = math.hypot(*displacement) or 1
    across = (displacement[1] * east - displacement[0] * north) / length
    expected = np.array([displacement[1], -displacement[0]]) / length
    if displacement == (0, 0):
        across, expected = east, np.array([1.0, 0.0])
    adjusted = adjusted_camera(camera, write_adjust(tmp_path / "run-a.adjust", 7 * across))
    before, after = (ground_point(c, 100, 130, 110) for c in (camera, adjusted))
    # UTM's scale is 0.9996; grid north differs from true north by less than 0.1 degrees.
    assert after - before == pytest.approx(7 * expected, abs=0.01)


def test_a_translation_along_the_line_of_sight_moves_nothing(tmp_path: Path) -> None:
    camera = affine_camera(GRID, (0.4, 0.3))
    heights = np.array([100.0, 200.0])
    pixel = np.full(2, 100.0)
    low, high = to_ecef(*camera.ground_of(pixel, pixel, heights), heights)
    adjusted = adjusted_camera(camera, write_adjust(tmp_path / "run-a.adjust", (high - low) / 2))
    before, after = (ground_point(c, 100, 100, 130) for c in (camera, adjusted))
    assert after == pytest.approx(before, abs=1e-3)


def test_an_upward_translation_moves_the_ground_as_lower_heights(tmp_path: Path) -> None:
    camera = affine_camera(GRID, (0.4, 0.3))
    lon, lat = to_geographic(GRID, *(np.array([v]) for v in centre_of(GRID)))
    up = axes(lon[0], lat[0])[2]
    adjusted = adjusted_camera(camera, write_adjust(tmp_path / "run-a.adjust", 10 * up))
    after = ground_point(adjusted, 100, 100, 130)
    assert after == pytest.approx(ground_point(camera, 100, 100, 120), abs=0.01)


def test_a_rotation_turns_the_line_of_sight_about_a_point_100_km_up(tmp_path: Path) -> None:
    """Compare with the adjusted line of sight of ASP, intersected by hand."""
    camera = affine_camera(GRID, (0.4, 0.3))
    half = 1e-4 / 2
    quaternion = (math.cos(half), math.sin(half), 0.0, 0.0)
    adjusted = adjusted_camera(
        camera, write_adjust(tmp_path / "run-a.adjust", np.zeros(3), quaternion)
    )
    heights, pixel = np.array([150.0, 50.0]), np.full(2, 0.5)  # height offset ± 50 m
    upper, lower = to_ecef(*camera.ground_of(pixel, pixel, heights), heights)
    sight = (lower - upper) / np.linalg.norm(lower - upper)
    centre = upper - 1e5 * sight
    angle = 1e-4
    turn = np.array(
        [
            [1, 0, 0],
            [0, math.cos(angle), -math.sin(angle)],
            [0, math.sin(angle), math.cos(angle)],
        ]
    )
    turned = turn @ sight
    distance = float(np.linalg.norm(lower - centre))
    for _ in range(20):
        lon, lat, height = from_ecef((centre + distance * turned)[None])
        distance += float(height[0] - 110) / -float(turned @ axes(lon[0], lat[0])[2])
    expected = np.concatenate(from_geographic(GRID, lon, lat))
    after = ground_point(adjusted, 0.5, 0.5, 110)
    assert after == pytest.approx(expected, abs=0.01)
    assert np.hypot(*(after - ground_point(camera, 0.5, 0.5, 110))) > 5


def test_the_manual_defines_what_an_adjusted_camera_sees(tmp_path: Path) -> None:
    """Projecting P is the same as projecting R (P - C) + C + T in the adjusted camera."""
    camera = curved_camera()
    quaternion = np.array([1, 2e-5, -1e-5, 3e-5])
    file = write_adjust(tmp_path / "run-a.adjust", np.array([3.0, -5.0, 2.0]), tuple(quaternion))
    adjusted = adjusted_camera(camera, file)
    assert adjusted.motion is not None
    rng = np.random.default_rng(2)
    lon, lat = 15.2 + rng.uniform(-0.05, 0.05, 30), 45.1 + rng.uniform(-0.04, 0.04, 30)
    height = rng.uniform(0, 400, 30)
    points = to_ecef(lon, lat, height)
    x, y, z = quaternion[1:] * 2
    turn = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])  # small angles
    centre = np.array(adjusted.motion.centre)
    moved = (points - centre) @ turn.T + centre + (3, -5, 2)
    expected = camera.image_of(lon, lat, height)
    result = adjusted.image_of(*from_ecef(moved))
    assert np.abs(np.subtract(result, expected)).max() < 1e-3
    # Ground and image are inverse, too.
    there = adjusted.ground_of(*expected, height)
    back = adjusted.image_of(*there, height)
    assert np.abs(np.subtract(back, expected)).max() < 2e-3


def test_an_offset_of_the_pixels_is_subtracted(tmp_path: Path) -> None:
    camera = curved_camera()
    file = write_adjust(tmp_path / "run-a.adjust", np.zeros(3), more="120 40\n1\n")
    point = np.array([15.2]), np.array([45.1]), np.array([100.0])
    before = camera.image_of(*point)
    after = adjusted_camera(camera, file).image_of(*point)
    assert after[0] - before[0] == pytest.approx(-40, abs=1e-4)
    assert after[1] - before[1] == pytest.approx(-120, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n1 0 0\n", "is not a camera adjustment"),
        ("", "is not a camera adjustment"),
        ("<xml/>", "is not a camera adjustment"),
        ("1 2 nan\n1 0 0 0\n", "is not a camera adjustment"),
        ("1 2 3\n1 0 0 0.1\n", "a norm of 1.00499, not 1"),
        ("1 2 3\n1 0 0 0\n0 0\n2\n", "scales the image by 2"),
        ("PIECEWISE_ADJUSTMENTS\nSESSION dg\n", "piecewise adjustments"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run-a.adjust"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        adjusted_camera(curved_camera(), path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be read"):
        adjusted_camera(curved_camera(), tmp_path / "run-a.adjust")


def test_files_next_to_the_image_are_found_by_name(tmp_path: Path) -> None:
    for name in ("left.tif", "upper-left.tif", "run-right.adjust", "run-upper-left.adjust"):
        (tmp_path / name).touch()
    image = str(tmp_path / "left.tif")
    assert find_adjust_file(image) is None
    assert find_adjust_file(str(tmp_path / "upper-left.tif")) == tmp_path / "run-upper-left.adjust"
    (tmp_path / "ba-run-left.adjust").touch()
    assert find_adjust_file(image) == tmp_path / "ba-run-left.adjust"
    # ASP names the file after the camera file, if there is one.
    (tmp_path / "run-left_rpc.adjust").touch()
    rpc = str(tmp_path / "left_rpc.xml")
    assert find_adjust_file(image, rpc) == tmp_path / "run-left_rpc.adjust"
    # Its adjusted RPCs contain the adjustment.
    assert find_adjust_file(image, str(tmp_path / "run-left.adjusted_rpc.xml")) is None
    (tmp_path / "second-left.adjust").touch()
    with pytest.raises(UsageError, match="several camera adjustments"):
        find_adjust_file(image)
    assert find_adjust_file("/vsicurl/https://example.com/left.tif") is None
