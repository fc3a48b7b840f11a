"""Illumination: shadows and shading."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from demiurge.simulation.light import cast_shadows, illuminate


@pytest.mark.parametrize(
    ("azimuth", "step"), [(180, (-1, 0)), (0, (1, 0)), (90, (0, -1)), (270, (0, 1))]
)
def test_a_tower_casts_a_shadow_of_the_right_length(azimuth: float, step: tuple[int, int]) -> None:
    heights = np.zeros((101, 101), np.float32)
    heights[50, 50] = 20
    sunlit = cast_shadows(heights, 1.0, azimuth, 45)
    away = [sunlit[50 + k * step[0], 50 + k * step[1]] for k in range(1, 40)]
    assert max(away[:18]) < 0.5
    assert min(away[21:]) == 1
    towards = [sunlit[50 - k * step[0], 50 - k * step[1]] for k in range(1, 40)]
    assert min(towards) == 1


@pytest.mark.parametrize("azimuth", [45, 135, 225, 315])
def test_shadows_with_the_sun_on_a_diagonal(azimuth: int) -> None:
    """At 45°, rows and columns are equally valid; the choice must not recurse."""
    heights = np.zeros((101, 101), np.float32)
    heights[48:53, 48:53] = 20
    dark = np.argwhere(cast_shadows(heights, 1.0, azimuth, 45) < 0.5) - 50
    away = -np.array([-np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))])
    reach = dark @ away
    assert reach.min() > 0
    assert 17 < reach.max() < 25


def test_slopes_that_face_the_sun_are_brighter() -> None:
    rows = np.mgrid[:60, :60][0].astype(np.float32)
    albedo = np.full((60, 60), 0.3, np.float32)
    south = illuminate(-0.5 * rows, albedo, 1.0, 180, 45)[30, 30]
    north = illuminate(0.5 * rows, albedo, 1.0, 180, 45)[30, 30]
    assert south > 1.5 * north
