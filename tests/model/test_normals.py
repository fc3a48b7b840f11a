"""Offsets and scales of layers for a scene."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.model.contract import Contract
from demiurge.model.normals import InputLayer, normals_of
from demiurge.predict.sources import ArrayReader, scene_of
from demiurge.scene.scene import Scene

GRID = GeoBox((64, 64), Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32633")
JOINT = [
    InputLayer(name=name, normalise="joint", optional=name == "nir")
    for name in ("red", "green", "blue", "nir")
]


def scene(gain: float = 1.0, offset: float = 0.0, **changes: np.ndarray) -> Scene:
    """Return a scene whose green is twice its red, and blue three times."""
    red = np.random.default_rng(0).uniform(100, 200, (64, 64)).astype(np.float32)
    bands = {"red": red, "green": 2 * red, "blue": 3 * red, "nir": 9 * red, **changes}
    bands = {name: np.float32(gain) * band + np.float32(offset) for name, band in bands.items()}
    return scene_of(ArrayReader(bands, GRID))


def test_joint_statistics_are_those_of_all_required_bands() -> None:
    normals = normals_of(JOINT, scene())
    values = scene().read(layers=["red", "green", "blue"]).astype(np.float64)
    assert set(normals.values()) == {normals["red"]}, "one offset and scale for all bands"
    assert normals["red"] == pytest.approx((values.mean(), values.std()), rel=1e-4)


def test_an_optional_band_does_not_change_the_others() -> None:
    cloudy = np.full((64, 64), np.nan, np.float32)
    with_nir, without = normals_of(JOINT, scene()), normals_of(JOINT, scene(nir=cloudy))
    assert with_nir == without


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (55.0, 5000.0)])
def test_products_of_other_units_give_the_same_input(gain: float, offset: float) -> None:
    """Reflectance, digital numbers and 8 bits differ by one gain and offset."""
    contract = Contract(layers=JOINT, targets=["dtm"], relative=True)
    planes = []
    for one in (scene(), scene(gain, offset)):
        data = one.read(layers=contract.names)
        planes.append(contract.encode(data, 10.0, contract.normals(one)).planes)
    np.testing.assert_allclose(planes[0], planes[1], atol=2e-3)


def test_colours_survive_joint_statistics_but_not_those_of_each_band() -> None:
    alone = [entry.model_copy(update={"normalise": "scene"}) for entry in JOINT]
    data = scene().read(layers=["red", "green"])
    means = {}
    for key, layers in {"joint": JOINT, "scene": alone}.items():
        normals = normals_of(layers, scene())
        means[key] = [
            float((plane.mean() - normals[name][0]) / normals[name][1])
            for name, plane in zip(("red", "green"), data, strict=True)
        ]
    assert means["scene"] == pytest.approx([0, 0], abs=1e-3)
    assert means["joint"][1] - means["joint"][0] > 1


def test_without_contrast_the_statistics_of_the_bundle_count() -> None:
    flat = np.full((64, 64), 7.0, np.float32)
    layers = [InputLayer(name="red", normalise="joint", offset=3.0, scale=2.0)]
    assert normals_of(layers, scene(red=flat)) == {"red": (3.0, 2.0)}
