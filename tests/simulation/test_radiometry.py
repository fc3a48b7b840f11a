"""Products and clouds of optical scenes, and rivers on real heights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from demiurge.errors import ConfigError
from demiurge.simulation.landscape_settings import ProductSettings
from demiurge.simulation.optical import MARGIN, simulate_optical
from demiurge.simulation.radiometry import draw_clouds, to_product
from demiurge.simulation.schedule import RealFiles, plan_jobs
from demiurge.simulation.settings import SkySettings, SunSettings, make_optical_settings

SUN = SunSettings(azimuth=180, elevation=30)
NAMES = ("blue", "green", "red", "nir")


def product(**settings: Any) -> dict[str, np.ndarray]:
    ramp = np.linspace(0.0, 0.5, 64 * 64, dtype=np.float32).reshape(64, 64)
    bands = {name: ramp.copy() for name in NAMES}
    return to_product(bands, ProductSettings(**settings), SUN, np.random.default_rng(0))


def test_reflectances_and_numbers_have_the_scale_of_their_product() -> None:
    assert product(kind="toa")["red"].max() == 5000
    # Landsat 8: 50,000 times reflectance times the sine of 30 degrees, plus 5,000.
    assert product(kind="dn16")["red"].max() == pytest.approx(0.5 * 50_000 * 0.5 + 5_000, abs=1)
    eight = product(kind="dn8")["red"]
    assert 1 <= eight.min() < 20
    assert eight.max() <= 255
    assert (eight == np.rint(eight)).all()


def test_pictures_are_stretched_between_percentiles() -> None:
    red = product(kind="picture", stretch=(10, 90))["red"]
    assert (red.min(), red.max()) == (1, 255)
    assert (red == 255).mean() == pytest.approx(0.1, abs=0.01)
    soft = product(kind="picture", stretch=(10, 90), jpeg=40)["red"]
    assert 0.3 < np.abs(soft - red).mean() < 12
    with pytest.raises(ConfigError, match=r"product.stretch is 98 to 2"):
        make_optical_settings({"product": {"stretch": [98, 2]}}, "simulate")


def test_clouds_cover_their_share_and_cast_shadows_away_from_the_sun() -> None:
    sky = SkySettings(clouds=0.1)
    drawn = draw_clouds((400, 400), 10.0, sky, SUN, np.random.default_rng(3))
    assert drawn is not None
    opacity, hidden = drawn
    cloud = opacity > 0.4
    assert 0.03 < cloud.mean() < 0.12
    shadow = np.argwhere(hidden & ~cloud)
    assert hidden[cloud].all()
    assert shadow[:, 0].mean() < np.argwhere(cloud)[:, 0].mean(), "the sun stands in the south"
    assert draw_clouds((9, 9), 10.0, SkySettings(), SUN, np.random.default_rng(3)) is None


def test_masked_clouds_are_no_data_in_the_bands_only() -> None:
    settings = make_optical_settings({"size": 128, "sky": {"clouds": 0.2}}, "")
    layers = simulate_optical(settings, np.random.default_rng(1)).layers
    voids = np.isnan(layers["red"])
    assert 0.02 < voids.mean() < 0.8
    for name in NAMES:
        np.testing.assert_array_equal(np.isnan(layers[name]), voids)
    assert np.isfinite(layers["truth_dtm"]).all()


def test_rivers_on_real_heights_leave_them_unchanged() -> None:
    side = 160 + 2 * MARGIN
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    valley = np.asarray(2 * rows + 3 * np.abs(columns - side / 2), np.float32)
    config = {"size": 160, "terrain": {"river": 120}, "landscape": {"water": 0, "dry": 0}}
    settings = make_optical_settings(config, "")
    layers = simulate_optical(settings, np.random.default_rng(1), valley.copy(), 10.0).layers
    inner = slice(MARGIN, -MARGIN)
    np.testing.assert_array_equal(layers["truth_dtm"], valley[inner, inner])
    water = layers["landcover"] == 5
    assert water.any()
    assert np.median(np.abs(np.argwhere(water)[:, 1] - 80)) < 10


def test_stated_shares_replace_the_drawn_ones(tmp_path: Path) -> None:
    config = {"landscape": {"forest": 0.7}}
    jobs = plan_jobs(
        tmp_path, "optical", "hills", config, RealFiles(), sites=10, seed=0, vary=True,
        terrain_only=False, overwrite=False,
    )  # fmt: skip
    shares = [job.settings.model_dump()["landscape"] for job in jobs]
    assert {s["forest"] for s in shares} == {0.7}
    assert len({s["contrast"] for s in shares}) == 10
