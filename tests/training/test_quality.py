"""Good inputs: near the truth, never beyond the stereo error, voids as they were."""

import numpy as np
import pytest

from demiurge.training.augment import augment
from demiurge.training.quality import good_heights, waves
from demiurge.training.recipe import load_recipe


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(500, 5, (64, 64)).astype(np.float32)
    stereo = truth + rng.normal(0, 3, truth.shape).astype(np.float32)
    stereo[10:20, 10:20] = np.nan
    truth[50:, 50:] = np.nan
    return stereo, truth


def test_good_heights_are_the_truth_or_better_than_stereo() -> None:
    stereo, truth = pair()
    exact = kept = 0
    blurred = np.nanstd(truth)  # white terrain: its blur is far off
    for seed in range(200):
        found = good_heights(stereo, truth, np.random.default_rng(seed))
        assert np.isnan(found[50:, 50:]).all()
        error = np.abs(found - truth)
        assert np.nanmean(error) < blurred
        exact += bool(np.nanmax(error) == 0)
        kept += bool(np.isnan(found[10:20, 10:20]).all())
    assert 30 < exact < 80
    assert 80 < kept < 150


def test_waves_are_smooth_and_of_unit_size() -> None:
    found = waves((256, 256), np.random.default_rng(1))
    assert found.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(found)).mean() < 0.6


def test_augment_exchanges_the_share_of_bases_that_is_asked_for() -> None:
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


def test_the_base_stays_where_no_surface_is_known() -> None:
    """The bare earth alone is learned, or a place has no true surface."""
    given = np.full((5, 64, 64), 7, np.float32)
    for changes in (["targets=[dtm]"], []):
        recipe = load_recipe(
            "demiurge",
            ["augment={good_inputs: 1, waves: 0, voids: 0}", *changes],
        )
        truth = np.full((len(recipe.truths), 64, 64), np.nan, np.float32)
        truth[-1] = 3  # the bare earth
        for seed in range(8):
            rng = np.random.default_rng(seed)
            found, _ = augment(given.copy(), truth.copy(), recipe.layers, recipe, rng)
            assert np.array_equal(found[0], given[0])
