"""Tests of scenes at reduced resolution."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demiurge import scene_from_files
from demiurge.predict.reduced import reduced, reduced_in_memory
from demiurge.scene.grid import Window

Write = Callable[..., Path]


@pytest.mark.parametrize("lazy", [False, True])
def test_pixels_are_means_and_voids_stay(raster: Write, lazy: bool) -> None:
    image = np.random.default_rng(0).random((60, 81)).astype(np.float32)
    image[9, 20] = np.nan
    scene = scene_from_files({"red": raster("red.tif", image, names=["red"])})
    small = reduced(scene, 4) if lazy else reduced_in_memory(scene, ["red"], 4)
    assert small.shape == (15, 20)
    assert small.pixel_size == 4 * scene.pixel_size
    assert small.grid.boundingbox.left == scene.grid.boundingbox.left
    red = small.read(layers=["red"])[0]
    expected = image[:60, :80].reshape(15, 4, 20, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(red, expected, rtol=1e-6)
    assert np.isnan(red[2, 5])
    assert np.isnan(red).sum() == 1
    window = Window(3, 7, 5, 6)
    np.testing.assert_array_equal(small.read(window, ["red"])[0], red[window.slices])


def test_masks_stay_masks_and_other_processes_read_the_same(raster: Write) -> None:
    image = np.random.default_rng(1).random((40, 40)).astype(np.float32)
    image[:10] = np.nan
    scene = scene_from_files({"red": raster("red.tif", image, names=["red"])})
    small = reduced(scene, 4)
    assert set(np.unique(small.read(layers=["valid"]))) == {0.0, 1.0}
    again = pickle.loads(pickle.dumps(small))
    np.testing.assert_array_equal(again.read(layers=["red"]), small.read(layers=["red"]))
