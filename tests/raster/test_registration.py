from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from demiurge.raster.registration import translation


def texture(shape: tuple[int, int] = (160, 150)) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=shape)
    return gaussian_filter(noise, 1.2).astype(np.float32)


@pytest.mark.parametrize("moved", [(0.0, 0.0), (0.3, -0.7), (5.25, -3.5), (-12.0, 9.9)])
def test_a_known_translation_is_estimated(moved: tuple[float, float]) -> None:
    image = texture()
    other = shift(image, moved, order=3, mode="mirror") * 50 + 300
    result = translation(image, other.astype(np.float32))
    assert result is not None
    assert (result.row, result.col) == pytest.approx(moved, abs=0.02)
    assert result.correlation > 0.99


def test_noise_gain_and_voids_are_tolerated() -> None:
    rng = np.random.default_rng(2)
    image = texture() * 10
    other = shift(image, (1.4, -2.6), order=3, mode="mirror") * 0.5 + 7
    other += rng.normal(0, 0.3, other.shape)
    other = other.astype(np.float32)
    other[40:70, 20:90] = np.nan
    image[:, :12] = np.nan
    result = translation(image, other)
    assert result is not None
    assert (result.row, result.col) == pytest.approx((1.4, -2.6), abs=0.06)


def test_images_that_cannot_be_registered_give_none() -> None:
    image = texture()
    flat = np.ones_like(image)
    nothing = np.full_like(image, np.nan)
    assert translation(image, flat) is None
    assert translation(image, nothing) is None
    assert translation(image[:20, :20], image[:20, :20]) is None
