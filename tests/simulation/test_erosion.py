"""Erosion and drainage."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage

from demiurge.simulation.land import make_heights


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_erosion_drains_pits() -> None:
    def pits(heights: np.ndarray) -> int:
        lowest = ndimage.minimum_filter(heights, 3) == heights
        return int(lowest[2:-2, 2:-2].sum())

    rough = make_heights((150, 150), 100.0, 0.8, 0, rng(1))
    worn = make_heights((150, 150), 100.0, 0.8, 40, rng(1))
    assert pits(worn) < 0.2 * pits(rough)
