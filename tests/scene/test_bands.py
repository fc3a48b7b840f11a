"""Recognition of bands by description, sensor and colour; bands that cannot be heights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from conftest import make_bundle, terrain
from demiurge.errors import DataError, UsageError
from demiurge.layers import layer
from demiurge.predict.api import generate
from demiurge.scene.bands import bands_of, name_inputs, recognise_bands, sensor_of
from demiurge.scene.files import open_raster
from demiurge.scene.open import scene_from_files
from demiurge.scene.source import Source

Write = Callable[..., Path]
TM = ["B1", "B2", "B3", "B4", "B5", "B7"]


def stack(bands: int, dtype: str = "float32") -> np.ndarray:
    return np.stack([(terrain(seed=i) + 20 * i).astype(dtype) for i in range(bands)])


def numbers(path: str) -> dict[str, int]:
    return {n: int(f.rpartition(":")[2]) for n, f in recognise_bands(path).items()}


@pytest.mark.parametrize(
    ("name", "bands", "expected"),
    [
        ("LE07_L1TP_015032.tif", TM, {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        ("pennsylvania_landsat7.tif", TM, {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        ("landsat-5 scene.tif", TM, {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        ("LC08_L2SP_x.tif", ["SR_B2", "SR_B3", "SR_B4", "SR_B5"],
         {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        ("LC09_x.tif", ["B8", "B5"], {"nir": 2}),
        ("S2A_MSIL2A.tif", ["B02", "B03", "B04", "B08"],
         {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        ("T32TQM_20200101T101021_x.tif", ["B4", "B3", "B2"], {"red": 1, "green": 2, "blue": 3}),
        ("plain.tif", ["B04", "B8A"], {"red": 1, "nir_narrow": 2}),
    ],
)  # fmt: skip
def test_band_numbers_depend_on_the_sensor(
    raster: Write, name: str, bands: list[str], expected: dict[str, int]
) -> None:
    path = raster(name, stack(len(bands)), names=bands)
    result = numbers(str(path))
    assert {n: b for n, b in result.items() if n in expected} == expected
    assert len(set(result.values())) == len(result)


def test_the_sensor_is_read_from_tags_and_folders(tmp_path: Path, raster: Write) -> None:
    path = raster("image.tif", stack(4), names=TM[:4])
    with pytest.raises(
        UsageError, match=r"numbered \(B1, B2, B3\).*the sensor is unknown; write LAYER"
    ):
        name_inputs([str(path)])
    with rasterio.open(path, "r+") as file:
        file.update_tags(SPACECRAFT_ID="LANDSAT_8")
    assert numbers(str(path)) == {"coastal": 1, "blue": 2, "green": 3, "red": 4}
    folder = tmp_path / "LT05_L1TP_170072"
    folder.mkdir()
    (tmp_path / "other.tif").write_bytes(raster("o.tif", stack(4), names=TM[:4]).read_bytes())
    (tmp_path / "other.tif").rename(folder / "stack.tif")
    assert numbers(str(folder / "stack.tif"))["nir"] == 4


def test_contradictory_sensors_are_ignored(raster: Write) -> None:
    path = raster("landsat7_or_landsat8.tif", stack(4), names=TM[:4])
    with open_raster(path) as dataset:
        assert sensor_of(str(path), dataset) is None
    with pytest.raises(UsageError, match="the sensor is unknown"):
        recognise_bands(str(path))


def test_colours_do_not_name_numbered_bands(raster: Write) -> None:
    """GDAL labels the first three 8-bit bands red, green and blue, whatever their content."""
    path = raster("a.tif", stack(3, "uint8"), names=["B1", "B2", "B3"], photometric="RGB")
    with pytest.raises(UsageError, match="the sensor is unknown"):
        recognise_bands(str(path))


def test_two_bands_of_one_layer_are_an_error(raster: Write) -> None:
    path = raster("a.tif", stack(3), names=["red", "red", "green"])
    with pytest.raises(UsageError, match="bands 1 and 2 both describe 'red'"):
        recognise_bands(str(path))


def test_notes_list_used_and_unused_bands(raster: Write, tmp_path: Path) -> None:
    path = raster("four.tif", stack(5), names=["red", "green", "blue", "", "?"])
    result = bands_of(str(path), "")
    assert result.others == (4, 5)
    said = result.using({"red": 1, "green": 2})
    assert said.endswith("red is band 1, green is band 2; not used: bands 3 to 5")
    bundle = make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("dem_prior", "red", "nir"),
        base="dem_prior", targets=("dtm",), optional=("nir",),
    )  # fmt: skip
    surface = generate(
        path, tmp_path / "out.tif", prior=raster("prior.tif", terrain()), bundle=bundle
    )
    assert f"{path}: red is band 1; not used: bands 2 to 5" in surface.notes
    landsat = raster("LE07_a.tif", stack(6), names=TM)
    surface = generate(
        landsat, tmp_path / "out2.tif", prior=raster("prior.tif", terrain()), bundle=bundle
    )
    said = "red is band 3, nir is band 4, by the numbering of Landsat 7; not used: bands 1, 2, 5, 6"
    assert any(said in note for note in surface.notes)
    numbered = raster("a.tif", stack(6), names=TM)
    with pytest.raises(UsageError, match="the sensor is unknown; name its bands with --bands"):
        generate(numbered, tmp_path / "no.tif", prior=raster("prior.tif", terrain()), bundle=bundle)


@pytest.mark.parametrize(
    ("options", "dtype", "match"),
    [
        ({"photometric": "RGB"}, "uint8", r"band 1 is a colour \(red\).*Terrain-RGB"),
        ({"names": ["red", "green", "blue"]}, "float32", "described as 'red', an image band"),
        ({"names": ["B2", "B3", "B4"]}, "uint16", "described as 'B2', an image band"),
    ],
)
@pytest.mark.parametrize("name", ["dem_prior", "dsm", "truth_dtm"])
def test_pictures_are_refused_as_heights(
    raster: Write, options: dict[str, Any], dtype: str, match: str, name: str
) -> None:
    path = raster("a.tif", stack(3, dtype), **options)
    with pytest.raises(DataError, match=match):
        Source.open(path, layer(name))
    with pytest.raises(DataError, match=match):
        Source.open(path, layer(name), 1)
    assert Source.open(path, layer("red"), 1).band == 1


def test_eight_bits_are_refused_as_heights_unless_scaled(raster: Write) -> None:
    data = terrain().astype(np.uint8)
    path = raster("a.tif", data)
    with pytest.raises(DataError, match=r"has 8 bits, like a picture.*-ot Int16"):
        Source.open(path, layer("dem_prior"))
    scaled = raster("b.tif", data, scale=10.0)
    assert Source.open(scaled, layer("dem_prior")).band == 1
    assert Source.open(path, layer("truth_height")).band == 1  # canopies are low


def test_palettes_are_refused_as_heights(raster: Write) -> None:
    path = raster("a.tif", terrain().astype(np.uint8), photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {i: (i, 0, 0, 255) for i in range(256)})
    with pytest.raises(DataError, match=r"is a colour \(palette\)"):
        Source.open(path, layer("dsm"))


def test_one_band_cannot_be_image_and_heights(raster: Write, tmp_path: Path) -> None:
    path = raster("a.tif", terrain())
    link = tmp_path / "link.tif"
    link.symlink_to(path)
    with pytest.raises(UsageError, match="band 1 is given as 'ortho_left' and as 'dem_prior'"):
        scene_from_files({"ortho_left": path, "dem_prior": link})
    two = raster("two.tif", stack(2))
    with pytest.raises(
        UsageError, match=r"'dem_prior' could be any of them; name the band, as .*two"
    ):
        scene_from_files({"red": f"{two}:2", "dem_prior": two})
    scene = scene_from_files({"red": f"{two}:1", "dem_prior": f"{two}:2"})
    assert scene.base == "dem_prior"
