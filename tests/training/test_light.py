"""The sun of training chips: turned with them, varied, found once, and stated in the bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

import demiurge
from conftest import LEFT, TOP, terrain, write_raster
from demiurge.arrays import Array
from demiurge.raster.orientation import canonical, unit_vector
from demiurge.raster.shading import incidence
from demiurge.scene import sunlight
from demiurge.scene.camera import Direction
from demiurge.scene.grid import Window, full_window
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.training import light
from demiurge.training.dataset import TrainingChips, ValidationChips
from demiurge.training.normalisation import make_contract
from demiurge.training.recipe import Recipe
from demiurge.training.scales import at_scales
from demiurge.training.split import Region

from .conftest import tiny_recipe

AZIMUTHS = (10, 60, 100, 150, 200, 250, 300, 350)
#: Channels of a bundle of two layers: prior, image, their masks, then those of the sun.
PRIOR, RIGHT, UP, HIGH, INCIDENCE = 0, 4, 5, 6, 7

AFTERNOON = Direction(210, 40)

MakeLit = Callable[..., Scene]


def sun_recipe(**changes: Any) -> Recipe:
    """A recipe with the sun and without any change of chips but those of the sun."""
    off = dict.fromkeys(("made_priors", "foreign_images", "margins", "voids", "drop_layers"), 0)
    augment = {"flip": False, "brightness": 0, "texture": 0, **off, **changes.pop("augment", {})}
    return tiny_recipe(
        task="generate", layers=["dem_prior", "red"], optional=[], base="dem_prior",
        targets=["dtm"], sun=True, augment=augment, **changes,
    )  # fmt: skip


@pytest.fixture
def make_lit(tmp_path: Path) -> MakeLit:
    """Prepare a scene whose prior is its truth, or smooth, with the Lambertian image of a sun."""

    def make(
        name: str = "lit",
        light_from: Direction = AFTERNOON,
        sun: Direction | None = None,
        *,
        seed: int = 0,
        east: float = 0.0,
        size: int = 128,
        smooth: float = 0.0,
    ) -> Scene:
        heights = terrain(size, size, seed)
        image = 1000 * np.clip(incidence(heights, 2.0, light_from.unit), 0, None) + 100
        prior = gaussian_filter(heights, smooth) if smooth else heights
        transform = from_origin(LEFT + east, TOP, 2, 2)
        files = {
            layer: write_raster(tmp_path / f"{name}_{layer}.tif", plane, transform=transform)
            for layer, plane in (("dem_prior", prior), ("red", image), ("truth_dtm", heights))
        }
        return prepare(files, tmp_path / name, sun=sun)

    return make


def chips_of(scene: Scene, kind: type = TrainingChips, **changes: Any) -> Any:
    regions, recipe = [Region(scene, full_window(scene.grid))], sun_recipe(**changes)
    return kind(regions, recipe, make_contract(regions, recipe))


def heights_of(chips: Any, item: dict[str, Array]) -> tuple[Array, Array]:
    """Return prior and truth of an item in metres, less the mean of the prior."""
    contract, unit = chips.contract, float(item["unit"][0])
    assert contract.base == "dem_prior"
    prior = item["planes"][PRIOR] * np.float32(unit)
    return prior, prior + item["truth"][0] * np.float32(unit)


# ---- turning


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_chips_and_suns_turn_together(azimuth: float) -> None:
    """The image that a sun makes is still that of the turned sun on the turned heights."""
    sun = Direction(azimuth, 35)
    heights = terrain(48, 48)
    image = incidence(heights, 2.0, sun.unit)
    (turned_heights, turned_image), turned_sun = light.turned(sun, heights[None], image[None])
    assert turned_sun is not None
    assert 135 <= turned_sun.azimuth <= 180
    assert turned_sun.elevation == 35
    np.testing.assert_allclose(
        turned_image[0], incidence(turned_heights[0], 2.0, turned_sun.unit), atol=1e-5
    )


def test_without_a_sun_nothing_turns() -> None:
    planes = terrain(8, 8)[None]
    (same,), sun = light.turned(None, planes)
    assert same is planes
    assert sun is None
    assert light.varied(None, np.random.default_rng(0)) is None


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_validation_chips_stand_in_the_canonical_light(make_lit: MakeLit, azimuth: float) -> None:
    """Image, prior, truth and the planes of the sun are those of one orientation."""
    sun = Direction(azimuth, 40)
    chips = chips_of(make_lit(light_from=sun, sun=sun), ValidationChips)
    orientation, turned = canonical(azimuth)
    scene = chips.regions[0].scene
    for index in range(len(chips)):
        item, (_, window) = chips[index], chips._windows[index]
        planes = item["planes"]
        prior, truth = heights_of(chips, item)
        np.testing.assert_allclose(truth, prior, atol=2e-3, err_msg="prior and truth are equal")
        file = scene.read(window, ["dem_prior"])
        expected = orientation.apply(file)[0]
        np.testing.assert_allclose(prior - prior.mean(), expected - expected.mean(), atol=2e-3)
        for plane, part in zip((RIGHT, UP, HIGH), unit_vector(turned, 40), strict=True):
            np.testing.assert_allclose(planes[plane], part, atol=1e-5)
        # The image is linear in the incidence; only a chip turned with its sun has it so.
        inner = (slice(2, -2),) * 2
        pair = planes[1][inner].ravel(), planes[INCIDENCE][inner].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.99


def test_training_chips_stay_registered(make_lit: MakeLit) -> None:
    """Under random changes of the sun, too: chips of a sun near 135° may be transposed or not."""
    sun = Direction(136, 40)
    chips = chips_of(make_lit(light_from=sun, sun=sun))
    azimuths, correlations = [], []
    for index in range(24):
        item = chips[index]
        planes = item["planes"]
        prior, truth = heights_of(chips, item)
        np.testing.assert_allclose(truth, prior, atol=2e-3)
        inner = (slice(2, -2),) * 2
        pair = planes[1][inner].ravel(), planes[INCIDENCE][inner].ravel()
        correlations.append(np.corrcoef(*pair)[0, 1])
        azimuths.append(np.degrees(np.arctan2(planes[RIGHT][0, 0], planes[UP][0, 0])))
    assert min(azimuths) >= 135 - 1e-3
    assert max(azimuths) <= 180 + 1e-3
    assert np.std(azimuths) > 2, "the sun varies"
    # The sun of a chip differs by some degrees from that of its image.
    assert min(correlations) > 0.8
    again = chips_of(chips.regions[0].scene)[3]
    np.testing.assert_array_equal(again["planes"], chips[3]["planes"])


def test_changes_of_the_sun_have_the_stated_size() -> None:
    rng = np.random.default_rng(1)
    found = [light.varied(Direction(2, 45), rng) for _ in range(600)]
    off = [(sun.azimuth - 2 + 180) % 360 - 180 for sun in found if sun]
    assert np.std(off) == pytest.approx(8, rel=0.15)
    assert abs(np.mean(off)) < 1.5
    assert np.std([sun.elevation for sun in found if sun]) == pytest.approx(4, rel=0.15)
    low = [light.varied(Direction(2, 6), rng) for _ in range(200)]
    assert min(sun.elevation for sun in low if sun) == 5


@pytest.mark.parametrize(("theirs", "own"), [(10, 150), (150, 200), (300, 60), (250, 250)])
def test_images_of_another_place_come_from_the_same_side(theirs: float, own: float) -> None:
    """In the orientation of the own sun they look as in that of theirs."""
    heights = terrain(32, 32)
    image = incidence(heights, 2.0, Direction(theirs, 40).unit)[None]
    moved = light.lit_alike(image, Direction(theirs, 40), Direction(own, 40))
    (seen,), _ = light.turned(Direction(own, 40), moved)
    (alone,), _ = light.turned(Direction(theirs, 40), image)
    np.testing.assert_array_equal(seen, alone)
    assert light.lit_alike(image, None, Direction(own, 40)) is image


def test_foreign_images_keep_the_light(make_lit: MakeLit) -> None:
    """The image of another place is turned so that its light comes from the side of the own sun."""
    suns = Direction(150, 40), Direction(330, 40)
    scenes = [make_lit(f"s{k}", s, s, seed=k, east=9000.0 * k) for k, s in enumerate(suns)]
    window = Window(0, 0, 32, 32)
    regions, recipe = [Region(s, window) for s in scenes], sun_recipe(augment={"foreign_images": 1})
    chips = TrainingChips(regions, recipe, make_contract(regions, recipe))
    images = [scene.read(window, ["red"])[0] for scene in scenes]
    foreign = 0
    for index in range(12):
        rng = np.random.default_rng(index)
        region, inputs, truth = chips.draw(rng)
        chips._replace_layers(region, inputs, truth, rng)
        other = images[1 - region][::-1, ::-1]
        if np.corrcoef(inputs[1].ravel(), images[region].ravel())[0, 1] < 0.99:
            assert np.corrcoef(inputs[1].ravel(), other.ravel())[0, 1] > 0.99
            foreign += 1
    assert foreign >= 3


# ---- where it comes from


def test_a_scene_without_sun_draws_from_latitude_and_time(make_lit: MakeLit) -> None:
    """Flat images tell nothing, so place and date do; the southern sun stands in the north."""
    north = make_lit("north")
    flat = replace(north, sources={k: v for k, v in north.sources.items() if k != "dem_prior"})
    assert flat.sun is None
    (lit,), (note,) = light.with_suns([flat])
    assert lit.sun is not None
    assert 120 < lit.sun.azimuth < 180
    assert "scene 'north': the direction to the sun" in note
    assert "expected from the latitude and the mean of the year at 10:30 local time" in note
    given = replace(flat, sun=Direction(30, 50))
    (kept,), notes = light.with_suns([given])
    assert kept.sun == Direction(30, 50)
    assert not notes


def test_the_shading_tells_the_sun(make_lit: MakeLit) -> None:
    lit, notes = light.with_suns([make_lit("a", Direction(150, 40), size=160)])
    assert lit[0].sun is not None
    assert abs(lit[0].sun.azimuth - 150) < 8
    assert "estimated from the shading" in notes[0]


def test_all_scales_have_the_sun_of_their_scene(make_lit: MakeLit) -> None:
    scene = make_lit(sun=Direction(20, 40))
    recipe = sun_recipe(chips={"size": 32, "scales": [1, 2, 4]})
    regions = at_scales([Region(scene, full_window(scene.grid))], recipe.chips)
    assert len(regions) == 3
    assert light.suns_of(regions) == [Direction(20, 40)] * 3


# ---- the bundle


def test_a_trained_bundle_has_the_sun_and_uses_it(
    make_lit: MakeLit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sun is found once for each scene: not again for scales, normalisation and the card."""
    fitted: list[str] = []
    shading = sunlight._shading

    def counted(scene: Scene) -> Any:
        fitted.append(scene.name)
        return shading(scene)

    monkeypatch.setattr(sunlight, "_shading", counted)
    sun = Direction(320, 55)
    scenes = [
        make_lit("given", sun, sun, smooth=4),
        make_lit("unknown", Direction(150, 40), seed=1, east=9000.0, smooth=1),
    ]
    chips = {"size": 32, "per_epoch": 16, "batch": 4, "scales": [1, 2]}
    bundle = demiurge.train(scenes, tmp_path / "o.bundle", recipe=sun_recipe(chips=chips))
    assert fitted == ["unknown"]
    assert bundle.contract.sun
    assert bundle.contract.channels == 8
    suns = bundle.card.suns
    assert suns is not None
    assert suns.azimuth[0] == 140, "320 after two mirrors"
    assert suns.azimuth[1] == pytest.approx(150, abs=12)
    assert 55 in suns.elevation
    fitted.clear()
    scene, heights = make_lit("new", seed=5, smooth=4), {}
    for azimuth in (150, 170, 330):
        out = tmp_path / f"{azimuth}.tif"
        surface = demiurge.generate(
            scene, out, bundle=bundle, sun=(azimuth, 50), prior_accuracy=float("inf")
        )
        assert surface.tags["sun_from"] == "given"
        with rasterio.open(out) as file:
            heights[azimuth] = file.read(1)
    assert not fitted
    assert np.abs(heights[150] - heights[170]).max() > 1e-4, "the direction is an input"
    assert np.abs(heights[150] - heights[330]).max() > 1e-4, "windows are turned"


def test_a_recipe_without_the_sun_has_none(make_lit: MakeLit, tmp_path: Path) -> None:
    scene = make_lit(sun=Direction(20, 40))
    regions, recipe = [Region(scene, full_window(scene.grid))], sun_recipe()
    plain = recipe.model_copy(update={"sun": False})
    chips = ValidationChips(regions, plain, make_contract(regions, plain))
    planes = chips[0]["planes"]
    assert len(planes) == 4
    prior = planes[PRIOR] * chips[0]["unit"]
    expected = scene.read(chips._windows[0][1], ["dem_prior"])[0]
    np.testing.assert_allclose(prior - prior.mean(), expected - expected.mean(), atol=2e-3)


def test_turns_of_the_recipe_and_of_the_sun_exclude_each_other() -> None:
    with pytest.raises(Exception, match=r"augment\.flip must be false"):
        sun_recipe(augment={"flip": True})
