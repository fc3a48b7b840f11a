"""Splits into training, validation and test: no shared ground, linear cost."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from conftest import terrain, write_raster
from demiurge.errors import ConfigError
from demiurge.scene import footprint
from demiurge.scene.crs import transform, unwrapped
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import full_window, intersection, window_grid
from demiurge.scene.open import scene_from_files
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe
from demiurge.training.split import (
    PlaceSplit,
    Region,
    overlapping_groups,
    overlapping_pairs,
    places_of,
    require_apart,
    split_folds,
    split_places,
)

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


def test_marked_scenes_keep_their_use(make_scene: MakeScene, recipe: Recipe) -> None:
    scenes = [make_scene(f"s{i}", east=1000.0 * i) for i in range(4)]
    uses = ("training", "validating", "training", "validating")

    def marked(uses: Sequence[str | None]) -> list[Scene]:
        return [
            replace(scene, spec=scene.spec.model_copy(update={"use": use}))
            for scene, use in zip(scenes, uses, strict=True)
            if scene.spec is not None
        ]

    split = split_places(marked(uses), recipe)
    assert [r.scene.name for r in split.training] == ["s0", "s2"]
    assert [r.scene.name for r in split.validating] == ["s1", "s3"]
    partly = split_places(marked((*uses[:3], None)), recipe)
    assert len(partly.validating) == 1, "the use counts only if all scenes state it"


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
def test_overlapping_scenes_are_split_at_the_same_line(
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


SIDE = 1000.0


def grid_at(lon: float, lat: float, rng: np.random.Generator, epsg: int = 0) -> GeoBox:
    """Return a grid of 1 to 3 km in the UTM zone of a longitude, or in a given CRS."""
    lon = float(unwrapped(lon, 0.0))
    epsg = epsg or (32600 if lat >= 0 else 32700) + min(int((lon + 180) // 6), 59) + 1
    x, y = transform([lon], [lat], "EPSG:4326", f"EPSG:{epsg}")
    rows, columns = (int(n) for n in rng.integers(50, 150, 2))
    # On a lattice, so that some grids only touch.
    left, top = (round(float(v) / SIDE) * SIDE for v in (x[0], y[0]))
    return GeoBox((rows, columns), from_origin(left, top, 20, 20), f"EPSG:{epsg}")


def layout(lon: float, lat: float, seed: int, count: int = 60) -> list[GeoBox]:
    """Return random grids about a point, some in the neighbouring zone's CRS, some twice."""
    rng = np.random.default_rng(seed)
    width = 0.15 / np.cos(np.radians(lat))
    grids = [
        grid_at(lon + rng.uniform(-width, width), lat + rng.uniform(-0.15, 0.15), rng)
        for _ in range(count)
    ]
    return [*grids, *grids[:5]]


def overlaps(grids: Sequence[GeoBox]) -> np.ndarray:
    """Return which pairs share ground: each is compared by itself, in the CRS of its first."""
    names = [str(grid.crs) for grid in grids]  # to hash a CRS takes longer than to compare boxes
    boxes = {
        name: [bounds_in(grid, crs) for grid in grids]
        for name, crs in dict(zip(names, (grid.crs for grid in grids), strict=True)).items()
    }
    shared = np.zeros((len(grids), len(grids)), bool)
    for i, (a, name) in enumerate(zip(grids, names, strict=True)):
        slack = 0.01 * a.affine.a
        for j, box in enumerate(boxes[name]):
            both = intersection([boxes[name][i], box])
            if both is not None:
                shared[i, j] = both[2] - both[0] > slack and both[3] - both[1] > slack
    return shared


def pair_by_pair(shared: np.ndarray) -> list[int]:
    place = list(range(len(shared)))
    for i in range(len(shared)):
        for j in range(i):
            if place[i] != place[j] and shared[i, j]:
                low, high = sorted((place[i], place[j]))
                place = [low if p == high else p for p in place]
    numbers = list(dict.fromkeys(place))
    return [numbers.index(p) for p in place]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("lon", "lat"), [(15.0, 47.0), (12.0, -47.0), (180.0, 52.0), (-180.0, 0.0), (6.0, 78.0)]
)
def test_overlaps_equal_those_of_all_pairs_compared(lon: float, lat: float, seed: int) -> None:
    """Within a zone, across the border of two, and across 180°."""
    grids = layout(lon, lat, seed)
    shared = overlaps(grids)
    expected = pair_by_pair(shared)
    assert 5 < len(set(expected)) < 60, "some overlap and some do not"
    assert overlapping_groups(grids) == expected
    pairs = overlapping_pairs(grids, grids)
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    np.testing.assert_array_equal(sorted(pairs.tolist()), np.argwhere(shared))


def test_grids_that_touch_do_not_overlap() -> None:
    def grid(east: float) -> GeoBox:
        return GeoBox((50, 50), from_origin(500_000 + east, 5_000_000, 20, 20), "EPSG:32633")

    assert overlapping_groups([grid(0), grid(1000)]) == [0, 1]
    assert overlapping_groups([grid(0), grid(999.9)]) == [0, 1], "by 0.5 % of a pixel"
    assert overlapping_groups([grid(0), grid(980)]) == [0, 0], "by a pixel"


def test_no_grids_have_no_pairs() -> None:
    assert overlapping_groups([]) == []
    assert overlapping_pairs([], []).shape == (0, 2)


def test_places_around_the_pole_and_the_globe() -> None:
    """A polar grid holds all longitudes; grids on opposite sides of the earth do not disturb."""
    polar = GeoBox((100, 100), from_origin(-50_000, 50_000, 1000, 1000), "EPSG:3995")
    rng = np.random.default_rng(0)
    near = [
        GeoBox((10, 10), from_origin(x, y, 1000, 1000), "EPSG:3995")
        for x, y in ((-40_000, 40_000), (30_000, -20_000), (500_000, 0))
    ]
    far = [grid_at(lon, -33.0, rng) for lon in (-70.0, 20.0, 145.0)]
    assert overlapping_groups([polar, *near, *far]) == [0, 0, 0, 1, 2, 3, 4]


def scene_of(grid: GeoBox, name: str) -> Scene:
    return Scene(name=name, grid=grid, sources={})


def tiles(count: int, takes: int = 4) -> list[Scene]:
    """Return takes of places in two zones; those of one place overlap in part."""
    scenes = []
    for number in range(count):
        place, take = divmod(number, takes)
        row, column = divmod(place // 2, 10)
        left, top = 400_000 + 2000 * column + 40 * take, 5_000_000 - 2000 * row
        crs = f"EPSG:{32632 + place % 2}"
        scenes.append(scene_of(GeoBox((96, 96), from_origin(left, top, 10, 10), crs), f"s{number}"))
    return scenes


@pytest.mark.parametrize("by", ["scenes", "stripes"])
def test_transforms_grow_with_the_number_of_scenes(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def counted(*given: object) -> object:
        nonlocal calls
        calls += 1
        return transform(*given)

    monkeypatch.setattr(footprint, "transform", counted)
    recipe = tiny_recipe(split={"by": by, "buffer": 4, "validation": 0.4})
    counts = []
    for number in (64, 128, 256):
        calls = 0
        split_places(tiles(number), recipe)
        counts.append(calls)
    # A footprint takes three: its points, and each of the poles.
    assert counts[0] <= 3 * 64 * 3, "in places, training and validation"
    assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])


def test_equal_grids_are_transformed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(*given: object) -> object:
        nonlocal calls
        calls += 1
        return transform(*given)

    monkeypatch.setattr(footprint, "transform", counted)
    grid = GeoBox((96, 96), from_origin(400_000, 5_000_000, 10, 10), "EPSG:32633")
    assert places_of([scene_of(grid, f"s{i}") for i in range(50)]) == [0] * 50
    assert calls == 3


def test_regions_on_opposite_sides_of_the_earth_do_not_overlap() -> None:
    """Whatever coordinates the CRS of one gives the other."""
    rng = np.random.default_rng(0)
    regions = []
    for lon in (15.0, 105.0, -165.0, -75.0):
        grid = grid_at(lon, 47.0, rng)
        regions.append(Region(scene_of(grid, f"at {lon}"), full_window(grid)))
    require_apart(PlaceSplit(regions[:2], regions[2:]))


def _columns(regions: list[Region], columns: int) -> np.ndarray:
    used = np.zeros(columns, int)
    for region in regions:
        used[region.window.col : region.window.col + region.window.width] += 1
    return used


def test_every_column_is_tested_once_and_not_trained_on(make_scene: MakeScene) -> None:
    scene = make_scene(columns=320)
    recipe = tiny_recipe(split={"buffer": 10})
    tested = np.zeros(320, int)
    for split in split_folds([scene], recipe, 5):
        train, validate, test = (
            _columns(regions, 320) for regions in (split.training, split.validating, split.testing)
        )
        tested += test
        assert test.sum() == 64
        assert validate.sum() in (54, 64), "less a buffer where it meets the test stripe"
        # No column of one use lies within the buffer of a validation or test stripe.
        assert not (np.convolve(test, np.ones(19), "same") * (train + validate)).any()
        assert not (np.convolve(validate, np.ones(19), "same") * train).any()
    assert (tested == 1).all()


def test_scenes_of_one_place_are_cut_at_the_same_lines(make_scene: MakeScene) -> None:
    """Several image pairs of one place, each with its own extent."""
    scenes = [make_scene("a", columns=320), make_scene("b", columns=256, east=80.0)]
    recipe = tiny_recipe(split={"buffer": 0}, chips={"size": 32, "per_epoch": 8, "batch": 4})
    for split in split_folds(scenes, recipe, 3):
        edges = {
            round(r.scene.grid.affine.c + 2 * (r.window.col + side * r.window.width))
            for r in split.testing
            for side in (0, 1)
        }
        assert len(edges) <= 3, "one of them may end at its own edge"
        assert len(split.testing) == 2


def test_stripes_along_y_run_from_north_to_south(make_scene: MakeScene) -> None:
    recipe = tiny_recipe(split={"buffer": 0, "axis": "y"})
    first = split_folds([make_scene()], recipe, 4)[0]
    assert first.testing[0].window == (0, 0, 40, 192)
    assert first.validating[0].window == (40, 0, 40, 192)
    assert first.training[0].window == (80, 0, 80, 192)
