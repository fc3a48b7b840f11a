import numpy as np
import pytest
from scipy import ndimage

from conftest import terrain
from demiurge.raster.smoothness import smoothness


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (160, 192)).astype(np.float32)


def test_independent_noise_gives_two() -> None:
    assert smoothness([noise() + 3000]) == pytest.approx(2, abs=0.05)


def test_smoothed_noise_gives_more_and_a_smooth_surface_most() -> None:
    smoothed = ndimage.uniform_filter(noise(), 3)
    flat = smoothness([smoothed])
    hills = smoothness([terrain()])
    assert flat is not None
    assert hills is not None
    assert 2.4 < flat < hills <= 8


def test_voids_are_ignored_and_too_few_squares_give_none() -> None:
    heights = noise()
    heights[:, 100:] = np.nan
    assert smoothness([heights]) == pytest.approx(2, abs=0.05)
    heights[np.random.default_rng(1).random(heights.shape) < 0.2] = np.nan
    assert smoothness([heights]) is None
    assert smoothness([np.zeros((160, 192), np.float32)]) is None
    assert smoothness([]) is None
