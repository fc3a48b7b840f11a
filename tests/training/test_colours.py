"""Random tone and colours of training chips."""

import numpy as np
import pytest

from demiurge.training.augment import augment
from demiurge.training.colours import change_colours, made_infrared

from .conftest import tiny_recipe

NAMES = ["red", "green", "blue"]


def chip(size: int = 24) -> np.ndarray:
    """Return colours of a meadow (left) and a roof (right), with noise."""
    rng = np.random.default_rng(0)
    colours = np.empty((3, size, size), np.float32)
    for band, (meadow, roof) in zip(colours, [(60, 170), (110, 120), (50, 110)], strict=True):
        band[:] = rng.normal(0, 4, (size, size))
        band[:, : size // 2] += meadow
        band[:, size // 2 :] += roof
    return colours


def test_bands_keep_mean_and_deviation() -> None:
    for seed in range(30):
        before, after = chip(), chip()
        change_colours(after, NAMES, np.random.default_rng(seed))
        np.testing.assert_allclose(
            after.mean(axis=(1, 2)), before.mean(axis=(1, 2)), rtol=1e-4, err_msg=str(seed)
        )
        np.testing.assert_allclose(after.std(axis=(1, 2)), before.std(axis=(1, 2)), rtol=1e-3)
        assert np.abs(after - before).max() > 0.5


def test_all_kinds_of_change_occur() -> None:
    """A tone curve keeps the order of a band's values; grey has three equal bands."""
    kinds = set()
    for seed in range(60):
        before, after = chip(), chip()
        change_colours(after, NAMES, np.random.default_rng(seed))
        standard = [(b - b.mean()) / b.std() for b in after]
        same = np.allclose(standard[0], standard[1], atol=1e-3)
        order = all(
            (np.argsort(a.ravel()) == np.argsort(b.ravel())).all()
            for a, b in zip(after, before, strict=True)
        )
        kinds.add("grey" if same else "tone" if order else "other")
    assert kinds == {"grey", "tone", "other"}


def test_no_data_stays_and_layers_other_than_colours_are_kept() -> None:
    inputs = np.concatenate([chip(), chip()[:1]])
    inputs[1, :5, :5] = np.nan
    before = inputs.copy()
    change_colours(inputs, [*NAMES, "nir"], np.random.default_rng(1))
    np.testing.assert_array_equal(np.isnan(inputs), np.isnan(before))
    np.testing.assert_array_equal(inputs[3], before[3])
    # A pixel without one colour has no false colour.
    np.testing.assert_array_equal(inputs[:3, :5, :5], before[:3, :5, :5])


@pytest.mark.parametrize("names", [["red", "green", "nir"], ["ortho_left", "ortho_right", "dsm"]])
def test_nothing_changes_without_all_colours(names: list[str]) -> None:
    inputs = chip()
    change_colours(inputs, names, np.random.default_rng(0))
    np.testing.assert_array_equal(inputs, chip())


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_constant_and_missing_images_stay(value: float) -> None:
    inputs = np.full((3, 8, 8), value, np.float32)
    change_colours(inputs, NAMES, np.random.default_rng(0))
    np.testing.assert_array_equal(inputs, np.full((3, 8, 8), value, np.float32))


def test_infrared_is_bright_on_vegetation() -> None:
    colours = chip() / 255.0
    left, right = colours[:, :, :12].reshape(3, -1), colours[:, :, 12:].reshape(3, -1)
    assert colours[1].mean() < 0.5
    meadow, roof = (made_infrared(part, 1.0).mean() for part in (left, right))
    assert meadow > 1.8 * left[1].mean()
    assert roof == pytest.approx(right[1].mean(), rel=0.05)


def test_the_recipe_decides_the_share_of_chips() -> None:
    changed = 0
    for seed in range(200):
        recipe = tiny_recipe(augment={"flip": False, "colours": 0.3})
        inputs, _ = augment(
            chip(), np.zeros((1, 24, 24), np.float32), NAMES, recipe, np.random.default_rng(seed)
        )
        changed += bool((inputs != chip()).any())
    assert 40 <= changed <= 80


def test_without_the_setting_the_random_numbers_are_those_of_before() -> None:
    recipe = tiny_recipe(augment={"flip": False, "brightness": 0.1})
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    inputs, _ = augment(chip(), np.zeros((1, 24, 24), np.float32), NAMES, recipe, rng)
    gain = np.float32(1 + 0.1 * other.standard_normal())
    band = chip()[0]
    shift = np.float32(0.1 * other.standard_normal() * band.std())
    np.testing.assert_allclose(inputs[0], (band - band.mean()) * gain + band.mean() + shift, 1e-4)
