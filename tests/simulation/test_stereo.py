"""Stereo scenes: realistic errors, exact reference, registration of the layers."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage
from textures import textured

from demiurge.simulation.cover import StereoWorld
from demiurge.simulation.light import illuminate
from demiurge.simulation.rendering import EpipolarFrame
from demiurge.simulation.settings import make_stereo_settings
from demiurge.simulation.stereo import MARGIN, make_world, simulate_stereo, views_of
from demiurge.simulation.styles import STEREO

SMALL = {"size": 160}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scene(style: str, seed: int = 1) -> dict[str, np.ndarray]:
    settings = make_stereo_settings({**STEREO[style], **SMALL}, style)
    return simulate_stereo(settings, np.random.default_rng(seed))


def test_errors_of_the_initial_dsm_resemble_stereo() -> None:
    layers = scene("hills", seed=3)
    error = layers["dsm"] - layers["truth_dsm"]
    known = np.isfinite(error)
    assert 0.005 < 1 - known.mean() < 0.4, "voids"
    open_ground = known & (layers["landcover"] == 1)
    middle = np.median(error[open_ground])
    nmad = 1.4826 * np.median(np.abs(error[open_ground] - middle)) / 0.5
    assert 0.2 < nmad < 3, "pixels of error on open ground"
    assert abs(middle) < 0.25, "no bias"
    predicted = layers["triangulation_error"]
    bad = np.abs(error) > 2
    assert predicted[known & bad].mean() > 1.3 * predicted[known & ~bad].mean()


def test_layers_are_registered_and_consistent() -> None:
    layers = scene("town")
    assert {p.shape for p in layers.values()} == {(160, 160)}
    assert (layers["truth_dsm"] >= layers["truth_dtm"] - 1).all()
    height = layers["truth_dsm"] - layers["truth_dtm"]
    assert height[layers["landcover"] == 3].mean() > 3
    # Both orthos show the same ground; only errors, noise and shadows differ.
    left, right = layers["ortho_left"], layers["ortho_right"]
    both = np.isfinite(left) & np.isfinite(right)
    assert np.corrcoef(left[both], right[both])[0, 1] > 0.6


def test_seed_decides_the_scene() -> None:
    a, b, c = scene("plain", 5), scene("plain", 5), scene("plain", 6)
    for name, plane in a.items():
        np.testing.assert_array_equal(plane, b[name])
    assert not np.array_equal(a["truth_dtm"], c["truth_dtm"])


def offset(layer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the offset of a layer from its reference in rows and columns, by least squares."""
    down, across = np.gradient(ndimage.gaussian_filter(truth, 1))
    error = ndimage.gaussian_filter(np.where(np.isnan(layer), truth, layer) - truth, 1)
    known = np.isfinite(layer)
    known &= np.abs(error) <= np.quantile(np.abs(error[known]), 0.9)
    terms = np.stack([down[known], across[known], np.ones(known.sum())], axis=1)
    solution = np.linalg.lstsq(terms, -error[known], rcond=None)[0]
    return float(solution[0]), float(solution[1])


@pytest.mark.parametrize("turn", [0.0, 90.0, 203.0])
@pytest.mark.parametrize("kind", ["sgbm", "census"])
@pytest.mark.parametrize("way", ["mean", "gaussian", "nearest", "highest"])
def test_layers_are_registered_with_the_reference(turn: float, kind: str, way: str) -> None:
    content = {
        **STEREO["hills"],
        "size": 256,
        "sensor": {"turn": turn, "jitter": 0, "misregistration": 0, "multispectral": 1},
        "matcher": {"kind": kind},
        "gridding": {"way": way},
    }
    settings = make_stereo_settings(content, "test")
    world = make_world(settings, np.random.default_rng(3))
    layers = simulate_stereo(settings, np.random.default_rng(3), world)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    light, truth = settings.light, world.dsm
    image = illuminate(truth, world.albedo, settings.gsd, light.azimuth, light.elevation)[inner]
    assert world.ndvi is not None
    expected = {"dsm": truth[inner], "ortho_left": image, "ndvi": world.ndvi[inner]}
    for name, plane in expected.items():
        seen = layers[name]
        # Scale brightness to the layer's mean and deviation; heights stay unchanged.
        gain = 1 if name == "dsm" else np.nanstd(seen) / plane.std()
        expected_values = (plane - plane.mean()) * gain + (
            plane.mean() if gain == 1 else np.nanmean(seen)
        )
        assert np.abs(offset(seen, expected_values)).max() < 0.1, name


@pytest.mark.parametrize("turn", [0.0, 30.0, 90.0, 200.0])
def test_views_are_displacements_along_the_rows_of_the_frame(turn: float) -> None:
    settings = make_stereo_settings({**SMALL, "sensor": {"incidence": [-15, 8]}}, "test")
    frame = EpipolarFrame.around(160, 10, 200, turn)
    columns, rows = frame.to_map(np.float32([[50, 51]]), np.float32([[60, 60]]))
    east, north = float(columns[0, 1] - columns[0, 0]), float(rows[0, 0] - rows[0, 1])
    for view, degrees in zip(views_of(settings, turn), (-15, 8), strict=True):
        slant = np.tan(np.radians(degrees))
        assert view.displacement == pytest.approx((slant * east, slant * north), abs=1e-4)
        assert view.incidence == pytest.approx(abs(degrees))


def test_tall_trees_are_matched_at_fine_pixels() -> None:
    """A search range around the ground alone misses them."""
    content = {
        **STEREO["forest"],
        "size": 256,
        "gsd": 0.3,
        "cover": {"forest": 0.9, "town": 0, "water": 0, "tree_height": (20, 28)},
        "sensor": {"incidence": (-15, 15)},
    }
    error = []
    for search in (None, 64):
        settings = make_stereo_settings({**content, "matcher": {"disparities": search}}, "test")
        layers = simulate_stereo(settings, np.random.default_rng(2))
        error.append(float(np.nanmean(np.abs(layers["dsm"] - layers["truth_dsm"]))))
    assert error[0] < 0.5 * error[1]


def test_right_image_of_another_day_differs() -> None:
    def agreement(light: dict[str, float]) -> float:
        content = {**STEREO["hills"], **SMALL, "sensor": {"turn": 0}, "light": light}
        layers = simulate_stereo(make_stereo_settings(content, "test"), np.random.default_rng(1))
        left, right = layers["ortho_left"], layers["ortho_right"]
        both = np.isfinite(left) & np.isfinite(right)
        return float(np.corrcoef(left[both], right[both])[0, 1])

    same = agreement({"later": 1})
    assert agreement({"later": 40, "higher": -15}) < same - 0.05, "shadows"
    assert agreement({"later": 1, "change": 0.2}) < same - 0.05, "reflectances"


def test_ndvi_is_displaced_like_the_images() -> None:
    """Undisplaced NDVI would leak the true positions of objects to a network."""
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

    def constant(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.zeros_like(left)

    layers = simulate_stereo(settings, rng(), world, constant)
    seen = layers["ndvi"]
    there = ndvi[MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert np.corrcoef(seen.ravel(), there.ravel())[0, 1] < 0.8, "the block is displaced"
    assert seen.max() > 0.6
    jump = np.abs(np.diff(seen, axis=0)).max()
    assert jump < 0.5 * 0.7, "coarser than the images"
