"""Which scenes share ground: the same answers as pair by pair, at a cost that grows linearly."""

from collections.abc import Sequence

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from demiurge.scene import footprint
from demiurge.scene.crs import transform, unwrapped
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import full_window, intersection
from demiurge.scene.scene import Scene
from demiurge.training.ground import groups_of, shared_ground
from demiurge.training.split import Region, Split, places_of, require_apart, split_places

from .conftest import tiny_recipe

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
    spread = 0.15 / np.cos(np.radians(lat))
    grids = [
        grid_at(lon + rng.uniform(-spread, spread), lat + rng.uniform(-0.15, 0.15), rng)
        for _ in range(count)
    ]
    return [*grids, *grids[:5]]


def overlap(a: GeoBox, b: GeoBox) -> bool:
    both = intersection([bounds_in(a, a.crs), bounds_in(b, a.crs)])
    slack = 0.01 * a.affine.a
    return both is not None and both[2] - both[0] > slack and both[3] - both[1] > slack


def pair_by_pair(grids: Sequence[GeoBox]) -> list[int]:
    place = list(range(len(grids)))
    for i, a in enumerate(grids):
        for j in range(i):
            if place[i] != place[j] and overlap(a, grids[j]):
                low, high = sorted((place[i], place[j]))
                place = [low if p == high else p for p in place]
    numbers = list(dict.fromkeys(place))
    return [numbers.index(p) for p in place]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("lon", "lat"), [(15.0, 47.0), (12.0, -47.0), (180.0, 52.0), (-180.0, 0.0), (6.0, 78.0)]
)
def test_places_are_those_of_the_comparison_of_all_pairs(lon: float, lat: float, seed: int) -> None:
    """Within a zone, across the border of two, and across 180°."""
    grids = layout(lon, lat, seed)
    expected = pair_by_pair(grids)
    assert 5 < len(set(expected)) < 60, "some overlap and some do not"
    assert groups_of(grids) == expected
    pairs = {(i, j) for i, a in enumerate(grids) for j, b in enumerate(grids) if overlap(a, b)}
    assert {tuple(pair) for pair in shared_ground(grids, grids).tolist()} == pairs


def test_grids_that_touch_are_apart() -> None:
    def grid(east: float) -> GeoBox:
        return GeoBox((50, 50), from_origin(500_000 + east, 5_000_000, 20, 20), "EPSG:32633")

    assert groups_of([grid(0), grid(1000)]) == [0, 1]
    assert groups_of([grid(0), grid(999.9)]) == [0, 1], "by 0.5 % of a pixel"
    assert groups_of([grid(0), grid(980)]) == [0, 0], "by a pixel"


def test_no_grids_share_nothing() -> None:
    assert groups_of([]) == []
    assert shared_ground([], []).shape == (0, 2)


def test_places_around_the_pole_and_the_globe() -> None:
    """A polar grid holds all longitudes; grids on opposite sides of the earth do not disturb."""
    polar = GeoBox((100, 100), from_origin(-50_000, 50_000, 1000, 1000), "EPSG:3995")
    rng = np.random.default_rng(0)
    near = [
        GeoBox((10, 10), from_origin(x, y, 1000, 1000), "EPSG:3995")
        for x, y in ((-40_000, 40_000), (30_000, -20_000), (500_000, 0))
    ]
    far = [grid_at(lon, -33.0, rng) for lon in (-70.0, 20.0, 145.0)]
    assert groups_of([polar, *near, *far]) == [0, 0, 0, 1, 2, 3, 4]


def scene_of(grid: GeoBox, name: str) -> Scene:
    return Scene(name=name, grid=grid, sources={})


def tiles(count: int, takes: int = 4) -> list[Scene]:
    """Return takes of places in two zones; those of one place overlap in part."""
    found = []
    for number in range(count):
        place, take = divmod(number, takes)
        row, column = divmod(place // 2, 10)
        left, top = 400_000 + 2000 * column + 40 * take, 5_000_000 - 2000 * row
        crs = f"EPSG:{32632 + place % 2}"
        found.append(scene_of(GeoBox((96, 96), from_origin(left, top, 10, 10), crs), f"s{number}"))
    return found


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


def test_takes_with_one_grid_are_transformed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(*given: object) -> object:
        nonlocal calls
        calls += 1
        return transform(*given)

    monkeypatch.setattr(footprint, "transform", counted)
    grid = GeoBox((96, 96), from_origin(400_000, 5_000_000, 10, 10), "EPSG:32633")
    assert places_of([scene_of(grid, f"s{i}") for i in range(50)]) == [0] * 50
    assert calls == 3


def test_regions_on_opposite_sides_of_the_earth_are_apart() -> None:
    """Whatever coordinates the CRS of one gives the other."""
    rng = np.random.default_rng(0)
    regions = []
    for lon in (15.0, 105.0, -165.0, -75.0):
        grid = grid_at(lon, 47.0, rng)
        regions.append(Region(scene_of(grid, f"at {lon}"), full_window(grid)))
    require_apart(Split(regions[:2], regions[2:]))
