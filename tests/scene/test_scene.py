"""Derived layers and outliers of scenes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from conftest import terrain
from demiurge.scene.derived import ndvi
from demiurge.scene.grid import Window
from demiurge.scene.open import scene_from_files

Write = Callable[..., Path]


def test_ndvi() -> None:
    red = np.array([1, 0, 2, np.nan], np.float32)
    nir = np.array([3, 0, 2, 1], np.float32)
    np.testing.assert_array_equal(ndvi(red, nir), np.array([0.5, np.nan, 0, np.nan], "f4"))


def test_outliers_do_not_depend_on_the_window(raster: Write) -> None:
    heights = terrain()
    heights[63:70, 60:66] += 1500
    scene = scene_from_files({"dsm": raster("dsm.tif", heights)})
    window = Window(64, 64, 64, 64)
    result = scene.outliers("dsm", window, scene.read(window, ["dsm"])[0])
    assert result is not None
    assert result[:6, :2].all()
    assert result.sum() == 12
    calm = Window(0, 100, 64, 64)
    assert scene.outliers("dsm", calm, scene.read(calm, ["dsm"])[0]) is None
