"""Shipped bundles are intact, small, and better than their input."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from demiurge.model.bundle import load_bundle, shipped_bundles

FOLDER = Path(demiurge.__file__).parent / "bundles"
SHIPPED = sorted(FOLDER.glob("*.bundle"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_bundles_are_intact_and_small(path: Path) -> None:
    card = load_bundle(path).card
    assert path.stat().st_size <= 25e6
    assert card.metrics["mae"] < card.metrics["input_mae"]
    assert card.provenance["scenes"]
    assert path.stem in shipped_bundles()


def test_refine_uses_the_shipped_bundle(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("numba")
    config = {"size": 256}
    (folder,) = demiurge.simulate(tmp_path / "s", style="town", config=config, seed=4321)
    scene = demiurge.open_scene(folder)
    surface = demiurge.refine(scene, tmp_path / "out.tif")
    initial, truth = scene.read(layers=["dsm", "truth_dsm"])
    with rasterio.open(surface.path) as file:
        result = file.read(1)
    known = np.isfinite(initial)
    before = np.abs(initial - truth)[known].mean()
    assert np.abs(result - truth)[known].mean() < 0.9 * before
    assert np.isfinite(result).all(), "voids under the images are filled"
    assert surface.bands == ("dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty")
    with rasterio.open(surface.path) as file:
        earth = file.read(3)
    ground = scene.read(layers=["truth_dtm"])[0]
    assert np.abs(earth - ground).mean() < 0.5 * np.abs(truth - ground).mean()
    assert (earth <= result + 1e-3).all()
