"""Oblique view of heights."""

import numpy as np
import pytest

from demiurge.raster.oblique import oblique


def colours(shape: tuple[int, int]) -> np.ndarray:
    rgb = np.zeros((*shape, 3), np.uint8)
    rgb[..., 0] = np.arange(shape[0])[:, None]
    return rgb


def test_from_above_it_is_the_map() -> None:
    heights = np.random.default_rng(0).normal(0, 5, (12, 9)).astype(np.float32)
    rgb = colours((12, 9))
    np.testing.assert_array_equal(oblique(heights, rgb, 1.0, tilt=90), rgb)


def test_a_wall_hides_what_is_behind_it() -> None:
    heights = np.zeros((20, 5), np.float32)
    heights[10] = 5
    seen = oblique(heights, colours((20, 5)), 1.0, tilt=45)[:, 2, 0]
    # 5 m at 45° hide five rows behind the wall.
    assert not {5, 6, 7, 8, 9} & set(seen.tolist())
    assert (seen == 10).sum() >= 4
    assert len({*range(11, 20)} & set(seen.tolist())) >= 6


def test_voids_are_gaps() -> None:
    heights = np.zeros((10, 4), np.float32)
    heights[3:5, 1] = np.nan
    picture = oblique(heights, colours((10, 4)), 1.0, tilt=90)
    assert (picture[3:5, 1] == 255).all()
    assert oblique(np.full((4, 4), np.nan, np.float32), colours((4, 4)), 1.0).min() == 255


@pytest.mark.parametrize("factor", [1, 3])
def test_exaggeration_raises(factor: float) -> None:
    heights = np.zeros((30, 3), np.float32)
    heights[0] = 10
    height = oblique(heights, colours((30, 3)), 1.0, 30, factor).shape[0]
    assert height == pytest.approx(29 * 0.5 + 10 * factor * np.cos(np.pi / 6) + 1, abs=1.5)
