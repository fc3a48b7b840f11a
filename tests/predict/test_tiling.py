import numpy as np
import pytest

from demiurge.errors import UsageError
from demiurge.predict.tiling import Blender, taper, tile
from demiurge.scene.grid import Window

SHAPES = [(10, 10), (64, 64), (65, 200), (300, 64), (257, 511)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_every_pixel_is_covered(shape: tuple[int, int], overlap: float) -> None:
    plan = tile(shape, 64, overlap)
    seen = np.zeros(shape, int)
    for row in plan.rows:
        for column in plan.columns:
            window = plan.window(row, column)
            assert window.row + window.height <= shape[0]
            assert window.col + window.width <= shape[1]
            seen[window.slices] += 1
    assert seen.min() >= 1
    assert plan.count == len(plan.rows) * len(plan.columns)


def test_a_small_raster_gets_a_small_window() -> None:
    assert tile((40, 70), 512, 0.25).size == 96
    # A network of depth 8 accepts only multiples of 256 pixels.
    assert tile((40, 70), 512, 0.25, multiple=256).size == 256


@pytest.mark.parametrize("overlap", [-0.1, 0.95, 2])
def test_overlaps_out_of_range_are_refused(overlap: float) -> None:
    with pytest.raises(UsageError):
        tile((100, 100), 64, overlap)


def test_tapers_of_neighbours_sum_to_one() -> None:
    weights = taper(64, 16)[32]
    np.testing.assert_allclose(weights[-16:] + weights[:16], weights.max(), rtol=1e-5)
    assert weights.min() > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_blending_windows_of_a_surface_restores_it(shape: tuple[int, int], overlap: float) -> None:
    rng = np.random.default_rng(0)
    surface = rng.uniform(3000, 3100, (2, *shape)).astype(np.float32)
    plan = tile(shape, 64, overlap)
    blender = Blender(Window(0, 0, *shape), plan.size, 2)
    weights = taper(plan.size, plan.overlap)
    parts = []
    for index, row in enumerate(plan.rows):
        for column in plan.columns:
            window = plan.window(row, column)
            part = surface[:, *window.slices].copy()
            blender.add(window, part, weights[: window.height, : window.width])
        last = index + 1 == len(plan.rows)
        parts.append(blender.take(shape[0] if last else plan.rows[index + 1])[0])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), surface, rtol=1e-6)


def test_pixels_without_weight_are_nan_and_nan_does_not_spread() -> None:
    plan = tile((64, 112), 64, 0.25)
    blender = Blender(Window(0, 0, 64, 112), plan.size, 1)
    weights = taper(64, 16)
    left = np.ones((1, 64, 64), np.float32)
    left[:, :, 60:] = np.nan
    known = weights * np.isfinite(left[0])
    blender.add(plan.window(0, 0), left, known)
    right = np.full((1, 64, 64), 3.0, np.float32)
    blender.add(plan.window(0, 48), right, weights * (np.arange(64) < 40))
    out = blender.take(64)[0][0]
    assert (out[:, :48] == 1).all()
    assert np.isfinite(out[:, :88]).all()
    assert np.isnan(out[:, 88:]).all()
