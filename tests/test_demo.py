"""The parts of the demonstration that compute."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

pytest.importorskip("matplotlib")
pytest.importorskip("cv2")
pytest.importorskip("numba")
pytest.importorskip("torch")

from conftest import terrain
from demiurge.demo.jacksboro import _best_gaussian, write_halves
from demiurge.raster.terrain import hillshade


def test_light_comes_from_the_north_west() -> None:
    rows, columns = np.mgrid[:20, :20]
    facing = hillshade((rows + columns).astype(np.float32) * 10, 20)
    away = hillshade(-(rows + columns).astype(np.float32) * 10, 20)
    flat = hillshade(np.zeros((20, 20), np.float32), 20)
    assert facing[10, 10] > flat[10, 10] > away[10, 10]


def test_halves_are_adjacent(tmp_path: Path) -> None:
    """Training and evaluation areas do not overlap."""
    west, east = (rasterio.open(path) for path in write_halves(tmp_path))
    with west, east:
        assert west.bounds.right == east.bounds.left
        assert west.bounds.top == east.bounds.top
        for half in (west, east):
            heights = half.read(1, masked=True)
            assert heights.count() > 0.9 * heights.size
            assert 100 < heights.min() < heights.max() < 2000


def test_the_best_gaussian_reduces_noise() -> None:
    truth = terrain(60, 60)
    noisy = truth + np.random.default_rng(0).normal(0, 3, truth.shape).astype(np.float32)
    best = np.abs(_best_gaussian(noisy, truth) - truth).mean()
    assert best < 0.6 * np.abs(noisy - truth).mean()
    trust = np.ones_like(truth)
    noisy[20:30] += 40
    trust[20:30] = 1e-6
    weighted = np.abs(_best_gaussian(noisy, truth, trust) - truth).mean()
    assert weighted < 0.7 * np.abs(_best_gaussian(noisy, truth) - truth).mean()
