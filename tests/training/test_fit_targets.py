"""Trainings with two targets: DSM and DTM."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

pytest.importorskip("lightning")

import demiurge
from conftest import LEFT, TOP, terrain, write_raster
from demiurge.errors import DataError
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene

from .conftest import MakeScene, tiny_recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

BOTH = {"targets": ["dsm", "dtm"], "ground": [6.0, 40.0], "layers": ["dsm"], "optional": []}


def town(folder: Path) -> Scene:
    """Prepare hills with houses; the initial DSM is 3 m too high."""
    earth = terrain(160, 192)
    surface = earth.copy()
    for row in range(10, 150, 24):
        for col in range(10, 180, 30):
            surface[row : row + 8, col : col + 10] += 7
    place = from_origin(LEFT, TOP, 2, 2)
    planes = {"dsm": surface + 3, "truth_dsm": surface, "truth_dtm": earth}
    files = {n: write_raster(folder / f"{n}.tif", p, transform=place) for n, p in planes.items()}
    return prepare(files, folder / "town")


def test_dsm_and_dtm_are_learned_and_the_dtm_is_not_above(tmp_path: Path) -> None:
    scene = town(tmp_path)
    recipe = tiny_recipe(
        **BOTH,
        epochs=6,
        chips={"size": 32, "per_epoch": 120, "batch": 8},
        optimiser={"rate": 5e-3},
        ema=0.5,
    )
    bundle = demiurge.train([scene], tmp_path / "m.bundle", recipe=recipe)
    assert bundle.contract.ground == [6.0, 40.0]
    by_target = bundle.card.metrics["by_target"]
    for target in ("dsm", "dtm"):
        assert by_target[target]["mae"] < 0.7 * by_target[target]["start_mae"], target
    surface = demiurge.refine(scene, tmp_path / "out.tif", bundle=bundle)
    assert surface.bands == ("dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty")
    with rasterio.open(surface.path) as file:
        dsm, _, dtm, _ = file.read()
    assert (dtm <= dsm + 1e-3).all()
    truth = scene.read(layers=["truth_dtm"])[0]
    assert np.abs(dtm - truth).mean() < 2


def test_a_target_without_truth_is_left_out(make_scene: MakeScene, tmp_path: Path) -> None:
    bundle = demiurge.train([make_scene()], tmp_path / "m.bundle", recipe=tiny_recipe(**BOTH))
    assert bundle.contract.targets == ["dsm"]


def test_scenes_with_different_truth_layers_are_combined(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scenes = [town(tmp_path), make_scene(east=5000.0)]
    bundle = demiurge.train(scenes, tmp_path / "m.bundle", recipe=tiny_recipe(**BOTH))
    assert bundle.contract.targets == ["dsm", "dtm"]
    with pytest.raises(DataError, match="start from a bundle with the same"):
        demiurge.train(
            scenes,
            tmp_path / "n.bundle",
            recipe=tiny_recipe(**{**BOTH, "ground": [8.0]}),
            begin_from=bundle,
        )


def houses(folder: Path) -> Scene:
    """Prepare a plain at 800 m with red houses of 7 m in a grey image; no height is an input."""
    earth = (800 + terrain(160, 192) / 10).astype(np.float32)
    above = np.zeros_like(earth)
    for row in range(4, 150, 16):
        for col in range(4, 180, 20):
            above[row : row + 8, col : col + 10] = 7
    noise = np.random.default_rng(0).normal(0, 3, (3, *earth.shape))
    image = (100 + noise + above * np.array([12, 0, 0])[:, None, None]).astype(np.float32)
    files = {
        name: write_raster(folder / f"{name}.tif", plane)
        for name, plane in (("truth_dsm", earth + above), ("truth_dtm", earth))
    }
    names = ["red", "green", "blue"]
    colours = write_raster(folder / "rgb.tif", image, names=names)
    return prepare(
        {**files, **{n: f"{colours}:{b}" for b, n in enumerate(names, 1)}}, folder / "houses"
    )


def test_height_above_ground_is_learned_from_an_image(tmp_path: Path) -> None:
    """The elevation of 800 m is neither learned nor predicted."""
    scene = houses(tmp_path)
    recipe = tiny_recipe(
        task="generate",
        layers=["red", "green", "blue"],
        optional=[],
        base=None,
        targets=["height"],
        heights={"unit": "pixels"},
        augment={"flip": True},
        epochs=6,
        chips={"size": 32, "per_epoch": 120, "batch": 8},
        optimiser={"rate": 5e-3},
        ema=0.5,
    )
    bundle = demiurge.train([scene], tmp_path / "m.bundle", recipe=recipe)
    assert bundle.contract.above_ground
    assert bundle.contract.heights.offset < 7
    surface = demiurge.generate(scene, tmp_path / "out.tif", bundle=bundle)
    assert surface.bands == ("height", "height_uncertainty")
    with rasterio.open(surface.path) as file:
        heights = file.read(1)
    truth = scene.read(layers=["truth_height"])[0]
    assert np.median(heights[truth > 0]) == pytest.approx(7, abs=1)
    assert np.median(heights[truth == 0]) == pytest.approx(0, abs=1)
    assert np.abs(heights - truth).mean() < 0.5 * np.abs(truth - truth.mean()).mean()
