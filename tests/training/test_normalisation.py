"""The contract of a new network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import write_raster
from demiurge.errors import DataError
from demiurge.model.contract import Heights
from demiurge.model.normals import InputLayer
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.training.dataset import TrainingChips
from demiurge.training.normalisation import make_contract
from demiurge.training.recipe import Recipe
from demiurge.training.split import split_places

from .conftest import MakeScene, tiny_recipe


def test_chips_without_truth_raise(make_scene: MakeScene, recipe: Recipe) -> None:
    scene = make_scene()

    with rasterio.open(scene.folder / "stack.tif", "r+") as file:  # type: ignore[operator]
        band = file.descriptions.index("truth_dsm") + 1
        file.write(np.full((160, 192), np.nan, np.float32), band)

    regions = split_places([open_scene(scene.folder)], recipe).training  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no chip with 20% of known truth"):
        make_contract(regions, recipe)


def test_layers_in_no_scene_are_left_out(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(
        layers=["dsm", "ortho_left", "ndvi"],
        optional=["ortho_left", "ndvi"],
        augment={"drop_layers": 1.0},
    )
    regions = split_places([make_scene()], recipe).training
    chips = TrainingChips(regions, recipe, make_contract(regions, recipe))
    assert chips.contract.names == ["dsm", "ortho_left"]
    assert chips[0]["planes"].shape == (4, 32, 32)


def test_equalised_and_raw_images_are_not_mixed(make_scene: MakeScene, recipe: Recipe) -> None:

    one = make_scene("one")
    raw = replace(make_scene("raw", east=1000.0), equalised=frozenset())
    regions = split_places([raw], recipe).training
    assert not make_contract(regions, recipe).equalise
    both = split_places([one, raw], recipe).training
    with pytest.raises(DataError, match="alike"):
        make_contract(both, recipe)


def test_the_contract_uses_training_regions_only(make_scene: MakeScene, recipe: Recipe) -> None:
    regions = split_places([make_scene()], recipe).training
    contract = make_contract(regions, recipe)
    assert contract.required == ("dsm",)
    assert contract.heights.scale > 1
    left = contract.layers[1]
    assert left.normalise == "scene"
    assert 0.3 < left.offset < 0.7, "of the equalised image"


def test_without_any_base_the_contract_is_relative(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(
        layers=["dem_prior", "ortho_left"], optional=["dem_prior"], base="dem_prior"
    )
    contract = make_contract(split_places([make_scene()], recipe).training, recipe)
    assert contract.names == ["ortho_left"]
    assert contract.base is None
    assert contract.relative


def test_the_contract_stores_the_roughness_of_images(make_scene: MakeScene) -> None:
    recipe = tiny_recipe()
    regions = split_places([make_scene()], recipe).training
    left = make_contract(regions, recipe).layers[1]
    assert left.grain is not None
    assert 0 < left.grain[0] <= left.grain[1] < 1.2
    assert make_contract(regions, recipe).layers[0].grain is None


def test_an_initial_contract_keeps_its_layers_and_units(make_scene: MakeScene) -> None:
    """The initial bundle has NDVI, which no scene has."""
    recipe = tiny_recipe(layers=["dsm", "ortho_left", "ndvi"], optional=["ortho_left", "ndvi"])
    regions = split_places([make_scene()], recipe).training
    without = make_contract(regions, recipe)
    assert without.names == ["dsm", "ortho_left"]
    initial = without.model_copy(
        update={
            "layers": [*without.layers, InputLayer(name="ndvi", offset=0.3, optional=True)],
            "heights": Heights(scale=123.0),
        }
    )
    contract = make_contract(regions, recipe, initial)
    assert contract.names == ["dsm", "ortho_left", "ndvi"]
    assert contract.layers[2].offset == 0.3
    assert contract.heights.scale == 123.0
    item = TrainingChips(regions, recipe, contract)[0]
    assert not item["planes"][[2, 5]].any(), "neither values nor their presence"


def test_a_bundle_continues_with_its_offsets_and_scales(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    """Otherwise its weights begin as another function; images differ between sensors."""
    recipe = tiny_recipe(
        layers=["dsm", "ortho_left", "triangulation_error"], optional=["triangulation_error"]
    )
    prepared = make_scene()
    error = np.random.default_rng(1).random(prepared.shape, np.float32)
    path = write_raster(tmp_path / "error.tif", error, transform=prepared.grid.affine)
    files = {name: f"{s.path}:{s.band}" for name, s in prepared.sources.items()}
    scene = scene_from_files({**files, "triangulation_error": path})
    regions = split_places([scene], recipe).training
    fresh = make_contract(regions, recipe)
    assert fresh.layers[2].offset == pytest.approx(0.5, abs=0.05)
    changed = [entry.model_copy(update={"offset": 7.0, "scale": 3.0}) for entry in fresh.layers]
    contract = make_contract(regions, recipe, fresh.model_copy(update={"layers": changed}))
    assert (contract.layers[2].offset, contract.layers[2].scale) == (7, 3)
    assert contract.layers[1] == fresh.layers[1]
