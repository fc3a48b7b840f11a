"""Random changes of training chips."""

import numpy as np
import pytest

from demiurge.training.augment import accurate_heights, augment, coarse_prior, correlated_noise
from demiurge.training.recipe import load_recipe

from .conftest import tiny_recipe


def planes(size: int = 32) -> tuple[np.ndarray, np.ndarray, list[str]]:
    names = ["dsm", "ortho_left", "ortho_right"]
    ramp = np.arange(size * size, dtype=np.float32).reshape(size, size)
    return np.stack([ramp, ramp + 1, ramp + 2]), ramp[None].copy(), names


def test_inputs_and_truth_are_rotated_together() -> None:
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


def test_voids_are_cut_into_the_base_only() -> None:
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


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(500, 5, (64, 64)).astype(np.float32)
    stereo = truth + rng.normal(0, 3, truth.shape).astype(np.float32)
    stereo[10:20, 10:20] = np.nan
    truth[50:, 50:] = np.nan
    return stereo, truth


def test_accurate_heights_are_the_truth_or_better_than_stereo() -> None:
    stereo, truth = pair()
    exact = kept = 0
    blurred = np.nanstd(truth)  # of white noise, which blur removes
    for seed in range(200):
        heights = accurate_heights(stereo, truth, np.random.default_rng(seed))
        assert np.isnan(heights[50:, 50:]).all()
        error = np.abs(heights - truth)
        assert np.nanmean(error) < blurred
        exact += bool(np.nanmax(error) == 0)
        kept += bool(np.isnan(heights[10:20, 10:20]).all())
    assert 30 < exact < 80
    assert 80 < kept < 150


def test_correlated_noise_is_smooth_and_of_unit_deviation() -> None:
    noise = correlated_noise((256, 256), np.random.default_rng(1))
    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(noise)).mean() < 0.6


def test_augment_replaces_the_configured_share_of_bases() -> None:
    stereo, truth = pair()
    recipe = load_recipe(
        "demiurge",
        ["augment={good_inputs: 0.3}", "layers=[dsm, triangulation_error]",
         "optional=[triangulation_error]"],
    )  # fmt: skip
    names = ["dsm", "triangulation_error"]
    better = 0
    for seed in range(300):
        inputs, (known, _) = augment(
            np.stack([stereo, np.ones_like(stereo)]), np.stack([truth, truth]), names,
            recipe, np.random.default_rng(seed),
        )  # fmt: skip
        error = np.nanmean(np.abs(inputs[0] - known))
        better += bool(error < 2)
        assert np.nanmax(inputs[1], initial=0) <= 1
    assert 60 < better < 110


def test_the_base_is_kept_where_the_true_surface_is_unknown() -> None:
    """The DTM is the only target, or the scene has no true surface."""
    given = np.full((5, 64, 64), 7, np.float32)
    for changes in (["targets=[dtm]"], []):
        recipe = load_recipe(
            "demiurge",
            ["augment={good_inputs: 1, waves: 0, voids: 0}", *changes],
        )
        truth = np.full((len(recipe.truths), 64, 64), np.nan, np.float32)
        truth[-1] = 3  # the DTM
        for seed in range(8):
            rng = np.random.default_rng(seed)
            inputs, _ = augment(given.copy(), truth.copy(), recipe.layers, recipe, rng)
            assert np.array_equal(inputs[0], given[0])


def test_priors_from_the_truth_vary_in_quality() -> None:
    truth = np.add.outer(np.zeros(96), 3.0 * np.arange(96)).astype(np.float32)
    truth[:10, :10] = np.nan
    errors = []
    for seed in range(40):
        prior = coarse_prior(truth, 10.0, np.random.default_rng(seed))
        assert np.isnan(prior[:10, :10]).all()
        inner = (prior - truth)[20:-20, 20:-20]
        assert abs(inner.mean()) < 6, "a plane is not shifted"
        errors.append(inner.std())
    assert min(errors) < 0.2, "some equal the truth"
    assert max(errors) > 2, "some are noisy"
