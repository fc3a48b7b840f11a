from __future__ import annotations

import math

import numpy as np
import pytest

from demiurge.scene.ecef import CameraMotion, from_ecef, rotation_of, to_ecef

#: Points of the ground; PROJ's closed formula is less exact far above it (1 mm at 500 km).
LON, LAT, HEIGHT = np.array([15.0, -70.0]), np.array([45.0, -33.0]), np.array([120.0, 6e3])


def test_known_geocentric_coordinates() -> None:
    points = to_ecef(np.array([0.0, 90.0]), np.array([0.0, 0.0]), np.array([0.0, 100.0]))
    assert points[0] == pytest.approx([6378137, 0, 0], abs=1e-3)
    assert points[1] == pytest.approx([0, 6378237, 0], abs=1e-3)


def test_geocentric_coordinates_are_invertible() -> None:
    lon, lat, height = from_ecef(to_ecef(LON, LAT, HEIGHT))
    assert lon == pytest.approx(LON, abs=1e-11, rel=0)
    assert lat == pytest.approx(LAT, abs=1e-11, rel=0)
    assert height == pytest.approx(HEIGHT, abs=1e-6, rel=0)


def test_a_quaternion_about_the_third_axis() -> None:
    half = math.radians(15)
    matrix = np.array(rotation_of(math.cos(half), 0, 0, math.sin(half)))
    expected = [math.cos(math.radians(30)), math.sin(math.radians(30)), 0]
    assert matrix @ [1, 0, 0] == pytest.approx(expected)
    assert matrix @ matrix.T == pytest.approx(np.eye(3))


def test_a_motion_rotates_about_its_centre_and_then_translates() -> None:
    half = math.radians(45)
    rotation = rotation_of(math.cos(half), 0, 0, math.sin(half))
    motion = CameraMotion(rotation, (7e6, 0.0, 0.0), (0.0, 0.0, 5.0))
    lon, lat, height = from_ecef(np.array([[7e6 + 10, 0.0, 0.0]]))
    moved = to_ecef(*motion.applied(lon, lat, height))
    assert moved[0] == pytest.approx([7e6, 10, 5], abs=1e-3)


def test_motions_are_invertible() -> None:
    half = math.radians(0.01)
    rotation = rotation_of(math.cos(half), math.sin(half) * 0.6, 0, math.sin(half) * 0.8)
    motion = CameraMotion(rotation, (4.4e6, 1.2e6, 4.5e6), (100.0, -200.0, 30.0))
    back = motion.undone(*motion.applied(LON, LAT, HEIGHT))
    assert to_ecef(*back) == pytest.approx(to_ecef(LON, LAT, HEIGHT), abs=1e-4)
