"""Validation: at the window that ships, each pixel once."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from conftest import constant_graph, make_bundle
from demiurge.training import validate as module
from demiurge.training.dataset import ChipDataset, make_contract
from demiurge.training.recipe import Recipe
from demiurge.training.split import split_places
from demiurge.training.validate import errors_of, evenly, validate

from .conftest import MakeScene, tiny_recipe


def chips_of(make_scene: MakeScene, recipe: Recipe, **size: int) -> ChipDataset:
    split = split_places([make_scene(**size)], recipe)
    return ChipDataset(
        split.validating, recipe, make_contract(split.training, recipe), training=False
    )


def alone(**changes: object) -> Recipe:
    return tiny_recipe(layers=["dsm"], optional=[], **changes)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 1000])
def test_no_more_windows_are_used_than_allowed(count: int) -> None:
    found = list(evenly(count, 64))
    assert len(set(found)) == len(found) == min(count, 64)
    assert (found[0], found[-1]) == (0, count - 1)


def test_windows_are_those_that_ship(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chips of 32 px; the bundle is applied in windows of 96, of which 3 fit into the stripe."""
    sizes: list[int] = []
    plain = module.OpenVinoRuntime

    def noted(bundle, size, precision, threads=0):  # type: ignore[no-untyped-def]
        sizes.append(size)
        return plain(bundle, size, precision, threads)

    monkeypatch.setattr(module, "OpenVinoRuntime", noted)
    recipe = alone(split={"validation": 0.5, "buffer": 0})
    chips = chips_of(make_scene, recipe, rows=300, columns=200)
    validate(make_bundle(tmp_path / "a.bundle", window=96), chips)
    assert set(sizes) == {96}
    sizes.clear()
    # A place that is smaller than the window: the largest that fits.
    validate(make_bundle(tmp_path / "b.bundle", window=512), chips)
    assert set(sizes) == {96}
    sizes.clear()
    # Relative heights are predicted in windows of a chip's side, 64 px at least.
    bundle = make_bundle(
        tmp_path / "c.bundle", window=96, base=None, relative=True, recipe=recipe.model_dump()
    )
    validate(bundle, chips)
    assert set(sizes) == {64}


@pytest.mark.parametrize(("rows", "columns"), [(160, 200), (170, 300), (97, 260)])
def test_figures_over_all_pixels_count_each_once(
    make_scene: MakeScene, tmp_path: Path, rows: int, columns: int
) -> None:
    """Also where the last window is pushed inward over others, and truth is sparse."""
    recipe = alone(split={"validation": 0.5, "buffer": 0})
    chips = chips_of(make_scene, recipe, rows=rows, columns=columns)
    (region,) = chips.regions
    truth = region.scene.read(region.window, ["truth_dsm"])[0]
    bundle = make_bundle(
        tmp_path / "a.bundle", window=64, graph=constant_graph(2, [0.0, 0.0]), scale=1.0
    )
    found = errors_of(bundle, chips)
    assert found["pixels"] == np.isfinite(truth).sum() == rows * region.window.width
    # The answer is "no correction": the errors are those of the input.
    assert found["mae"] == pytest.approx(found["input_mae"], rel=1e-6)
    assert found["mae"] == pytest.approx(3, abs=0.2)


def test_calibration_makes_intervals_hold_their_share(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    """The answer is exact but for 3 m; it says 1 m: nine tenths lie within 3 / ln 10 scales."""
    chips = chips_of(make_scene, alone(heights={"scale": 1.0}))
    bundle = make_bundle(tmp_path / "a.bundle", graph=constant_graph(2, [0.0, 0.0]), scale=1.0)
    found = validate(bundle, chips)
    assert found.calibration[0] == pytest.approx(3 / np.log(10), rel=0.02)
    assert found.metrics["coverage_90_before_calibration"] < 0.05
