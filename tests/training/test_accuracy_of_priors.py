"""How good the priors of real training places are."""

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.scene.grid import full_window
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import SIMULATION_NAME
from demiurge.training.priors import accuracy_of_priors
from demiurge.training.split import Region

WIDE = 4


def region(folder: Path, off: float) -> Region:
    folder.mkdir()
    heights = terrain(128, 128)
    means = heights.reshape(32, WIDE, 32, WIDE).mean(axis=(1, 3))
    noise = off * np.random.default_rng(0).standard_normal(means.shape).astype(np.float32)
    place = from_origin(LEFT, TOP, WIDE * PIXEL, WIDE * PIXEL)
    files = {
        "red": write_raster(folder / "red.tif", heights),
        "dem_prior": write_raster(folder / "prior.tif", means + noise, transform=place),
        "truth_dtm": write_raster(folder / "truth.tif", heights),
    }
    scene = prepare(files, folder / "scene")
    return Region(scene, full_window(scene.grid))


def test_noise_of_a_prior_is_measured(tmp_path: Path) -> None:
    found = accuracy_of_priors([region(tmp_path / "a", 3.0)], "dtm")
    assert found == pytest.approx(3.0, rel=0.1)


def test_exact_means_have_no_error(tmp_path: Path) -> None:
    found = accuracy_of_priors([region(tmp_path / "a", 0.0)], "dtm")
    assert found == pytest.approx(0.0, abs=0.2)


def test_simulated_priors_say_nothing(tmp_path: Path) -> None:
    place = region(tmp_path / "a", 3.0)
    assert place.scene.folder is not None
    (place.scene.folder / SIMULATION_NAME).write_text("seed: 1\n")
    assert accuracy_of_priors([place], "dtm") is None


def test_places_without_the_truth_say_nothing(tmp_path: Path) -> None:
    assert accuracy_of_priors([region(tmp_path / "a", 3.0)], "dsm") is None
