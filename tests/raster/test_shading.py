"""Incidence of the sun, and the sun from shading."""

import numpy as np
import pytest

from demiurge.raster.orientation import unit_vector
from demiurge.raster.shading import ShadingSums, incidence


def hills(side: int = 300, seed: int = 0) -> np.ndarray:
    """Return relief at all scales, some 300 m of it at pixels of 30 m, float32."""
    rng = np.random.default_rng(seed)
    y, x = (np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    size = np.maximum(np.hypot(y, x), 1 / side)
    spectrum = (rng.standard_normal(size.shape) + 1j * rng.standard_normal(size.shape)) / size**1.9
    heights = np.fft.irfft2(spectrum, (side, side))
    return (60 * heights / heights.std()).astype(np.float32)


@pytest.mark.parametrize(("azimuth", "slope_to"), [(90, "east"), (180, "south")])
def test_a_plane_that_faces_the_sun_is_lit_by_its_slope(azimuth: float, slope_to: str) -> None:
    """Ground that descends towards the sun by 30 degrees under a sun at 40 degrees."""
    step = np.arange(50, dtype=np.float32) * np.float32(2 * np.tan(np.radians(30)))
    heights = np.broadcast_to(-step if slope_to == "east" else -step[:, None], (50, 50))
    lit = incidence(np.ascontiguousarray(heights), 2.0, unit_vector(azimuth, 40))
    np.testing.assert_allclose(lit, np.sin(np.radians(40 + 30)), atol=1e-5)
    behind = incidence(np.ascontiguousarray(heights), 2.0, unit_vector(azimuth + 180, 40))
    np.testing.assert_allclose(behind, np.sin(np.radians(40 - 30)), atol=1e-5)


def image_of(heights: np.ndarray, azimuth: float, elevation: float, seed: int = 1) -> np.ndarray:
    """Return two bands: shaded heights with patches of albedo and noise."""
    rng = np.random.default_rng(seed)
    light = np.maximum(incidence(heights, 30.0, unit_vector(azimuth, elevation)), 0)
    patches = 1 + 0.2 * (hills(len(heights), 7) > 20)
    noise = 1 + 0.03 * rng.standard_normal((2, *heights.shape))
    return np.asarray(1000 * light * patches * noise, np.float32)


@pytest.mark.parametrize(("azimuth", "elevation"), [(150, 45), (30, 60), (250, 35), (340, 50)])
def test_a_known_sun_is_recovered_from_rendered_shading(azimuth: float, elevation: float) -> None:
    heights = hills()
    images = image_of(heights, azimuth, elevation)
    images[0, :40, :60] = np.nan
    sums = ShadingSums()
    sums.add(images, heights, 30.0)
    fit = sums.fit()
    assert fit is not None
    assert fit.clear
    assert abs((fit.azimuth - azimuth + 180) % 360 - 180) < 10
    assert fit.elevation == pytest.approx(elevation, abs=10)


def test_noise_and_images_of_another_place_are_not_clear() -> None:
    heights = hills()
    rng = np.random.default_rng(3)
    others = [image_of(hills(seed=seed), 150, 45) for seed in (11, 12, 13)]
    noises = [1000 + 100 * rng.standard_normal((2, 300, 300)).astype(np.float32) for _ in range(3)]
    for images in (*others, *noises):
        sums = ShadingSums()
        sums.add(images, heights, 30.0)
        fit = sums.fit()
        assert fit is None or not fit.clear


def test_level_ground_and_small_areas_show_no_sun() -> None:
    images = np.ones((1, 100, 100), np.float32)
    sums = ShadingSums()
    assert sums.fit() is None
    sums.add(images, np.zeros((100, 100), np.float32), 30.0)
    assert sums.fit() is None
    ridge = np.broadcast_to(np.sin(np.arange(100) / 5), (100, 100)).astype(np.float32)
    sums = ShadingSums()
    sums.add(images + ridge, ridge, 30.0)
    assert sums.fit() is None, "slopes along one line tell nothing across it"
