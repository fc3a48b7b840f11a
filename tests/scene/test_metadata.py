"""Directions in metadata files, written in the formats of the vendors."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import write_raster
from demiurge.scene.metadata import ImageMetadata, read_metadata

IMD = """version = "28.4";
BEGIN_GROUP = IMAGE_1
\tsatId = "WV03";
\tfirstLineTime = 2014-10-05T16:01:38.000000Z;
\tmeanSunAz = 150.3;
\tmeanSunEl = 50.8;
\tmeanSatAz = 21.5;
\tmeanSatEl = 69.9;
\tmeanOffNadirViewAngle = 18.3;
END_GROUP = IMAGE_1
END;
"""
ISD = """<?xml version="1.0" encoding="UTF-8"?>
<isd><IMD><IMAGE><SATID>WV02</SATID><MEANSUNAZ>1.503e+02</MEANSUNAZ><MEANSUNEL>50.8</MEANSUNEL>
<MEANSATAZ>21.5</MEANSATAZ><MEANSATEL>69.9</MEANSATEL></IMAGE></IMD></isd>
"""
DIMAP_2 = """<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document><Geometric_Data><Use_Area>
<Located_Geometric_Values><LOCATION_TYPE>Top Center</LOCATION_TYPE>
<Acquisition_Angles><AZIMUTH_ANGLE unit="deg">180.1</AZIMUTH_ANGLE>
<INCIDENCE_ANGLE unit="deg">12.1</INCIDENCE_ANGLE></Acquisition_Angles>
<Solar_Incidences><SUN_AZIMUTH unit="deg">1</SUN_AZIMUTH><SUN_ELEVATION unit="deg">2</SUN_ELEVATION>
</Solar_Incidences></Located_Geometric_Values>
<Located_Geometric_Values><LOCATION_TYPE>Center</LOCATION_TYPE>
<Acquisition_Angles><AZIMUTH_ANGLE unit="deg">180.0</AZIMUTH_ANGLE>
<INCIDENCE_ANGLE unit="deg">12.5</INCIDENCE_ANGLE></Acquisition_Angles>
<Solar_Incidences><SUN_AZIMUTH unit="deg">150.3</SUN_AZIMUTH>
<SUN_ELEVATION unit="deg">50.8</SUN_ELEVATION></Solar_Incidences></Located_Geometric_Values>
</Use_Area></Geometric_Data></Dimap_Document>
"""
DIMAP_1 = """<?xml version="1.0" encoding="ISO-8859-1"?>
<Dimap_Document><Data_Access><Data_File><DATA_FILE_PATH href="IMAGERY.TIF"/></Data_File>
</Data_Access>
<Dataset_Sources><Source_Information><Scene_Source><INCIDENCE_ANGLE>-12.5</INCIDENCE_ANGLE>
<SUN_AZIMUTH>150.3</SUN_AZIMUTH><SUN_ELEVATION>50.8</SUN_ELEVATION></Scene_Source>
</Source_Information></Dataset_Sources></Dimap_Document>
"""
MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_8"
    SUN_AZIMUTH = -209.7
    SUN_ELEVATION = 50.80000000
  END_GROUP = IMAGE_ATTRIBUTES
END_GROUP = LANDSAT_METADATA_FILE
END
"""
SENTINEL = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-1C_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/tile.xsd">
<n1:Geometric_Info><Tile_Angles><Mean_Sun_Angle>
<ZENITH_ANGLE unit="deg">39.2</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">150.3</AZIMUTH_ANGLE>
</Mean_Sun_Angle><Mean_Viewing_Incidence_Angle_List>
<Mean_Viewing_Incidence_Angle bandId="0"><ZENITH_ANGLE unit="deg">8</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">350</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>
<Mean_Viewing_Incidence_Angle bandId="1"><ZENITH_ANGLE unit="deg">8</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">10</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>
</Mean_Viewing_Incidence_Angle_List></Tile_Angles></n1:Geometric_Info></n1:Level-1C_Tile_ID>
"""


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_raster(path, np.ones((4, 4), np.uint8))


def metadata_of(folder: Path, name: str, side: str, text: str) -> ImageMetadata | None:
    path = image(folder / name)
    (folder / side).parent.mkdir(parents=True, exist_ok=True)
    (folder / side).write_text(text)
    return read_metadata(f"{path}:1")


@pytest.mark.parametrize(
    ("name", "side", "text"),
    [
        ("14OCT05-P1BS_P001.TIF", "14OCT05-P1BS_P001.IMD", IMD),
        ("14OCT05-P1BS_R1C2_P001.tif", "14OCT05-P1BS_P001.XML", ISD),
        ("image.tif", "image.imd", IMD),
    ],
)
def test_maxar(tmp_path: Path, name: str, side: str, text: str) -> None:
    result = metadata_of(tmp_path, name, side, text)
    assert result is not None
    assert result.file == str(tmp_path / side)
    assert result.view is not None
    assert result.sun is not None
    assert (result.view.azimuth, result.view.elevation) == (21.5, 69.9)
    assert (result.sun.azimuth, result.sun.elevation) == (150.3, 50.8)


@pytest.mark.parametrize(
    ("name", "side", "text"),
    [
        ("IMG_PHR1A_P_001_R1C1.TIF", "DIM_PHR1A_P_001.XML", DIMAP_2),
        ("imagery.tif", "metadata.dim", DIMAP_1),
    ],
)
def test_dimap_has_the_sun_and_the_incidence(
    tmp_path: Path, name: str, side: str, text: str
) -> None:
    result = metadata_of(tmp_path, name, side, text)
    assert result is not None
    assert result.view is None, "the convention of the azimuth is not certain"
    assert result.incidence == 12.5
    assert result.sun is not None
    assert (result.sun.azimuth, result.sun.elevation) == (150.3, 50.8)


def test_a_dimap_document_of_another_image_is_ignored(tmp_path: Path) -> None:
    assert metadata_of(tmp_path, "other.tif", "metadata.dim", DIMAP_1) is None


@pytest.mark.parametrize("band", ["_B4", "_SR_B2", ""])
def test_landsat(tmp_path: Path, band: str) -> None:
    name = "LC08_L1TP_001_T1"
    result = metadata_of(tmp_path, f"{name}{band}.TIF", f"{name}_MTL.txt", MTL)
    assert result is not None
    assert result.view is None
    assert result.sun is not None
    assert (result.sun.azimuth, result.sun.elevation) == pytest.approx((150.3, 50.8))


def test_sentinel(tmp_path: Path) -> None:
    name = "GRANULE/L1C_T33/IMG_DATA/R10m/T33_B04.tif"
    result = metadata_of(tmp_path, name, "GRANULE/L1C_T33/MTD_TL.xml", SENTINEL)
    assert result is not None
    assert result.sun is not None
    assert (result.sun.azimuth, result.sun.elevation) == pytest.approx((150.3, 50.8))
    # The mean of two directions 20 degrees apart in azimuth is in the north.
    assert result.view is not None
    assert min(result.view.azimuth, 360 - result.view.azimuth) == pytest.approx(0, abs=1e-6)
    assert result.view.incidence == pytest.approx(7.88, abs=0.01)


def test_tags_of_the_image(tmp_path: Path) -> None:
    path = image(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as file:
        file.update_tags(SUN_AZIMUTH="150.3", SUN_ELEVATION="+50.8")
    result = read_metadata(str(path))
    assert result is not None
    assert result.sun is not None
    assert result.sun.elevation == 50.8


@pytest.mark.parametrize(
    "text",
    ["", "<isd>", "<note>text</note>", IMD.replace("meanS", "noS"), "meanSatAz = 5;",
     "meanSunAz = 5;\nmeanSunEl = -3;"],
)  # fmt: skip
def test_other_content_is_ignored(tmp_path: Path, text: str) -> None:
    for side in ("a.IMD", "a.xml"):
        assert metadata_of(tmp_path, "a.tif", side, text) is None
