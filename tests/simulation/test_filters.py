"""Gaussian filter and linear sampling of rows."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage

from demiurge.simulation.filters import blur, sample_rows


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_large_blurs_approximate_a_gaussian() -> None:
    noise = rng(1).standard_normal((300, 400), np.float32)
    exact = ndimage.gaussian_filter(noise, 12, mode="nearest")
    close = blur(noise, 12)
    inner = (slice(40, -40), slice(40, -40))  # edges differ on the coarser grid
    assert np.abs(close - exact)[inner].max() < 0.4 * exact[inner].std()
    np.testing.assert_allclose(blur(noise, 2), ndimage.gaussian_filter(noise, 2, mode="nearest"),
                               atol=0.02)  # fmt: skip


def test_rows_are_sampled_linearly_and_nan_outside() -> None:
    plane = np.array([[0, 10, 20, np.nan]], np.float32)
    place = np.array([[0.5, 2.0, 2.5, -1.0]], np.float32)
    np.testing.assert_allclose(sample_rows(plane, place, np.nan), [[5, 20, np.nan, np.nan]])
    np.testing.assert_allclose(sample_rows(plane[:, :3], place, np.inf), [[5, 20, 20, 0]])
