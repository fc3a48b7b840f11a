"""Tests of training regions at several resolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demiurge.scene.grid import Window, full_window
from demiurge.scene.scene import Scene
from demiurge.training.dataset import TrainingChips
from demiurge.training.fit import train
from demiurge.training.normalisation import make_contract
from demiurge.training.scales import at_scales
from demiurge.training.sections import ChipSettings
from demiurge.training.split import Region

from .conftest import MakeScene, tiny_recipe


def _scene(make_scene: MakeScene) -> Scene:
    return make_scene("a")


def test_regions_keep_the_scales_at_which_a_chip_fits(make_scene: MakeScene) -> None:
    scene = _scene(make_scene)
    regions = at_scales(
        [Region(scene, Window(3, 5, 140, 130))], ChipSettings(size=32, scales=[1, 2, 4])
    )
    assert [r.scene.pixel_size / scene.pixel_size for r in regions] == [1, 2]
    assert regions[1].window == Window(2, 3, 69, 64)
    inside = scene.read(Window(4, 6, 138, 128), ["truth_dsm"])[0]
    means = inside.reshape(69, 2, 64, 2).mean(axis=(1, 3))
    read = regions[1].scene.read(regions[1].window, ["truth_dsm"])[0]
    np.testing.assert_allclose(read, means, rtol=1e-5)


def test_a_chip_that_fills_a_scale_exactly_is_used(make_scene: MakeScene) -> None:
    place = Region(_scene(make_scene), Window(32, 64, 128, 128))
    regions = at_scales([place], ChipSettings(size=32, scales=[4]))
    assert [r.window for r in regions] == [Window(8, 16, 32, 32)]


def test_a_small_region_is_kept_as_it_is(make_scene: MakeScene) -> None:
    scene = _scene(make_scene)
    regions = at_scales(
        [Region(scene, full_window(scene.grid))], ChipSettings(size=128, scales=[2, 4])
    )
    assert [r.scene.pixel_size for r in regions] == [scene.pixel_size]


@pytest.mark.parametrize(("draw", "share"), [("area", 1 / 5), ("scenes", 1 / 2)])
def test_scenes_are_drawn_by_area_or_equally(
    make_scene: MakeScene, draw: str, share: float
) -> None:
    scene = _scene(make_scene)
    recipe = tiny_recipe(chips={"size": 32, "per_epoch": 8, "batch": 2, "draw": draw})
    regions = at_scales(
        [Region(scene, full_window(scene.grid))], ChipSettings(size=32, scales=[1, 2])
    )
    chips = TrainingChips(regions, recipe, make_contract(regions, recipe))
    rng = np.random.default_rng(0)
    coarse = np.mean([chips.draw(rng)[0] for _ in range(300)])
    assert abs(coarse - share) < 0.08


def test_the_card_names_the_coarsest_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    chips: dict[str, Any] = {"size": 32, "per_epoch": 4, "batch": 2, "scales": [1, 2]}
    scene = _scene(make_scene)
    bundle = train([scene], tmp_path / "b.bundle", recipe=tiny_recipe(chips=chips))
    sizes = bundle.card.pixel_sizes
    assert (sizes.low, sizes.high) == (scene.pixel_size, 2 * scene.pixel_size)
