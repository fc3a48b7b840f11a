"""Recognisers as functions of names and headers, without files."""

import json
from pathlib import Path

import folders
import pytest
from rasterio.transform import from_origin

from demiurge.errors import DataError, ResourceError
from demiurge.scene.recognise import asp, cars, earth_engine, metashape, micmac, odm, s2p, setsm
from demiurge.scene.recognise.folder import recognise
from demiurge.scene.recognise.found import Conversion, Tile
from demiurge.scene.recognise.listing import Header, Listing, list_folder

UTM = 'PROJCS["WGS 84 / UTM zone 33N"]'
GREY = Header((10, 10), crs=UTM)
COLOUR = Header(
    (10, 10), crs=UTM, dtypes=("uint8",) * 4, descriptions=("",) * 4,
    colours=("red", "green", "blue", "alpha"), nodata=(None,) * 4,
)  # fmt: skip


def listing(headers: dict[str, Header], **texts: str) -> Listing:
    """Return a listing of rasters with their headers, and of text files."""
    files = {name.replace("__", "."): text for name, text in texts.items()}
    names = tuple(sorted({*headers, *files}))

    def header_of(path: Path) -> Header:
        name = path.relative_to("run").as_posix()
        if name not in headers:
            raise DataError(name)
        return headers[name]

    return Listing(Path("run"), names, header_of, lambda path: files[path.name])


def named(bands: tuple[str, ...], dtype: str = "uint16") -> Header:
    count = len(bands)
    return Header(
        (10, 10), crs=UTM, dtypes=(dtype,) * count, descriptions=bands,
        colours=("gray",) * count, nodata=(None,) * count,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bands", "sensor", "layers"),
    [
        (("B2", "B3", "B4", "B8"), "sentinel2", ["blue", "green", "red", "nir"]),
        (("B4", "B8A", "SCL"), "sentinel2", ["red", "nir_narrow"]),
        (("SR_B4", "SR_B5", "ST_B10"), "landsat8", ["red", "nir"]),
        (("SR_B3", "SR_B4", "ST_B6"), "landsat5", ["red", "nir"]),
        (("B4", "B5", "B10", "QA_PIXEL"), "landsat8", ["red", "nir"]),
        (("SR_B4", "SR_B3", "SR_B2"), None, []),
        (("B4", "B3", "B2"), None, []),
        (("elevation", "NDVI", "red"), "", ["dem_prior", "ndvi", "red"]),
        (("Map",), "", ["landcover"]),
    ],
)
def test_bands_of_earth_engine(
    bands: tuple[str, ...], sensor: str | None, layers: list[str]
) -> None:
    export = earth_engine.Export("place", (Tile("place.tif"),), named(bands))
    by_layer, found = earth_engine.bands_of_export(export)
    assert found == sensor
    assert list(by_layer) == layers


def test_reflectance_is_not_scaled_twice() -> None:
    for dtype, scale in (("uint16", 2.75e-5), ("float32", None)):
        found = earth_engine.find(listing({"a.tif": named(("SR_B4", "SR_B6"), dtype)}), {})
        assert found is not None
        file = found.taken[0].file
        assert (file.scale if isinstance(file, Conversion) else None) == scale


@pytest.mark.parametrize(
    ("table", "filled"),
    [
        ({"0": "no_data", "1": "no_edition", "2": "fill_with_exogenous_dem"}, {2}),
        ({1: "fill_with_geoid", 2: "interpolate_from_borders"}, {1, 2}),
        ({17: ["fill_with_geoid", "other"], 3: "no_edition"}, {17}),
        (True, set()),
        ({"method": "simple"}, set()),
    ],
)
def test_codes_of_filled_heights_in_cars(table: object, filled: set[int]) -> None:
    text = json.dumps({"pairs": [{"filling": table}]})
    assert set(cars.filled_codes(listing({}, metadata__json=text))) == filled
    assert cars.filled_codes(listing({}, metadata__json="{not: [json")) == {}


def test_units_of_micmac() -> None:
    xml = "<A><B><OrigineAlti>12.5</OrigineAlti><ResolutionAlti> 0.5 </ResolutionAlti></B></A>"
    assert micmac.height_units(xml) == (12.5, 0.5)
    assert micmac.height_units(xml.replace("0.5", "0")) is None
    assert micmac.height_units("") is None


def test_depths_of_micmac_in_an_image_are_refused() -> None:
    name = "Z_Num8_DeZoom1_STD-MALT"
    geometry = "<A><OrigineAlti>0</OrigineAlti><ResolutionAlti>1</ResolutionAlti><Geometrie>{}"
    for kind, refused in (("eGeomMNTFaisceauIm1PrCh_Px1D", True), ("eGeomMNTEuclid", False)):
        xml = geometry.format(kind) + "</Geometrie></A>"
        found = micmac.find(listing({f"{name}.tif": GREY}, **{f"{name}__xml": xml}), {})
        assert found is not None
        assert ("dsm" in found.refused) == refused


def test_the_last_step_of_micmac_is_taken_by_number() -> None:
    names = [f"Z_Num{n}_DeZoom{z}_STD-MALT.tif" for n, z in ((9, 2), (10, 1), (2, 16))]
    found = micmac.find(listing(dict.fromkeys(names, GREY)), {})
    assert found is not None
    assert found.evidence == "Z_Num10_DeZoom1_STD-MALT.tif"


def test_images_without_colours_are_named_by_the_user() -> None:
    plain = named(("", "", "", ""))
    found = cars.find(listing({"dsm/dsm.tif": GREY, "dsm/image.tif": plain}), {})
    assert found is not None
    assert [taken.layer for taken in found.taken] == ["dsm"]
    assert "red=run/dsm/image.tif:1" in found.left["dsm/image.tif"]


def test_drone_exports_are_not_taken_for_strips_of_setsm() -> None:
    dem = Header((10, 10), crs=UTM, nodata=(-32767.0,))
    exports = listing({"site_dem.tif": dem, "site_ortho.tif": COLOUR})
    assert not setsm.TOOL.is_sure(exports)
    assert metashape.TOOL.is_sure(exports)
    assert not metashape.TOOL.is_sure(listing({"site_dem.tif": dem}))


def test_tools_are_not_sure_of_each_others_folders(tmp_path: Path) -> None:
    makers = {
        "asp": folders.asp, "cars": folders.cars, "s2p": folders.s2p, "micmac": folders.micmac,
        "setsm": folders.setsm, "metashape": folders.metashape, "odm": folders.odm,
        "gee": folders.earth_engine,
    }  # fmt: skip
    tools = [m.TOOL for m in (asp, cars, s2p, micmac, setsm, metashape, odm, earth_engine)]
    for key, make in makers.items():
        files = list_folder(make(tmp_path / key))
        assert [tool.key for tool in tools if tool.is_sure(files)] == [key]


def test_scenes_in_the_folder_are_not_searched(tmp_path: Path) -> None:
    folder = folders.make(folders.asp(tmp_path / "run"), "scene", "more")
    (folder / "scene" / "scene.yaml").write_text("layers: {}")
    for place in ("scene", "more"):
        folders.write_raster(folder / place / "x-DEM.tif", folders.HEIGHTS)
    names = list_folder(folder).names
    assert "more/x-DEM.tif" in names
    assert "scene/x-DEM.tif" not in names
    with pytest.raises(ResourceError, match="no such folder"), recognise(tmp_path / "missing"):
        pass


def test_tiles_are_placed_by_their_names() -> None:
    header = Header((10, 10), from_origin(100, 100, 1, 1), UTM, descriptions=("DEM",))
    shifted = Header((10, 4), from_origin(110, 100, 1, 1), UTM, descriptions=("DEM",))
    names = ("dem-0000000000-0000000000.tif", "dem-0000000000-0000000010.tif")
    found = earth_engine.find(listing(dict(zip(names, (header, shifted), strict=True))), {})
    assert found is not None
    assert not found.refused
    assert found.taken[0].names == names
