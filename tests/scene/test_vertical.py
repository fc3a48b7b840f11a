"""Vertical references and units of heights: unit texts, vertical axes, horizontal feet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin

from conftest import LEFT, PIXEL, TOP, terrain
from demiurge.errors import DataError
from demiurge.layers import layer
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical
from demiurge.scene.vertical import (
    agree,
    axis_factor,
    height_factor,
    unit_factor,
    unit_name,
    vertical_factor,
    vertical_of,
)

Write = Callable[..., Path]
US_FOOT = 1200 / 3937


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        (None, 1), ("", 1), ("unspecified", 1), ("1", 1), ("none", 1), ("Unknown", 1),
        ("m", 1), ("Metre", 1), ("metres above EGM96", 1), ("metro", 1), ("m a.s.l.", 1),
        ("meters (NAVD88)", 1), ("[m]", 1),
        ("ft", 0.3048), ("Feet", 0.3048), ("international foot", 0.3048),
        ("US survey foot", US_FOOT), ("us_survey_foot", US_FOOT), ("ftUS", US_FOOT),
        ("survey feet", US_FOOT), ("cm", 0.01), ("decimetres", 0.1), ("km", 1000),
        ("m/s", None), ("m2", None), ("degrees", None), ("metric tons", None), ("fathoms", None),
    ],
)  # fmt: skip
def test_unit_texts(text: str | None, factor: float | None) -> None:
    assert unit_factor(text) == (None if factor is None else pytest.approx(factor, rel=1e-12))


@pytest.mark.parametrize(
    ("crs", "across", "up"),
    [
        ("EPSG:32633", 1, None),
        ("EPSG:4326", None, None),
        ("EPSG:2225", US_FOOT, None),
        ("EPSG:2222", 0.3048, None),
        ("EPSG:32633+5773", 1, 1),
        ("EPSG:2225+6360", US_FOOT, US_FOOT),
        ("EPSG:26910+8228", 1, 0.3048),
        ("EPSG:4979", None, 1),
    ],
)
def test_axes(crs: str, across: float | None, up: float | None) -> None:
    for wanted, result in ((across, axis_factor), (up, vertical_factor)):
        expected = None if wanted is None else pytest.approx(wanted, rel=1e-9)
        assert result(pyproj.CRS(crs)) == expected


def test_height_factors_of_unit_texts_and_crss() -> None:
    feet, plain = pyproj.CRS("EPSG:2225"), pyproj.CRS("EPSG:32633")
    assert height_factor("a", plain, "") == 1
    assert height_factor("a", plain, "ft") == 0.3048
    assert height_factor("a", feet, "m") == 1
    assert height_factor("a", pyproj.CRS("EPSG:26910+8228"), "") == 0.3048
    # The CRS distinguishes the kinds of feet.
    assert height_factor("a", pyproj.CRS("EPSG:2225+6360"), "ft") == pytest.approx(US_FOOT, 1e-12)
    with pytest.raises(DataError, match="the unit of heights is unspecified"):
        height_factor("a", feet, "unspecified")
    with pytest.raises(
        DataError, match="the unit of heights is 'm', but heights of its CRS are in US survey feet"
    ):
        height_factor("a", pyproj.CRS("EPSG:2225+6360"), "m")
    with pytest.raises(DataError, match="the unit of heights, 'furlongs', is unknown"):
        height_factor("a", plain, "furlongs")
    assert unit_name(0.3048) == "feet"
    assert unit_name(2.0) == "units of 2 m"


@pytest.mark.parametrize("text", ["unspecified", "1", "none", "metres above EGM96", "metro"])
def test_metres_and_unspecified_units_pass(raster: Write, text: str) -> None:
    source = Source.open(raster("a.tif", terrain(), unit=text), layer("dsm"))
    assert source.read(source.grid, _whole(source)).max() == terrain().max()


def _whole(source: Source) -> Any:
    from demiurge.scene.grid import full_window

    return full_window(source.grid)


@pytest.mark.parametrize("driver", ["GTiff", "ENVI", "netCDF", "VRT"])
def test_a_vertical_unit_in_the_crs_applies_in_every_format(tmp_path: Path, driver: str) -> None:
    plain = tmp_path / "plain.tif"
    profile = {"count": 1, "height": 160, "width": 192, "dtype": "float32"}
    place = from_origin(LEFT, TOP, PIXEL, PIXEL)
    crs = "EPSG:26910+6360"  # NAVD88 height in US survey feet
    names = {"GTiff": "a.tif", "ENVI": "a.img", "netCDF": "a.nc", "VRT": "a.vrt"}
    path = tmp_path / names[driver]
    with rasterio.open(plain, "w", driver="GTiff", crs=crs, transform=place, **profile) as file:
        file.write(terrain(), 1)
    if driver == "VRT":
        wkt = pyproj.CRS(crs).to_wkt().replace('"', "&quot;")
        path.write_text(
            f'<VRTDataset rasterXSize="192" rasterYSize="160"><SRS>{wkt}</SRS>'
            f"<GeoTransform>{LEFT}, {PIXEL}, 0, {TOP}, 0, -{PIXEL}</GeoTransform>"
            '<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
            '<SourceFilename relativeToVRT="1">plain.tif</SourceFilename><SourceBand>1</SourceBand>'
            "</SimpleSource></VRTRasterBand></VRTDataset>"
        )
    elif driver != "GTiff":
        rasterio.shutil.copy(plain, path, driver=driver)
    else:
        path = plain
    with pytest.raises(DataError, match=r"US survey f.*gdal_calc"):
        Source.open(path, layer("dsm"))


def test_state_plane_in_feet_needs_a_unit_of_heights(raster: Write) -> None:
    place = from_origin(6_000_000, 2_000_000, 6, 6)
    silent = raster("silent.tif", terrain(), crs="EPSG:2225", transform=place)
    with pytest.raises(
        DataError, match=r"US survey feet and the unit of heights is unspecified.*-units m"
    ):
        Source.open(silent, layer("dsm"))
    assert Source.open(silent, layer("ortho_left")).band == 1  # images have no heights
    declared = raster("declared.tif", terrain(), crs="EPSG:2225", transform=place, unit="m")
    source = Source.open(declared, layer("dsm"))
    assert np.isfinite(source.read(source.grid, _whole(source))).all()


def test_a_band_in_metres_under_a_crs_in_feet_is_refused(raster: Write) -> None:
    path = raster("a.tif", terrain(), crs="EPSG:26910+6360", unit="m")
    with pytest.raises(
        DataError, match="the unit of heights is 'm', but heights of its CRS are in US survey feet"
    ):
        Source.open(path, layer("dsm"))


def test_relative_heights_are_refused(raster: Write) -> None:
    path = raster("relative.tif", terrain(20, 20), unit="relative")
    with pytest.raises(DataError, match=r"heights are relative, not metres; .*--points") as caught:
        Source.open(path, layer("dsm"))
    assert "0.3048" not in str(caught.value)


@pytest.mark.parametrize(
    ("crs", "reference"),
    [
        ("EPSG:32633", "unknown"),
        ("EPSG:4979", "ellipsoidal"),
        ("EPSG:32633+5773", "orthometric"),
        ("EPSG:4326+3855", "orthometric"),
    ],
)
def test_vertical_references(crs: str, reference: str) -> None:
    assert vertical_of(pyproj.CRS(crs)).reference == reference


def test_unknown_references_adopt_the_known_one() -> None:
    known = Vertical(reference="ellipsoidal", datum="WGS 84")
    assert agree({"a": Vertical(), "b": known, "c": Vertical()}) == known
    with pytest.raises(DataError, match="--to-vertical"):
        agree({"a": known, "b": Vertical(reference="orthometric", datum="EGM96 height")})
