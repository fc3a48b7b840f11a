import pytest

from demiurge import layers
from demiurge.errors import UsageError


def test_every_layer_has_resampling_and_unit() -> None:
    allowed = {"bilinear", "cubic", "nearest", "mode", "min"}
    for layer in layers.LAYERS.values():
        assert layer.resampling in allowed
        assert layer.unit
        assert layer.void
    assert layers.layer("landcover").resampling == "nearest"
    assert layers.layer("valid").resampling == "min"


def test_heights_are_interpolated() -> None:
    heights = [x for x in layers.LAYERS.values() if x.kind is layers.Kind.HEIGHT]
    assert len(heights) >= 5
    assert all(x.resampling in ("bilinear", "cubic") and x.unit == "m" for x in heights)


def test_unknown_layer_names_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean 'ortho_left'"):
        layers.layer("orto_left")


@pytest.mark.parametrize(
    ("description", "name"),
    [("red", "red"), ("B08", None), ("Ortho-Left", "ortho_left"), ("x", None), (None, None)],
)
def test_bands_are_recognised_by_description(description: str | None, name: str | None) -> None:
    assert layers.recognise(description) == name


@pytest.mark.parametrize(
    ("description", "sensor", "name"),
    [
        ("B4", "sentinel2", "red"),
        ("B04", "sentinel2", "red"),
        ("B4, central wavelength 665 nm", "sentinel2", "red"),
        ("B8A", "sentinel2", "nir_narrow"),
        ("B4", "landsat5", "nir"),
        ("B3", "landsat7", "red"),
        ("B6", "landsat7", None),
        ("B4", "landsat8", "red"),
        ("SR_B5", "landsat9", "nir"),
        ("B8", "landsat8", None),
        ("B4", None, None),
        ("B4", "ikonos", None),
    ],
)
def test_band_numbers_depend_on_the_sensor(
    description: str, sensor: str | None, name: str | None
) -> None:
    assert layers.recognise(description, sensor) == name
