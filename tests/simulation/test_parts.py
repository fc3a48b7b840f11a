"""Terrain, light, views, matching: each with a known answer."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage

from conftest import terrain as hills
from demiurge.errors import ConfigError
from demiurge.simulation.classes import BUILDING, CROPS, FOREST, ROAD, SNOW, WATER
from demiurge.simulation.cover import StereoWorld, build_stereo_world
from demiurge.simulation.filters import blur, sample_rows, slope_tangent
from demiurge.simulation.fractal import fractal
from demiurge.simulation.land import (
    BareEarth,
    add_detail,
    add_steps,
    carve_rivers,
    make_bare_earth,
    make_heights,
)
from demiurge.simulation.light import cast_shadows, illuminate
from demiurge.simulation.matching import SearchRange, make_matcher
from demiurge.simulation.settings import (
    CoverSettings,
    GriddingSettings,
    MatcherSettings,
    TerrainSettings,
    make_stereo_settings,
)
from demiurge.simulation.stereo import MARGIN, simulate_stereo
from demiurge.simulation.styles import STEREO
from demiurge.simulation.triangulation import grid_points, triangulate, triangulation_error
from demiurge.simulation.views import (
    EpipolarFrame,
    View,
    coarse_heights,
    expose,
    orthorectify,
    render,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_terrain_has_the_asked_relief_and_no_wrapped_edges() -> None:
    heights = make_heights((200, 260), 80.0, 0.9, 10, rng())
    assert heights.shape == (200, 260)
    assert np.isfinite(heights).all()
    low, high = np.percentile(heights, (1, 99))
    assert high - low == pytest.approx(80, rel=0.15)
    inner = np.abs(np.diff(heights, axis=1)).mean()
    assert np.abs(heights[:, 0] - heights[:, -1]).mean() > 5 * inner


def test_rivers_reach_the_edge() -> None:
    """Erosion drains what the fractal leaves as pits."""

    def pits(heights: np.ndarray) -> int:
        lowest = ndimage.minimum_filter(heights, 3) == heights
        return int(lowest[2:-2, 2:-2].sum())

    rough = make_heights((150, 150), 100.0, 0.8, 0, rng(1))
    worn = make_heights((150, 150), 100.0, 0.8, 40, rng(1))
    assert pits(worn) < 0.2 * pits(rough)


def test_roughness_is_what_it_is_called() -> None:
    def detail(hurst: float) -> float:
        surface = fractal((256, 256), hurst, rng(2))
        return float((surface - ndimage.gaussian_filter(surface, 4)).std())

    assert detail(0.4) > 2 * detail(0.9)


def test_no_lattice_shows_in_fractals_and_valleys() -> None:
    """Slopes look in all directions alike, and alike on all lattice positions."""

    def along(heights: np.ndarray, angle: float) -> float:
        down, across = np.gradient(heights)
        return float(np.abs(across * np.cos(angle) + down * np.sin(angle)).mean())

    turned = [
        np.mean([along(make_heights((200, 200), 60.0, 0.9, 12, rng(s)), a) for s in range(6)])
        for a in np.radians((0, 45, 90, 135))
    ]
    assert max(turned) < 1.3 * min(turned)
    surface = fractal((512, 512), 0.9, rng(1))
    step = np.abs(np.diff(surface, axis=1))
    phases = [step[:, k::8].mean() for k in range(8)]
    assert max(phases) < 1.1 * min(phases)


def test_a_large_blur_is_a_gaussian_too() -> None:
    noise = rng(1).standard_normal((300, 400), np.float32)
    exact = ndimage.gaussian_filter(noise, 12, mode="nearest")
    close = blur(noise, 12)
    inner = (slice(40, -40), slice(40, -40))  # at the edge, ours does not trust one pixel
    assert np.abs(close - exact)[inner].max() < 0.4 * exact[inner].std()
    np.testing.assert_allclose(blur(noise, 2), ndimage.gaussian_filter(noise, 2, mode="nearest"),
                               atol=0.02)  # fmt: skip


def test_rows_are_looked_up_linearly_and_nan_where_unseen() -> None:
    plane = np.array([[0, 10, 20, np.nan]], np.float32)
    place = np.array([[0.5, 2.0, 2.5, -1.0]], np.float32)
    np.testing.assert_allclose(sample_rows(plane, place, np.nan), [[5, 20, np.nan, np.nan]])
    np.testing.assert_allclose(sample_rows(plane[:, :3], place, np.inf), [[5, 20, 20, 0]])


def test_stairs_make_treads_and_risers_and_keep_the_height() -> None:
    ramp = np.broadcast_to(np.linspace(0, 60, 400, dtype=np.float32), (300, 400)).copy()
    made = add_steps(ramp, 10.0, 9.0, 0.999, rng(2))
    slope = slope_tangent(made, 1.0)
    assert np.quantile(slope, 0.98) > 4 * 60 / 400, "risers are steep"
    assert np.median(slope) < 0.7 * 60 / 400, "treads are flat"
    assert abs(made.mean() - ramp.mean()) < 0.1


def test_rivers_run_downhill_in_beds_and_water_is_level_across() -> None:
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    valley = 0.05 * (300 - rows) + 0.1 * np.abs(columns - 150)
    land = carve_rivers(valley, 1.0, 12.0, rng(3))
    assert land.water.any()
    assert not (land.water & land.gravel).any()
    aside = np.abs(np.argwhere(land.water)[:, 1] - 150)
    assert np.median(aside) < 10, "the river runs in the valley"
    level = [land.heights[r][land.water[r]].mean() for r in (40, 140, 240) if land.water[r].any()]
    assert level == sorted(level, reverse=True), "water runs down the rows"
    assert (land.heights <= valley + 0.5).all(), "beds are cut, not raised"


def test_snow_lies_high_and_is_smooth() -> None:
    settings = TerrainSettings(steepness=0.4, roughness=0.7, snow=0.4)
    land = make_bare_earth((256, 256), 1.0, settings, rng(4))
    assert 0.3 < land.snow.mean() < 0.5
    assert land.heights[land.snow].mean() > land.heights[~land.snow].mean()

    def rough(mask: np.ndarray) -> float:
        return float(np.abs(ndimage.laplace(land.heights))[mask].mean())

    inside = ndimage.binary_erosion(land.snow, iterations=4)
    assert rough(inside) < 0.5 * rough(~land.snow)


def test_detail_continues_the_roughness_of_real_terrain_and_leaves_planes_alone() -> None:
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    plane = 0.3 * rows + 0.1 * columns
    np.testing.assert_allclose(add_detail(plane, 1.0, 20.0, rng()), plane, atol=1e-2)
    rough = ndimage.zoom(make_heights((18, 18), 60.0, 0.8, 0, rng(5)), 20, order=3)[:300, :300]
    added = add_detail(rough, 1.0, 20.0, rng()) - rough
    assert 0.05 < added.std() < 3
    np.testing.assert_array_equal(add_detail(rough, 1.0, 1.0, rng()), rough)


def test_cover_stands_on_the_terrain() -> None:
    settings = CoverSettings(forest=0.3, town=0.3, water=0.05)
    none = np.zeros((400, 400), bool)
    land = BareEarth(make_heights((400, 400), 10.0, 1.1, 5, rng(3)), none, none, none)
    world = build_stereo_world(land, 0.5, settings, rng(3))
    above = world.dsm - world.dtm
    assert above.min() > -1.0
    for number, low in ((FOREST, 3.0), (BUILDING, 2.0)):
        here = world.landcover == number
        assert here.sum() > 500
        assert np.median(above[here]) > low
    for number in (ROAD, WATER):
        here = world.landcover == number
        assert here.sum() > 100
        np.testing.assert_allclose(above[here], 0, atol=1e-4)
    wet = world.dtm[world.landcover == WATER]
    assert np.ptp(wet) == 0, "water is level"
    assert world.ndvi is not None
    assert world.ndvi[world.landcover == FOREST].mean() > 0.6


def test_fields_have_one_look_each_and_hedges_between() -> None:
    none = np.zeros((300, 300), bool)
    flat = BareEarth(np.zeros((300, 300), np.float32), none, none, none)
    quiet = {"forest": 0.0, "town": 0.0, "water": 0.0, "single_trees": 0.0}
    bare = build_stereo_world(flat, 1.0, CoverSettings(crops=0.9, hedges=False, **quiet), rng(6))
    assert (bare.landcover == CROPS).mean() > 0.8
    assert np.ptp(bare.dsm) == 0
    # Brightness differs between fields far more than within.
    parts = bare.albedo[:296, :296].reshape(37, 8, 37, 8).transpose(0, 2, 1, 3).reshape(37, 37, -1)
    assert parts.mean(axis=2).std() > 1.5 * np.median(parts.std(axis=2))
    hedged = build_stereo_world(flat, 1.0, CoverSettings(crops=0.9, **quiet), rng(6))
    tall = hedged.landcover == FOREST
    assert 0.005 < tall.mean() < 0.15
    assert 1 < np.median(hedged.dsm[tall]) < 5


def test_snow_is_bright_and_bears_no_trees() -> None:
    white = np.ones((200, 200), bool)
    land = BareEarth(np.zeros((200, 200), np.float32), ~white, ~white, white)
    world = build_stereo_world(land, 1.0, CoverSettings(forest=1.0, town=0, water=0), rng(7))
    assert (world.landcover == SNOW).all()
    assert world.albedo.min() > 0.6


@pytest.mark.parametrize(
    ("azimuth", "step"), [(180, (-1, 0)), (0, (1, 0)), (90, (0, -1)), (270, (0, 1))]
)
def test_a_tower_casts_a_shadow_of_the_right_length(azimuth: float, step: tuple[int, int]) -> None:
    heights = np.zeros((101, 101), np.float32)
    heights[50, 50] = 20
    sunlit = cast_shadows(heights, 1.0, azimuth, 45)
    away = [sunlit[50 + k * step[0], 50 + k * step[1]] for k in range(1, 40)]
    assert max(away[:18]) < 0.5
    assert min(away[21:]) == 1
    towards = [sunlit[50 - k * step[0], 50 - k * step[1]] for k in range(1, 40)]
    assert min(towards) == 1


@pytest.mark.parametrize("azimuth", [45, 135, 225, 315])
def test_shadows_of_a_sun_on_a_diagonal(azimuth: int) -> None:
    """Rounding must not decide between walking along rows and along columns for ever."""
    heights = np.zeros((101, 101), np.float32)
    heights[48:53, 48:53] = 20
    dark = np.argwhere(cast_shadows(heights, 1.0, azimuth, 45) < 0.5) - 50
    away = -np.array([-np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))])
    reach = dark @ away
    assert reach.min() > 0
    assert 17 < reach.max() < 25


def test_slopes_that_face_the_sun_are_brighter() -> None:
    rows = np.mgrid[:60, :60][0].astype(np.float32)
    albedo = np.full((60, 60), 0.3, np.float32)
    south = illuminate(-0.5 * rows, albedo, 1.0, 180, 45)[30, 30]
    north = illuminate(0.5 * rows, albedo, 1.0, 180, 45)[30, 30]
    assert south > 1.5 * north


def test_a_view_of_the_coarse_surface_itself_is_the_map() -> None:
    heights = hills(40, 60)
    picture = rng().random((40, 60)).astype(np.float32)
    view = render(heights, picture, heights, 0.4)
    np.testing.assert_allclose(view.image[:, 1:-1], picture[:, 1:-1], atol=1e-5)


def test_what_lies_behind_a_wall_is_hidden() -> None:
    heights = np.zeros((3, 60), np.float32)
    heights[:, 20:30] = 10
    columns = np.broadcast_to(np.arange(60, dtype=np.float32), (3, 60)).copy()
    view = render(heights, columns, np.zeros_like(heights), 0.8)
    seen = view.image[1][np.isfinite(view.image[1])]
    roof = view.image[1, 28:38]
    np.testing.assert_allclose(roof, np.arange(20, 30), atol=1e-4)
    assert not np.isin(np.arange(31, 37), np.rint(seen)).any(), "eight columns are occluded"
    assert np.isin(np.arange(39, 55), np.rint(seen)).all()


def textured(shape: tuple[int, int], seed: int) -> np.ndarray:
    noise = rng(seed).standard_normal(shape)
    return (0.3 + 0.1 * ndimage.gaussian_filter(noise, 0.8) * 3).astype(np.float32)


def test_triangulation_undoes_the_projection_exactly() -> None:
    heights = hills(30, 120) - 100
    coarse = ndimage.gaussian_filter(heights, 8)
    left, right = -0.4, 0.35
    columns = np.broadcast_to(np.arange(120, dtype=np.float64), heights.shape)

    def on_map(slant: float) -> np.ndarray:
        x = columns + 0.0
        for _ in range(50):
            rows = np.broadcast_to(np.arange(30)[:, None], x.shape)
            there = ndimage.map_coordinates(coarse, [rows, x], order=1, mode="nearest")
            x = columns + slant * (heights - there)
        return x

    x_left, x_right = on_map(left), on_map(right)
    disparity = np.full(heights.shape, np.nan, np.float32)
    expected = np.full(heights.shape, np.nan, np.float32)
    for r in range(30):
        disparity[r] = np.interp(columns[r], x_left[r], x_left[r] - x_right[r])
        expected[r] = np.interp(columns[r], x_left[r], heights[r])
    _, found = triangulate(disparity, coarse, left, right)
    np.testing.assert_allclose(found[:, 15:-15], expected[:, 15:-15], atol=0.05)


def test_points_are_averaged_by_nearness_and_gaps_stay_void() -> None:
    columns = np.array([0.0, 1.0, 1.0, 2.5, 0.0], np.float32)
    rows = np.zeros(5, np.float32)
    heights = np.array([5.0, 6.0, 8.0, 10.0, np.nan], np.float32)
    (out,) = grid_points(columns, rows, [heights], 5, GriddingSettings())
    np.testing.assert_allclose(out[0], [5, 7, 10, 10, np.nan])
    assert np.isnan(out[1:]).all()


def test_griddings_differ_as_they_are_named() -> None:
    columns = np.array([2.0, 2.4], np.float32)
    rows = np.array([2.0, 2.0], np.float32)
    heights, miss = np.array([5.0, 9.0], np.float32), np.array([0.1, 0.3], np.float32)
    found = {}
    for way in ("gaussian", "nearest", "highest"):
        settings = GriddingSettings.model_validate({"way": way})
        height, error = grid_points(columns, rows, [heights, miss], 5, settings)
        found[way] = (float(height[2, 2]), float(error[2, 2]))
    assert found["nearest"] == pytest.approx((5, 0.1))
    assert found["highest"] == pytest.approx((9, 0.3))
    assert 5 < found["gaussian"][0] < 7


def test_outliers_go_and_small_holes_are_filled() -> None:
    rows, columns = (v.astype(np.float32) for v in np.mgrid[:20, :20])
    heights = rng().normal(0, 0.1, (20, 20)).astype(np.float32)
    heights[5, 5] = 30
    heights[12:14, 12:14] = np.nan
    (plain,) = grid_points(columns, rows, [heights], 20, GriddingSettings())
    assert plain[5, 5] == 30
    assert np.isnan(plain).sum() == 4
    (cleaned,) = grid_points(columns, rows, [heights], 20, GriddingSettings(outliers=8, fill=2))
    assert np.isfinite(cleaned).all()
    assert np.abs(cleaned).max() < 1


@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 270.0])
def test_quarter_turns_of_the_frame_move_pixels_alone(turn: float) -> None:
    plane = rng().random((101, 101)).astype(np.float32)
    frame = EpipolarFrame.around(61, 20, 101, turn)
    assert frame.side == 101
    np.testing.assert_array_equal(frame.from_map(plane), np.rot90(plane, round(turn / 90)))


def test_places_of_the_frame_and_the_map_are_each_others_inverse() -> None:
    frame = EpipolarFrame.around(60, 10, 100, 33.0)
    columns, rows = frame.map_pixels(20, 60)
    assert min(columns.min(), rows.min()) >= 9
    assert max(columns.max(), rows.max()) <= frame.side - 10
    x, y = frame.to_map(columns, rows)
    np.testing.assert_allclose(x[0], np.arange(20, 80), atol=1e-3)
    np.testing.assert_allclose(y[:, 0], np.arange(20, 80), atol=1e-3)


@pytest.mark.parametrize("kind", ["sgbm", "census"])
def test_the_matcher_finds_a_known_shift(kind: str) -> None:
    image = textured((80, 200), 4)
    right = np.roll(image, 7, axis=1)  # what is at x in the left is at x + 7 in the right
    settings = MatcherSettings.model_validate({"kind": kind, "uniqueness": 2})
    found = make_matcher(settings, SearchRange(-16, 32))(image * 3000, right * 3000)
    middle = found[10:-10, 40:-40]
    assert np.isfinite(middle).mean() > 0.98
    assert np.nanmedian(middle) == pytest.approx(-7, abs=0.1)


@pytest.mark.parametrize("kind", ["sgbm", "census"])
def test_strips_match_as_the_whole_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = textured((400, 90), 4) * 3000
    right = np.roll(image, 3, axis=1)
    settings = MatcherSettings.model_validate({"kind": kind, "speckle": 0})
    whole = make_matcher(settings, SearchRange(-8, 16))(image, right)
    monkeypatch.setattr("demiurge.simulation.matching._MEMORY", 1)
    parts = make_matcher(settings, SearchRange(-8, 16))(image, right)
    assert parts.shape == whole.shape
    both = np.isfinite(whole) & np.isfinite(parts)
    assert both.mean() > 0.7
    assert (np.abs(whole - parts)[both] < 0.1).mean() > 0.99


def test_the_search_range_holds_what_stands_tall() -> None:
    parallax = np.zeros((9, 9), np.float32)
    parallax[4, 4] = -83.2
    found = SearchRange.of(parallax, MatcherSettings(slack=5))
    assert found.low <= -89
    assert found.low + found.count >= 5
    assert found.count % 16 == 0
    parallax[4, 4] = -900
    cut = SearchRange.of(parallax, MatcherSettings(slack=5))
    assert (cut.low + cut.count, cut.count) == (5, 512)
    assert SearchRange.of(parallax, MatcherSettings(disparities=64)) == SearchRange(-32, 64)


def test_ray_miss_grows_with_displaced_rows() -> None:
    image = textured((80, 120), 5)
    level = np.zeros(image.shape, np.float32)
    miss = [
        float(
            np.nanmedian(
                triangulation_error(image, ndimage.shift(image, (d, 0), order=3), level, 0.5)
            )
        )
        for d in (0.0, 0.3, 0.6)
    ]
    assert miss[0] < miss[1] < miss[2]
    torn = level.copy()
    torn[5, 5] = np.nan
    assert np.isnan(triangulation_error(image, image, torn, 0.5)[5, 5])


def test_orthos_are_in_register_with_true_heights_and_displaced_with_wrong_ones() -> None:
    heights = hills(60, 160)
    # Smooth enough that interpolating twice costs little.
    picture = ndimage.gaussian_filter(textured((60, 160), 6), 1.5)
    coarse = coarse_heights(heights, 2.0, rng())
    view = render(heights, picture, coarse, 0.4)
    inner = (slice(5, -5), slice(30, -30))

    columns, rows = np.meshgrid(np.arange(160, dtype=np.float32), np.arange(60, dtype=np.float32))

    def agreement(used: np.ndarray) -> float:
        image = orthorectify(view, used, coarse, (columns, rows))[inner]
        known = np.isfinite(image)
        return float(np.corrcoef(image[known], picture[inner][known])[0, 1])

    assert agreement(heights) > 0.95
    assert agreement(heights + 10) < 0.5


def test_exposure_keeps_unseen_pixels_unseen() -> None:
    image = textured((50, 50), 7)
    image[20:25, 20:25] = np.nan
    seen = expose(image, 0.5, 0.01, 0.2, rng())
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(image))
    assert np.nanmin(seen) >= 1
    assert np.nanmax(seen) <= 4095
    assert isinstance(View(seen, 0.1).slant, float)


@pytest.mark.parametrize("style", list(STEREO))
def test_styles_are_sound(style: str) -> None:
    assert make_stereo_settings(STEREO[style], style).size == 512


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"size": 10}, "size"),
        ({"gsd": 0}, "gsd"),
        ({"light": {"elevation": -3}}, "light.elevation"),
        ({"lite": {}}, "lite: is not a known key"),
        ({"sensor": {"incidence": [5, -5]}}, "convergence angle is -10 degrees"),
        ({"cover": {"forest": 0.8, "town": 0.8}}, "sum to more than 1"),
        ({"terrain": {"relief": 1000}, "size": 128}, "terrain.relief is 1000 m over a side of 64"),
    ],
)
def test_impossible_settings(content: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_stereo_settings(content, "simulate")


def test_ndvi_is_seen_by_a_camera_and_displaced_like_its_images() -> None:
    """Were it taken from the truth itself, it would tell a network where things truly stand."""
    side = 64 + 2 * MARGIN
    dtm = np.full((side, side), 100.0, np.float32)
    dsm, ndvi, cover = dtm.copy(), np.full_like(dtm, 0.1), np.ones((side, side), np.uint8)
    block = (slice(side // 2 - 8, side // 2 + 8),) * 2
    dsm[block] += 20
    ndvi[block] = 0.8
    world = StereoWorld(dtm, dsm, cover, textured((side, side), 3), ndvi)
    settings = make_stereo_settings(
        {"size": 64, "sensor": {"incidence": [-20, 15], "multispectral": 2.0}}, "test"
    )

    def blind(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.zeros_like(left)

    layers = simulate_stereo(settings, rng(), world, blind)
    found = layers["ndvi"]
    there = ndvi[MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert np.corrcoef(found.ravel(), there.ravel())[0, 1] < 0.8, "the block leans out of place"
    assert found.max() > 0.6
    jump = np.abs(np.diff(found, axis=0)).max()
    assert jump < 0.5 * 0.7, "coarser than the images"
