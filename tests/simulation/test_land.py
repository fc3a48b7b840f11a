"""Bare earth: fractal heights, steps, rivers, snow, detail."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from scipy import ndimage

from demiurge.simulation.filters import slope_tangent
from demiurge.simulation.fractal import fractal
from demiurge.simulation.land import (
    add_detail,
    add_steps,
    carve_rivers,
    make_bare_earth,
    make_heights,
)
from demiurge.simulation.settings import TerrainSettings


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_heights_have_the_requested_relief_and_are_not_periodic() -> None:
    heights = make_heights((200, 260), 80.0, 0.9, 10, rng())
    assert heights.shape == (200, 260)
    assert np.isfinite(heights).all()
    low, high = np.percentile(heights, (1, 99))
    assert high - low == pytest.approx(80, rel=0.15)
    inner = np.abs(np.diff(heights, axis=1)).mean()
    assert np.abs(heights[:, 0] - heights[:, -1]).mean() > 5 * inner


def test_fractals_and_valleys_are_isotropic() -> None:
    """Slopes are equal in all directions and at all lattice positions."""

    def mean_slope(heights: np.ndarray, angle: float) -> float:
        down, across = np.gradient(heights)
        return float(np.abs(across * np.cos(angle) + down * np.sin(angle)).mean())

    slopes = [
        np.mean([mean_slope(make_heights((200, 200), 60.0, 0.9, 12, rng(s)), a) for s in range(6)])
        for a in np.radians((0, 45, 90, 135))
    ]
    assert max(slopes) < 1.3 * min(slopes)
    surface = fractal((512, 512), 0.9, rng(1))
    step = np.abs(np.diff(surface, axis=1))
    phases = [step[:, k::8].mean() for k in range(8)]
    assert max(phases) < 1.1 * min(phases)


def test_steps_have_treads_and_risers_and_keep_the_mean() -> None:
    ramp = np.broadcast_to(np.linspace(0, 60, 400, dtype=np.float32), (300, 400)).copy()
    stepped = add_steps(ramp, 10.0, 9.0, 0.999, rng(2))
    slope = slope_tangent(stepped, 1.0)
    assert np.quantile(slope, 0.98) > 4 * 60 / 400, "risers are steep"
    assert np.median(slope) < 0.7 * 60 / 400, "treads are flat"
    assert abs(stepped.mean() - ramp.mean()) < 0.1


def test_rivers_run_downhill_in_beds_and_are_level_across() -> None:
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    valley = 0.05 * (300 - rows) + 0.1 * np.abs(columns - 150)
    land = carve_rivers(valley, 1.0, 12.0, rng(3))
    assert land.water.any()
    assert not (land.water & land.gravel).any()
    distance = np.abs(np.argwhere(land.water)[:, 1] - 150)
    assert np.median(distance) < 10, "the river runs in the valley"
    level = [land.heights[r][land.water[r]].mean() for r in (40, 140, 240) if land.water[r].any()]
    assert level == sorted(level, reverse=True), "water runs down the rows"
    assert (land.heights <= valley + 0.5).all(), "beds are cut, not raised"


def test_snow_is_on_high_ground_and_smooth() -> None:
    settings = TerrainSettings(steepness=0.4, roughness=0.7, snow=0.4)
    land = make_bare_earth((256, 256), 1.0, settings, rng(4))
    assert 0.3 < land.snow.mean() < 0.5
    assert land.heights[land.snow].mean() > land.heights[~land.snow].mean()

    def rough(mask: np.ndarray) -> float:
        return float(np.abs(ndimage.laplace(land.heights))[mask].mean())

    inside = ndimage.binary_erosion(land.snow, iterations=4)
    assert rough(inside) < 0.5 * rough(~land.snow)


def test_detail_follows_the_roughness_of_real_terrain() -> None:
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    plane = 0.3 * rows + 0.1 * columns
    np.testing.assert_allclose(add_detail(plane, 1.0, 20.0, rng()), plane, atol=1e-2)
    rough = ndimage.zoom(make_heights((18, 18), 60.0, 0.8, 0, rng(5)), 20, order=3)[:300, :300]
    added = add_detail(rough, 1.0, 20.0, rng()) - rough
    assert 0.05 < added.std() < 3
    np.testing.assert_array_equal(add_detail(rough, 1.0, 1.0, rng()), rough)
