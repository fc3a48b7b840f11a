from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rpc import RPC

from demiurge.errors import DataError, ResourceError
from demiurge.scene.rpc import read_rpc

SCALARS = {
    "line_off": 405.5,
    "samp_off": 371.25,
    "lat_off": 30.35,
    "long_off": -81.66,
    "height_off": -20.0,
    "line_scale": 417.5,
    "samp_scale": 383.0,
    "lat_scale": 0.0027,
    "long_scale": 0.0022,
    "height_scale": 501.0,
}
_RNG = np.random.default_rng(3)
SERIES = {
    f"{axis}_{part}_coeff": [float(v) for v in _RNG.normal(size=20).round(9)]
    for axis in ("line", "samp")
    for part in ("num", "den")
}
MAXAR = {
    "lineOffset": "line_off",
    "sampOffset": "samp_off",
    "latOffset": "lat_off",
    "longOffset": "long_off",
    "heightOffset": "height_off",
    "lineScale": "line_scale",
    "sampScale": "samp_scale",
    "latScale": "lat_scale",
    "longScale": "long_scale",
    "heightScale": "height_scale",
}
COEFFICIENTS = {
    "lineNumCoef": "line_num_coeff",
    "lineDenCoef": "line_den_coeff",
    "sampNumCoef": "samp_num_coeff",
    "sampDenCoef": "samp_den_coeff",
}


def text_file() -> str:
    lines = [f"{name.upper()}: {value!r} pixels" for name, value in SCALARS.items()]
    for name, values in SERIES.items():
        lines += [f"{name.upper()}_{i}: {v!r}" for i, v in enumerate(values, start=1)]
    return "\n".join(lines) + "\n"


def rpb_file() -> str:
    lines = ['satId = "WV03";', 'bandId = "P";', "BEGIN_GROUP = IMAGE", "\terrBias = 1.0;"]
    lines += [f"\t{name} = {SCALARS[key]!r};" for name, key in MAXAR.items()]
    for name, key in COEFFICIENTS.items():
        lines.append(f"\t{name} = (\n\t\t" + ",\n\t\t".join(map(repr, SERIES[key])) + ");")
    return "\n".join([*lines, "END_GROUP = IMAGE", "END;"]) + "\n"


def maxar_xml() -> str:
    parts = [f"<{name.upper()}>{SCALARS[key]!r}</{name.upper()}>" for name, key in MAXAR.items()]
    for name, key in COEFFICIENTS.items():
        tag, values = name.upper(), " ".join(map(repr, SERIES[key]))
        parts.append(f"<{tag}List><{tag}>{values}</{tag}></{tag}List>")
    return f"<isd><RPB><SATID>WV03</SATID><IMAGE>{''.join(parts)}</IMAGE></RPB></isd>"


def dimap_xml(model: str, *, namespace: str = "") -> str:
    series = "".join(
        f"<{name.upper()}_{i}>{v!r}</{name.upper()}_{i}>"
        for name, values in SERIES.items()
        for i, v in enumerate(values, start=1)
    )
    shift = {"line_off": 1, "samp_off": 1}  # DIMAP counts from 1
    scalars = "".join(
        f"<{name.upper()}>{value + shift.get(name, 0)!r}</{name.upper()}>"
        for name, value in SCALARS.items()
    )
    other = "<Direct_Model><LINE_NUM_COEFF_1>9</LINE_NUM_COEFF_1></Direct_Model>"
    domain = "<Direct_Model_Validity_Domain><FIRST_ROW>1</FIRST_ROW></Direct_Model_Validity_Domain>"
    return (
        f"<Dimap_Document{namespace}><Rational_Function_Model><Global_RFM>{other}"
        f"<{model}>{series}</{model}><RFM_Validity>{domain}{scalars}</RFM_Validity>"
        "</Global_RFM></Rational_Function_Model></Dimap_Document>"
    )


FILES = {
    "text": ("a_RPC.TXT", text_file()),
    "rpb": ("a.RPB", rpb_file()),
    "maxar": ("a.XML", maxar_xml()),
    "pleiades": ("RPC_a.XML", dimap_xml("Inverse_Model")),
    "pleiades_neo": (
        "RPC_b.XML",
        dimap_xml("GroundtoImage_Values", namespace=' xmlns="http://www.example.org/dimap"'),
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_all_formats_of_side_files_give_the_same_camera(kind: str, tmp_path: Path) -> None:
    name, content = FILES[kind]
    (tmp_path / name).write_text(content, encoding="utf-8")
    result = read_rpc(tmp_path / name)
    for key, value in {**SCALARS, **SERIES}.items():
        assert getattr(result, key) == pytest.approx(value, abs=1e-12), key


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["text", "rpb"])
def test_gdal_reads_the_same(kind: str, tmp_path: Path) -> None:
    name, content = FILES[kind]
    (tmp_path / name).write_text(content, encoding="utf-8")
    profile = {"driver": "GTiff", "width": 2, "height": 2, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as raster:
        raster.write(np.ones((1, 2, 2), np.uint8))
    with rasterio.open(tmp_path / "a.tif") as raster:
        theirs = raster.rpcs
    assert isinstance(theirs, RPC)
    ours = read_rpc(tmp_path / name)
    for key in (*SCALARS, *SERIES):
        assert getattr(ours, key) == pytest.approx(getattr(theirs, key), abs=1e-12), key


BAD = {
    "truncated": ("a_RPC.TXT", text_file()[:400], "contains no RPC value"),
    "not a number": ("a.RPB", rpb_file().replace("417.5", "nan"), "not a finite number"),
    "zero scale": ("a.RPB", rpb_file().replace("lineScale = 417.5", "lineScale = 0"), "is 0"),
    "too few": ("a.RPB", rpb_file().replace(f"{SERIES['line_num_coeff'][0]!r},", ""), "not 20"),
    "no RPC": ("a.XML", "<isd><IMD/></isd>", "contains no RPC value"),
    "no XML": ("a.XML", "<isd><IMD>", "readable XML"),
    "off the Earth": ("a_RPC.TXT", text_file().replace("30.35", "3035"), "not on the Earth"),
    "prose": ("notes.txt", "nothing of use\n", "contains no RPC value"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_side_files_are_refused(case: str, tmp_path: Path) -> None:
    name, content, word = BAD[case]
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=word):
        read_rpc(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"none\.RPB"):
        read_rpc(tmp_path / "none.RPB")
