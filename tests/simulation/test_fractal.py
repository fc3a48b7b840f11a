"""Fractal surfaces."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage

from demiurge.simulation.fractal import fractal


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_larger_hurst_exponents_are_smoother() -> None:
    def detail(hurst: float) -> float:
        surface = fractal((256, 256), hurst, rng(2))
        return float((surface - ndimage.gaussian_filter(surface, 4)).std())

    assert detail(0.4) > 2 * detail(0.9)
