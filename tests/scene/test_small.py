"""Derived layers, statistics, vertical references, the stack, the check."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest

from conftest import terrain
from demiurge.errors import DataError, UsageError
from demiurge.scene.check import Verdict, check, require_fit
from demiurge.scene.geotiff import map_stack
from demiurge.scene.open import scene_from_files
from demiurge.scene.scene import ndvi
from demiurge.scene.spec import Vertical
from demiurge.scene.statistics import Statistics
from demiurge.scene.vertical import agree, vertical_of

Write = Callable[..., Path]


def test_ndvi() -> None:
    red = np.array([1, 0, 2, np.nan], np.float32)
    nir = np.array([3, 0, 2, 1], np.float32)
    np.testing.assert_array_equal(ndvi(red, nir), np.array([0.5, np.nan, 0, np.nan], "f4"))


def test_statistics_by_blocks_equal_those_of_the_whole() -> None:
    data = terrain()
    data[3:9] = np.nan
    statistics = Statistics.of_shape(data.shape)
    for part in np.array_split(data, 7):
        statistics.add(part)
    found = statistics.result()
    known = data[np.isfinite(data)].astype(float)
    assert found["measured"] == known.size
    assert found["mean"] == pytest.approx(known.mean(), rel=1e-9)
    assert found["std"] == pytest.approx(known.std(), rel=1e-9)
    assert (found["min"], found["max"]) == (known.min(), known.max())
    assert found["p50"] == pytest.approx(np.median(known), abs=0.5)


def test_statistics_of_nothing() -> None:
    statistics = Statistics()
    statistics.add(np.full((4, 4), np.nan, np.float32))
    assert statistics.result()["mean"] is None
    assert statistics.result()["voids"] == 1


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


def test_unknown_references_join_the_known() -> None:
    known = Vertical(reference="ellipsoidal", datum="WGS 84")
    assert agree({"a": Vertical(), "b": known, "c": Vertical()}) == known
    with pytest.raises(DataError, match="gdalwarp"):
        agree({"a": known, "b": Vertical(reference="orthometric", datum="EGM96 height")})


def test_only_plain_stacks_are_mapped(raster: Write) -> None:
    nan = float("nan")
    assert map_stack(raster("a.tif", terrain(), nodata=nan)) is not None
    assert map_stack(raster("b.tif", terrain(), nodata=-9999)) is None
    assert map_stack(raster("c.tif", terrain(), nodata=nan, compress="deflate")) is None
    assert map_stack(raster("d.tif", terrain().astype("f8"), nodata=nan)) is None
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    assert map_stack(raster("e.tif", terrain(), nodata=nan, **tiled)) is None
    assert map_stack(raster("f.tif", terrain(), nodata=nan, ENDIANNESS="BIG")) is None


def test_a_mapped_stack_holds_what_gdal_reads(raster: Write) -> None:
    two = np.stack([terrain(seed=1), terrain(seed=2)])
    mapped = map_stack(raster("a.tif", two, nodata=float("nan"), interleave="band"))
    np.testing.assert_array_equal(mapped, two)


def one(raster: Write, name: str, data: np.ndarray) -> tuple[Verdict, str]:
    files = {"dsm": raster("dsm.tif", terrain()), name: raster("x.tif", data.astype("f4"))}
    found = {f.layer: f for f in check(scene_from_files(files))}[name]
    return found.verdict, found.message


@pytest.mark.parametrize(
    ("name", "data", "verdict", "match"),
    [
        ("ndvi", terrain(), Verdict.FAULT, "exceeds -1"),
        ("triangulation_error", -terrain(), Verdict.FAULT, "negative"),
        ("valid", terrain(), Verdict.FAULT, "other than 0 and 1"),
        ("valid", terrain() * 0, Verdict.FAULT, "0 everywhere"),
        ("ortho_left", terrain() * 0 + 5, Verdict.WARNING, "is 5 everywhere"),
        ("ortho_left", terrain() * np.nan, Verdict.FAULT, "no data"),
        ("truth_dsm", terrain() + 48, Verdict.WARNING, r"by \+48.0 m"),
        ("truth_dsm", terrain() + 0.1, Verdict.OK, ""),
        ("ortho_left", terrain(), Verdict.OK, ""),
    ],
)
def test_verdicts(raster: Write, name: str, data: np.ndarray, verdict: Verdict, match: str) -> None:
    import re

    found, message = one(raster, name, data)
    assert found is verdict
    assert re.search(match, message)


def test_only_needed_layers_stop_the_work(raster: Write) -> None:
    files = {"dsm": raster("a.tif", terrain()), "ndvi": raster("b.tif", terrain())}
    scene = scene_from_files(files)
    assert require_fit(scene, ("dsm",)) == []
    with pytest.raises(DataError, match="layer 'ndvi'"):
        require_fit(scene, ("dsm", "ndvi"))
    with pytest.raises(UsageError, match="has no layer 'nir'"):
        require_fit(scene, ("nir",))
