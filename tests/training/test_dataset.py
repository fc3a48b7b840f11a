"""Training and validation chips."""

import numpy as np
import pytest
import rasterio

from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene
from demiurge.training.dataset import TrainingChips, ValidationChips
from demiurge.training.normalisation import make_contract
from demiurge.training.recipe import Recipe
from demiurge.training.split import split_places

from .conftest import MakeScene, tiny_recipe


def training_chips(make_scene: MakeScene, recipe: Recipe) -> TrainingChips:
    regions = split_places([make_scene()], recipe).training
    return TrainingChips(regions, recipe, make_contract(regions, recipe))


def validation_chips(make_scene: MakeScene, recipe: Recipe, **size: int) -> ValidationChips:
    split = split_places([make_scene(**size)], recipe)
    return ValidationChips(split.validating, recipe, make_contract(split.training, recipe))


def test_chips_depend_on_index_and_epoch_alone(make_scene: MakeScene, recipe: Recipe) -> None:
    chips = training_chips(make_scene, recipe)
    again = chips[3]["planes"]
    np.testing.assert_array_equal(chips[3]["planes"], again)
    assert not np.array_equal(chips[4]["planes"], again)
    chips.epoch = 1
    assert not np.array_equal(chips[3]["planes"], again)


def test_the_truth_is_the_correction_in_the_networks_unit(
    make_scene: MakeScene, recipe: Recipe
) -> None:
    chips = training_chips(make_scene, recipe)
    item = chips[0]
    measured = item["planes"][2] > 0  # mask of the dsm
    np.testing.assert_allclose(item["truth"][0][measured] * item["unit"][0], -3, atol=1e-3)
    assert np.isfinite(item["planes"]).all()


def test_truth_in_voids_of_the_input_counts(
    make_scene: MakeScene,
) -> None:
    recipe = tiny_recipe(augment={"flip": False, "voids": 1.0})
    chips = training_chips(make_scene, recipe)
    for index in range(8):
        item = chips[index]
        if (item["planes"][2] == 0).any():
            assert item["known"].all()
            return
    pytest.fail("no chip with a void was drawn")


def test_validation_chips_are_fixed_and_not_augmented(
    make_scene: MakeScene, recipe: Recipe
) -> None:
    chips = validation_chips(make_scene, recipe)
    assert len(chips) == 5 * 2
    np.testing.assert_array_equal(chips[0]["planes"], chips[0]["planes"])
    chips.epoch = 5
    np.testing.assert_array_equal(chips[1]["planes"], chips[1]["planes"])


def test_chips_without_an_optional_base_are_relative(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(
        optional=["dsm", "ortho_left"], augment={"flip": False, "drop_layers": 1.0}
    )
    chips = training_chips(make_scene, recipe)
    item = chips[0]
    assert item["relative"].item() == 1
    assert not item["planes"].any()
    assert abs(item["truth"][item["known"] > 0].mean()) < 1e-3
    assert item["truth"].std() > 0.1
    validating = ValidationChips(chips.regions, recipe, chips.contract)
    assert validating[0]["relative"].item() == 0
    withheld = validating.without_base()[0]
    assert withheld["relative"].item() == 1
    known = validating[0]["known"] > 0
    assert withheld["truth"][known].std() > 5 * validating[0]["truth"][known].std()


def test_margins_texture_and_foreign_images(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(augment={"flip": False, "margins": 1.0})
    chips = training_chips(make_scene, recipe)
    item = chips[0]
    assert 0 < item["known"].mean() < 1
    margin = item["known"][0] == 0
    assert not item["planes"][2:, margin].any(), "inputs are void there, too"
    rough = with_recipe(chips, tiny_recipe(augment={"flip": False, "texture": 1.0}))[0]
    plain = with_recipe(chips, tiny_recipe(augment={"flip": False}))[0]
    assert (rough["planes"][0] == plain["planes"][0]).all(), "heights are not changed"
    assert (rough["planes"][1] != plain["planes"][1]).any()
    foreign = with_recipe(chips, tiny_recipe(augment={"flip": False, "foreign_images": 1.0}))[0]
    assert (foreign["planes"][0] == plain["planes"][0]).all()
    assert (foreign["planes"][1] != plain["planes"][1]).any()


def with_recipe(chips: TrainingChips, recipe: Recipe) -> TrainingChips:
    return TrainingChips(chips.regions, recipe, chips.contract)


def test_validation_regions_are_read_once(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of another side are selected from the stored masks."""
    recipe = tiny_recipe(split={"validation": 0.5, "buffer": 0})
    chips = validation_chips(make_scene, recipe, rows=200, columns=280)
    with monkeypatch.context() as patch:
        patch.setattr(Scene, "read", None)
        tiled = chips.tiled(96)
        complete = chips.without_base().tiled(64, complete=True)
    assert [tiled.side(i) for i in range(len(tiled))] == [96] * 6
    assert sum(complete.new_pixels(i).sum() for i in range(len(complete))) == 200 * 140


@pytest.mark.parametrize("side", [32, 64, 96])
def test_windows_are_those_with_enough_truth(make_scene: MakeScene, side: int) -> None:
    """Selected windows equal those whose pixels are read and counted."""
    recipe = tiny_recipe(
        layers=["dsm"], optional=[], split={"validation": 0.5, "buffer": 0},
        chips={"size": 32, "per_epoch": 8, "batch": 4, "min_truth": 0.6},
    )  # fmt: skip
    scene = make_scene(rows=150, columns=230)
    _spoil(scene)
    regions = split_places([scene], recipe).validating
    chips = ValidationChips(regions, recipe, make_contract(regions, recipe)).tiled(side)
    (area,) = (region.window for region in regions)
    wanted = []
    for row in _starts(area.row, area.height, side):
        for col in _starts(area.col, area.width, side):
            dsm, truth = np.isfinite(scene.read(Window(row, col, side, side), ["dsm", "truth_dsm"]))
            if truth.mean() >= 0.6 and dsm.any():
                wanted.append((0, Window(row, col, side, side)))
    assert chips._windows == wanted
    assert (
        0
        < len(wanted)
        < len(_starts(area.row, area.height, side)) * len(_starts(area.col, area.width, side))
    )


def _starts(first: int, length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [min(first + i * side, first + length - side) for i in range(count)]


def _spoil(scene: Scene) -> None:
    """Set truth and DSM to no data in different parts of a scene."""
    assert scene.folder is not None
    with rasterio.open(scene.folder / "stack.tif", "r+") as file:
        for name, area in (("truth_dsm", np.s_[:70, 150:]), ("dsm", np.s_[70:, 120:190])):
            band = file.descriptions.index(name) + 1
            values = file.read(band)
            values[area] = np.nan
            file.write(values, band)


def test_the_example_chip_has_the_greatest_relief(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(split={"validation": 0.5, "buffer": 0})
    chips = validation_chips(make_scene, recipe)
    _encoded, truth, gsd = chips.example()
    reliefs = [
        chips.regions[region].scene.read(window, ["truth_dsm"])[0].std()
        for region, window in chips._windows
    ]
    assert truth[0].std() == max(reliefs)
    assert gsd == 2
