"""Splits, augmentation, chips."""

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

pytest.importorskip("torch")

from conftest import terrain, write_raster
from demiurge.errors import ConfigError, DataError
from demiurge.model.contract import Heights, InputLayer
from demiurge.scene.crs import transform
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import intersection, window_grid
from demiurge.scene.open import scene_from_files
from demiurge.training.augment import augment
from demiurge.training.dataset import ChipDataset, make_contract
from demiurge.training.recipe import Recipe
from demiurge.training.split import places_of, split_places

from .conftest import MakeScene, tiny_recipe


def test_stripes_leave_a_buffer(make_scene: MakeScene, recipe: Recipe) -> None:
    split = split_places([make_scene()], recipe)
    (training,), (validating,) = split.training, split.validating
    assert training.window.col + training.window.width + 8 == validating.window.col
    assert validating.window.width == 48
    assert validating.window.col + validating.window.width == 192


def test_four_places_are_split_by_place(make_scene: MakeScene, recipe: Recipe) -> None:
    scenes = [make_scene(f"s{i}", east=1000.0 * i) for i in range(4)]
    split = split_places(scenes, recipe)
    training, validating = split.training, split.validating
    assert len(training) == 3
    assert len(validating) == 1
    names = {r.scene.name for r in training}
    assert validating[0].scene.name not in names


def test_scenes_that_overlap_are_one_place(make_scene: MakeScene, recipe: Recipe) -> None:
    """Two overlap, and a third overlaps only one of them; all three stay on one side."""
    apart = [make_scene(f"s{i}", east=2000.0 * i) for i in range(6)]
    chain = [make_scene(f"o{i}", east=50000.0 + 200 * i) for i in range(3)]
    for seed in range(6):
        changed = recipe.model_copy(update={"seed": seed})
        split = split_places([*apart, *chain], changed)
        training, validating = split.training, split.validating
        names = [{r.scene.name for r in part} for part in (training, validating)]
        assert len(names[0] | names[1]) == 9
        assert not names[0] & names[1]
        assert validating
        together = {"o0", "o1", "o2"}
        assert together <= names[0] or together <= names[1]
        assert all(r.window.height == r.scene.shape[0] for r in (*training, *validating))


def test_scenes_on_either_side_of_180_degrees_are_one_place(tmp_path: Path) -> None:
    scenes = []
    for name, epsg, lon in (("a", 32660, 179.999), ("b", 32601, -179.999), ("c", 32660, 179.5)):
        x, y = transform([lon], [50.0], "EPSG:4326", f"EPSG:{epsg}")
        place = from_origin(x[0] - 192, y[0] + 160, 2, 2)
        file = write_raster(
            tmp_path / f"{name}.tif", terrain(), crs=f"EPSG:{epsg}", transform=place
        )
        scenes.append(scene_from_files({"dsm": file}))
    assert places_of(scenes) == [0, 0, 1]


@pytest.mark.parametrize("shift", [0.0, 60.0])
def test_takes_of_one_place_are_split_by_stripes(
    make_scene: MakeScene, recipe: Recipe, shift: float
) -> None:
    """Also where they cover it in different parts."""
    scenes = [make_scene(f"s{i}", seed=i, east=shift * (i % 2)) for i in range(4)]
    split = split_places(scenes, recipe)
    training, validating = split.training, split.validating
    assert len(training) == 4
    assert len(validating) == (2 if shift else 4), "two end before the stripe is a chip wide"
    for a in training:
        for b in validating:
            boxes = [
                bounds_in(window_grid(r.scene.grid, r.window), r.scene.grid.crs) for r in (a, b)
            ]
            assert intersection(boxes) is None


def test_a_place_never_trains_and_validates(make_scene: MakeScene) -> None:
    scenes = [make_scene(f"s{i}", seed=i) for i in range(4)]
    with pytest.raises(ConfigError, match="all scenes lie in one place"):
        split_places(scenes, tiny_recipe(split={"by": "scenes"}))


def test_scenes_too_small_for_chips(make_scene: MakeScene) -> None:
    chips = {"size": 128, "per_epoch": 8, "batch": 2}
    with pytest.raises(ConfigError, match="too small to hold chips"):
        split_places([make_scene()], tiny_recipe(chips=chips))


def planes(size: int = 32) -> tuple[np.ndarray, np.ndarray, list[str]]:
    names = ["dsm", "ortho_left", "ortho_right"]
    ramp = np.arange(size * size, dtype=np.float32).reshape(size, size)
    return np.stack([ramp, ramp + 1, ramp + 2]), ramp[None].copy(), names


def test_inputs_and_truth_turn_together() -> None:
    recipe = tiny_recipe(augment={"flip": True})
    seen = set()
    for seed in range(64):
        inputs, truth, names = planes()
        inputs, truth = augment(inputs, truth, names, recipe, np.random.default_rng(seed))
        np.testing.assert_array_equal(inputs[0], truth[0])
        seen.add(tuple(inputs[0][[0, 0, -1], [0, -1, 0]]))
    assert len(seen) == 8, "all eight orientations occur"


def test_the_diagonal_mirror_keeps_light_from_the_north_west() -> None:
    recipe = tiny_recipe(augment={"flip": False, "diagonal": True})
    seen = set()
    for seed in range(20):
        inputs, truth, names = planes()
        inputs, truth = augment(inputs, truth, names, recipe, np.random.default_rng(seed))
        np.testing.assert_array_equal(inputs[0], truth[0])
        assert inputs[0, 0, 0] == 0
        assert inputs[0, -1, -1] == 32 * 32 - 1
        seen.add(inputs[0, 0, -1])
    assert seen == {31, 31 * 32}


def test_images_are_exchanged() -> None:
    recipe = tiny_recipe(augment={"flip": False, "swap_images": True})
    first = set()
    for seed in range(20):
        inputs, truth, names = planes()
        inputs, _ = augment(inputs, truth, names, recipe, np.random.default_rng(seed))
        assert inputs[0, 0, 0] == 0
        assert {inputs[1, 0, 0], inputs[2, 0, 0]} == {1, 2}
        first.add(inputs[1, 0, 0])
    assert first == {1, 2}


def test_voids_are_torn_into_the_base_and_the_truth_is_kept() -> None:
    recipe = tiny_recipe(augment={"flip": False, "voids": 1.0})
    torn = 0
    for seed in range(20):
        inputs, truth, names = planes()
        inputs, truth = augment(inputs, truth, names, recipe, np.random.default_rng(seed))
        assert np.isfinite(truth).all()
        assert np.isfinite(inputs[1:]).all()
        torn += bool(np.isnan(inputs[0]).any())
    assert torn >= 15


def test_only_optional_layers_are_dropped() -> None:
    recipe = tiny_recipe(augment={"flip": False, "drop_layers": 1.0})
    inputs, truth, names = planes()
    inputs, _ = augment(inputs, truth, names, recipe, np.random.default_rng(0))
    assert np.isnan(inputs[1]).all()
    assert np.isfinite(inputs[[0, 2]]).all()


def chips_of(make_scene: MakeScene, recipe: Recipe, *, training: bool = True) -> ChipDataset:
    split = split_places([make_scene()], recipe)
    regions, held = split.training, split.validating
    contract = make_contract(regions, recipe)
    return ChipDataset(regions if training else held, recipe, contract, training=training)


def test_chips_depend_on_index_and_epoch_alone(make_scene: MakeScene, recipe: Recipe) -> None:
    chips = chips_of(make_scene, recipe)
    again = chips[3]["planes"]
    np.testing.assert_array_equal(chips[3]["planes"], again)
    assert not np.array_equal(chips[4]["planes"], again)
    chips.epoch = 1
    assert not np.array_equal(chips[3]["planes"], again)


def test_the_truth_is_the_correction_in_the_networks_unit(
    make_scene: MakeScene, recipe: Recipe
) -> None:
    chips = chips_of(make_scene, recipe)
    item = chips[0]
    measured = item["planes"][2] > 0  # mask of the dsm
    np.testing.assert_allclose(item["truth"][0][measured] * item["unit"][0], -3, atol=1e-3)
    assert np.isfinite(item["planes"]).all()


def test_the_loss_counts_where_the_truth_is_not_where_the_input_is(
    make_scene: MakeScene,
) -> None:
    recipe = tiny_recipe(augment={"flip": False, "voids": 1.0})
    chips = chips_of(make_scene, recipe)
    for index in range(8):
        item = chips[index]
        if (item["planes"][2] == 0).any():
            assert item["known"].all()
            return
    pytest.fail("no chip with a void was drawn")


def test_validation_is_laid_out_once_and_never_augmented(
    make_scene: MakeScene, recipe: Recipe
) -> None:
    chips = chips_of(make_scene, recipe, training=False)
    assert len(chips) == 5 * 2
    np.testing.assert_array_equal(chips[0]["planes"], chips[0]["planes"])
    chips.epoch = 5
    np.testing.assert_array_equal(chips[1]["planes"], chips[1]["planes"])


def test_chips_without_truth_are_not_drawn(make_scene: MakeScene, recipe: Recipe) -> None:
    scene = make_scene()
    import rasterio

    with rasterio.open(scene.folder / "stack.tif", "r+") as file:  # type: ignore[operator]
        band = file.descriptions.index("truth_dsm") + 1
        file.write(np.full((160, 192), np.nan, np.float32), band)
    from demiurge.scene.open import open_scene

    regions = split_places([open_scene(scene.folder)], recipe).training  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no chip with 20% of known truth"):
        make_contract(regions, recipe)


def test_layers_that_no_place_has_are_left_out(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(
        layers=["dsm", "ortho_left", "ndvi"],
        optional=["ortho_left", "ndvi"],
        augment={"drop_layers": 1.0},
    )
    chips = chips_of(make_scene, recipe)
    assert chips.contract.names == ["dsm", "ortho_left"]
    assert chips[0]["planes"].shape == (4, 32, 32)


def test_equalised_and_raw_images_are_not_mixed(make_scene: MakeScene, recipe: Recipe) -> None:
    from dataclasses import replace

    one = make_scene("one")
    raw = replace(make_scene("raw", east=1000.0), equalised=frozenset())
    regions = split_places([raw], recipe).training
    assert not make_contract(regions, recipe).equalise
    both = split_places([one, raw], recipe).training
    with pytest.raises(DataError, match="alike"):
        make_contract(both, recipe)


def test_the_contract_is_settled_from_training_places_alone(
    make_scene: MakeScene, recipe: Recipe
) -> None:
    regions = split_places([make_scene()], recipe).training
    contract = make_contract(regions, recipe)
    assert contract.required == ("dsm",)
    assert contract.heights.scale > 1
    left = contract.layers[1]
    assert left.normalise == "scene"
    assert 0.3 < left.offset < 0.7, "of the equalised image"


def test_chips_without_an_optional_base_are_relative(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(
        optional=["dsm", "ortho_left"], augment={"flip": False, "drop_layers": 1.0}
    )
    chips = chips_of(make_scene, recipe)
    item = chips[0]
    assert item["relative"].item() == 1
    assert not item["planes"].any()
    assert abs(item["truth"][item["known"] > 0].mean()) < 1e-3
    assert item["truth"].std() > 0.1
    laid_out = ChipDataset(chips.regions, recipe, chips.contract, training=False)
    assert laid_out[0]["relative"].item() == 0
    withheld = laid_out.without_base()[0]
    assert withheld["relative"].item() == 1
    known = laid_out[0]["known"] > 0
    assert withheld["truth"][known].std() > 5 * laid_out[0]["truth"][known].std()


def test_without_any_base_a_bundle_of_relative_heights_is_learned(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(
        layers=["dem_prior", "ortho_left"], optional=["dem_prior"], base="dem_prior"
    )
    contract = chips_of(make_scene, recipe).contract
    assert contract.names == ["ortho_left"]
    assert contract.base is None
    assert contract.relative


def test_the_contract_knows_how_rough_images_were(make_scene: MakeScene) -> None:
    recipe = tiny_recipe()
    regions = split_places([make_scene()], recipe).training
    left = make_contract(regions, recipe).layers[1]
    assert left.grain is not None
    assert 0 < left.grain[0] <= left.grain[1] < 1.2
    assert make_contract(regions, recipe).layers[0].grain is None


def test_training_on_keeps_layers_and_units_of_the_bundle(make_scene: MakeScene) -> None:
    """A bundle that knows NDVI is trained on where no place has it."""
    recipe = tiny_recipe(layers=["dsm", "ortho_left", "ndvi"], optional=["ortho_left", "ndvi"])
    regions = split_places([make_scene()], recipe).training
    alone = make_contract(regions, recipe)
    assert alone.names == ["dsm", "ortho_left"]
    begin = alone.model_copy(
        update={
            "layers": [*alone.layers, InputLayer(name="ndvi", offset=0.3, optional=True)],
            "heights": Heights(scale=123.0),
        }
    )
    found = make_contract(regions, recipe, begin)
    assert found.names == ["dsm", "ortho_left", "ndvi"]
    assert found.layers[2].offset == 0.3
    assert found.heights.scale == 123.0
    item = ChipDataset(regions, recipe, found, training=True)[0]
    assert not item["planes"][[2, 5]].any(), "neither values nor their presence"


def test_priors_are_made_of_any_quality_and_images_of_other_places(make_scene: MakeScene) -> None:
    from demiurge.training.priors import made_prior

    truth = np.add.outer(np.zeros(96), 3.0 * np.arange(96)).astype(np.float32)
    truth[:10, :10] = np.nan
    errors = []
    for seed in range(40):
        found = made_prior(truth, 10.0, np.random.default_rng(seed))
        assert np.isnan(found[:10, :10]).all()
        inner = (found - truth)[20:-20, 20:-20]
        assert abs(inner.mean()) < 6, "a plane stays where it is"
        errors.append(inner.std())
    assert min(errors) < 0.2, "some are as good as the truth"
    assert max(errors) > 2, "some are noisy"


def test_margins_and_textures(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(augment={"flip": False, "margins": 1.0})
    chips = chips_of(make_scene, recipe)
    item = chips[0]
    assert 0 < item["known"].mean() < 1
    gone = item["known"][0] == 0
    assert not item["planes"][2:, gone].any(), "nothing is known there"
    rough = chips_of_again(chips, tiny_recipe(augment={"flip": False, "texture": 1.0}))[0]
    plain = chips_of_again(chips, tiny_recipe(augment={"flip": False}))[0]
    assert (rough["planes"][0] == plain["planes"][0]).all(), "heights are left alone"
    assert (rough["planes"][1] != plain["planes"][1]).any()
    foreign = chips_of_again(chips, tiny_recipe(augment={"flip": False, "foreign_images": 1.0}))[0]
    assert (foreign["planes"][0] == plain["planes"][0]).all()
    assert (foreign["planes"][1] != plain["planes"][1]).any()


def chips_of_again(chips: ChipDataset, recipe: Recipe) -> ChipDataset:
    return ChipDataset(chips.regions, recipe, chips.contract, training=True)
