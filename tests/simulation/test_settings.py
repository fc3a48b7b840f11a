"""Settings, styles and random variation."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from demiurge.errors import ConfigError
from demiurge.simulation.settings import make_optical_settings, make_stereo_settings
from demiurge.simulation.styles import STEREO, varied


@pytest.mark.parametrize("style", list(STEREO))
def test_stereo_styles_are_valid(style: str) -> None:
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
def test_invalid_stereo_settings(content: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_stereo_settings(content, "simulate")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"gsd": 5}, "gsd"),
        ({"light": {"elevation": -1}}, "light.elevation"),
        ({"landscape": {"forest": 0.9, "crops": 0.5}}, "landscape: the shares sum to more than 1"),
        ({"sensor": {"bands": ["infrared"]}}, "sensor.bands"),
        ({"prior": {"gsd": 500}}, "prior.gsd"),
        ({"family": "stereo"}, "family"),
    ],
)
def test_invalid_optical_settings(content: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_optical_settings(content, "simulate")


@pytest.mark.parametrize("family", ["stereo", "optical"])
def test_varied_settings_are_valid(family: str) -> None:
    make = make_stereo_settings if family == "stereo" else make_optical_settings
    for seed in range(200):
        make(varied(family, np.random.default_rng(seed)), family)
