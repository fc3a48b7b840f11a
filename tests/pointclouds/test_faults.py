"""Headers, damaged files, units and services: a result or one sentence."""

import json
import sqlite3
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from pyproj import Transformer

import demiurge
from demiurge.errors import DataError, ResourceError
from demiurge.fetching import http
from demiurge.pointclouds.services import SERVICES, bounds_to
from fetching.faulty import Fault, serving
from pointclouds.clouds import (
    BOTTOM,
    LEFT,
    cloud,
    header,
    lattice,
    plane,
    write,
    write_copc,
    write_ept,
)

X, Y = lattice(40, 0.5)
Z = plane(X, Y)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.Client, "_pause", lambda *_: None)


def surface(path: object, out: Path, **options: object) -> np.ndarray:
    scene = demiurge.lidar(path, out, **{"gsd": 1.0, **options})
    return scene.read(None, ["truth_dsm"])[0]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("expected")
    return surface(write(folder / "a.laz", cloud(X, Y, Z)), folder / "scene")


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    complete = write(tmp_path / "good.laz", cloud(X, Y, Z)).read_bytes()
    plain = write(tmp_path / "good.las", cloud(X, Y, Z)).read_bytes()
    cases = {
        "empty.laz": (b"", "is empty"),
        "text.laz": (b"hello" * 99, "cannot be read as LAS"),
        "short.laz": (complete[: len(complete) // 2], "is damaged|cannot be read"),
        "short.las": (plain[: len(plain) // 2], "is damaged|cannot be read"),
        "scale.las": (
            plain[:131] + struct.pack("<3d", 0, 0.001, 0.001) + plain[155:],
            "the scales of its coordinates are 0",
        ),
        "coarse.las": (
            plain[:131] + struct.pack("<3d", 1e6, 1e6, 1) + plain[155:],
            "the scales of its coordinates",
        ),
        "bounds.las": (plain[:179] + struct.pack("<2d", 0, 1) + plain[195:], "are outside|bounds"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            demiurge.lidar(path, tmp_path / "scene", gsd=1.0)
        assert not (tmp_path / "scene").exists(), name
    assert not list(tmp_path.glob(".*")), "nothing is left behind"


def test_files_without_points(tmp_path: Path, expected: np.ndarray) -> None:
    none = write(tmp_path / "none.laz", cloud(X[:0], Y[:0], Z[:0]))
    with pytest.raises(DataError, match="there are no points"):
        demiurge.lidar(none, tmp_path / "scene", gsd=1.0)
    some = write(tmp_path / "some.laz", cloud(X, Y, Z))
    scene = demiurge.lidar([none, some], tmp_path / "scene", gsd=1.0)
    assert any("contains no points" in note for note in scene.notes)
    np.testing.assert_array_equal(scene.read(None, ["truth_dsm"])[0], expected)


def test_a_stray_point_does_not_enlarge_the_scene(tmp_path: Path, expected: np.ndarray) -> None:
    path = write(
        tmp_path / "a.las", cloud(np.r_[X, LEFT + 9e5], np.r_[Y, BOTTOM + 1], np.r_[Z, 1.0])
    )
    content = bytearray(path.read_bytes())
    content[179:187] = struct.pack("<d", float(X.max()))  # the header does not count the point
    path.write_bytes(content)
    scene = demiurge.lidar(path, tmp_path / "scene", gsd=1.0)
    assert any("1 points are outside the bounds of its header" in note for note in scene.notes)
    np.testing.assert_array_equal(scene.read(None, ["truth_dsm"])[0], expected)


def test_missing_crs_and_units_are_named_by_option(tmp_path: Path, expected: np.ndarray) -> None:
    bare = write(tmp_path / "bare.laz", cloud(X, Y, Z, made=header(None)))
    with pytest.raises(DataError, match="declares no CRS; give it with --source-crs"):
        demiurge.lidar(bare, tmp_path / "scene", gsd=1.0)
    given = surface(bare, tmp_path / "given", source_crs="EPSG:32633")
    np.testing.assert_array_equal(given, expected)
    mercator = Transformer.from_crs(32633, 3857, always_xy=True).transform(X, Y)
    origin = [mercator[0][0], mercator[1][0], 0]
    data = cloud(*mercator, Z, made=header("EPSG:3857", origin=origin))
    with pytest.raises(DataError, match=r"web Mercator.*--height-unit"):
        demiurge.lidar(write(tmp_path / "m.laz", data), tmp_path / "scene", gsd=1.0)
    scene = demiurge.lidar(tmp_path / "m.laz", tmp_path / "scene", gsd=1.0, height_unit="m")
    assert scene.grid.crs.epsg == 32633
    assert scene.shape == (40, 40)


@pytest.mark.parametrize(
    ("crs", "factor", "name"),
    [
        ("EPSG:2249+6360", 1200 / 3937, "US survey feet"),
        ("EPSG:2249+8228", 0.3048, "feet"),
        ("EPSG:2249+5703", 1.0, ""),
    ],
)
def test_units_and_vertical_reference_of_compound_crss(
    tmp_path: Path, crs: str, factor: float, name: str
) -> None:
    x, y = lattice(200, 2.0)
    x, y = x - LEFT + 775000, y - BOTTOM + 2950000  # feet, in Boston
    data = cloud(x, y, np.full(x.size, 1000.0), made=header(crs, origin=[775000, 2950000, 0]))
    scene = demiurge.lidar(write(tmp_path / "ft.laz", data), tmp_path / "scene", gsd=2.0)
    assert np.nanmax(scene.read(None, ["truth_dtm"])) == pytest.approx(1000 * factor, abs=1e-3)
    assert scene.vertical.reference == "orthometric"
    assert scene.grid.crs.epsg == 32619
    assert any(f"converted from {name}" in note for note in scene.notes) == bool(name)


def test_feet_without_vertical_part_are_refused(tmp_path: Path) -> None:
    made = header("EPSG:2249", origin=[775000, 2950000, 0])
    data = cloud(X - LEFT + 775000, Y - BOTTOM + 2950000, Z, made=made)
    with pytest.raises(DataError, match=r"US survey feet and declares no unit.*--height-unit"):
        demiurge.lidar(write(tmp_path / "ft.laz", data), tmp_path / "scene", gsd=2.0)


def test_files_in_several_crss_are_combined(tmp_path: Path, expected: np.ndarray) -> None:
    west = X < LEFT + 20
    first = write(tmp_path / "a.laz", cloud(X[west], Y[west], Z[west]))
    x, y = Transformer.from_crs(32633, 32632, always_xy=True).transform(X[~west], Y[~west])
    made = header("EPSG:32632", origin=[x[0], y[0], 0])
    second = write(tmp_path / "b.laz", cloud(x, y, Z[~west], made=made))
    bounds = (LEFT, BOTTOM, LEFT + 40, BOTTOM + 40)
    both = surface([first, second], tmp_path / "scene", bounds=bounds)
    # The scale of 1 mm may move a point to the next pixel.
    assert (np.abs(both - expected) < 2e-3).mean() > 0.99
    high = cloud(X, Y, Z, made=header("EPSG:32633+5773"))
    low = cloud(X, Y, Z + 1, made=header("EPSG:32633+3855"))
    files = [write(tmp_path / "c.laz", high), write(tmp_path / "d.laz", low)]
    with pytest.raises(DataError, match="to one vertical reference"):
        demiurge.lidar(files, tmp_path / "scene", gsd=1.0, overwrite=True)


def test_copc_and_ept_over_http_by_window(tmp_path: Path, expected: np.ndarray) -> None:
    write_copc(tmp_path / "a.copc.laz", cloud(X, Y, Z))
    write_ept(tmp_path / "ept", cloud(X, Y, Z))
    write(tmp_path / "plain.laz", cloud(X, Y, Z))
    corner = {"bounds": (LEFT, BOTTOM, LEFT + 8, BOTTOM + 8)}
    with serving(tmp_path) as server:
        for name in ("a.copc.laz", "ept/ept.json", "plain.laz"):
            url = f"{server.url}/{name}"
            np.testing.assert_array_equal(surface(url, tmp_path / f"{name[0]}1"), expected)
            part = surface(url, tmp_path / f"{name[0]}2", **corner)
            np.testing.assert_array_equal(part, expected[-8:, :8])
        tiles = [r for r in server.requests if "ept-data/1-" in r]
        everything = len(list((tmp_path / "ept" / "ept-data").glob("1-*")))
        assert len(tiles) < 2 * everything, "a window reads its nodes only"
        coarse = surface(f"{server.url}/ept/ept.json", tmp_path / "c", resolution=50, gsd=4.0)
        assert np.isfinite(coarse).any()


@pytest.mark.parametrize(
    "fault",
    [Fault(429), Fault(500), Fault(truncate=True)],
    ids=["429", "500", "truncated"],
)
def test_passing_faults_are_retried(tmp_path: Path, expected: np.ndarray, fault: Fault) -> None:
    write_ept(tmp_path / "ept", cloud(X, Y, Z))
    with serving(tmp_path) as server:
        server.faults["ept-data"] = fault
        data = surface(f"{server.url}/ept/ept.json", tmp_path / "scene")
    np.testing.assert_array_equal(data, expected)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(500, times=-1), r"cannot be reached \(HTTP 500"),
        (Fault(403, times=-1), "access is denied"),
        (Fault(404, times=-1), "does not exist"),
        (Fault(truncate=True, times=-1), "cannot be reached"),
    ],
    ids=["500", "403", "404", "truncated"],
)
def test_lasting_faults_are_one_sentence(tmp_path: Path, fault: Fault, message: str) -> None:
    write_copc(tmp_path / "a.copc.laz", cloud(X, Y, Z))
    with serving(tmp_path) as server:
        server.faults["copc"] = fault
        with pytest.raises(ResourceError, match=message):
            demiurge.lidar(f"{server.url}/a.copc.laz", tmp_path / "scene", gsd=1.0)
    assert not (tmp_path / "scene").exists()


def outline(crs: str) -> list[list[float]]:
    transformer = Transformer.from_crs(32633, crs, always_xy=True)
    ring = [(0, 0), (40, 0), (40, 40), (0, 40), (0, 0)]
    return [list(transformer.transform(LEFT + x, BOTTOM + y)) for x, y in ring]


def collection(properties: dict[str, object], crs: str = "EPSG:4326") -> dict[str, object]:
    far = [[x + 50, y] for x, y in outline(crs)]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": properties if ring is not far else {"name": "far", "url": "far.laz"},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for ring in (outline(crs), far)
        ],
    }


def test_tiles_of_services_are_found(tmp_path: Path, expected: np.ndarray) -> None:
    corners = np.array(outline("EPSG:4326"))
    where = (*(corners.min(axis=0) + 1e-5), *(corners.max(axis=0) - 1e-5))
    write_ept(tmp_path / "ept", cloud(X, Y, Z))
    write_copc(tmp_path / "a.copc.laz", cloud(X, Y, Z))
    with serving(tmp_path) as server:
        answers = {
            "3dep": collection({"name": "X", "id": 1, "url": f"{server.url}/ept/ept.json"}),
            "ign": collection({"name": "X", "url": f"{server.url}/a.copc.laz"}, "EPSG:2154"),
        }
        answers["ign"]["crs"] = {
            "type": "name",
            "properties": {"name": "urn:ogc:def:crs:EPSG::2154"},
        }
        for service, answer in answers.items():
            (tmp_path / f"{service}.json").write_text(json.dumps(answer))
            scene = demiurge.lidar(
                [], tmp_path / service, gsd=1.0, where=where, service=service,
                index=f"{server.url}/{service}.json",
            )  # fmt: skip
            assert scene.shape[0] in (38, 39, 40)
            assert any(note.startswith("1 tiles of") for note in scene.notes)
        query = next(r for r in server.requests if "ign.json" in r)
        assert "TYPENAMES=IGNF_NUAGES-DE-POINTS-LIDAR-HD" in query
        with pytest.raises(ResourceError, match="has no tile at"):
            demiurge.lidar(
                [], tmp_path / "x", gsd=1.0, where=(1, 1, 1.1, 1.1), service="3dep",
                index=f"{server.url}/3dep.json",
            )  # fmt: skip
    index = tmp_path / "tiles.geojson"
    index.write_text(json.dumps(collection({"location": "ept/ept.json"})))
    near = surface(index, tmp_path / "local", where=where)
    assert near.shape[0] in (38, 39, 40)


def write_ahn_index(path: Path, tiles: dict[tuple[int, int], object]) -> None:
    """A GeoPackage as that of AHN: squares of 1 km, named by their corner in EPSG:28992."""
    with sqlite3.connect(path) as base:
        base.execute(
            "CREATE TABLE gpkg_spatial_ref_sys (srs_id INT, organization TEXT, "
            "organization_coordsys_id INT, definition TEXT)"
        )
        base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (28992, 'EPSG', 28992, '')")
        base.execute(
            "CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, "
            "geometry_type_name TEXT, srs_id INT)"
        )
        base.execute(
            "INSERT INTO gpkg_geometry_columns VALUES ('bladindeling', 'geom', 'POLYGON', 28992)"
        )
        base.execute("CREATE TABLE bladindeling (fid INTEGER, geom BLOB, left, bottom)")
        for (left, bottom), value in tiles.items():
            square = shapely.box(left, bottom, left + 1000, bottom + 1000)
            blob = b"GP\x00\x01" + struct.pack("<i", 28992) + square.wkb
            base.execute("INSERT INTO bladindeling VALUES (1, ?, ?, ?)", (blob, value, bottom))


@pytest.mark.parametrize("stored", [171000.0, "171000"])
def test_tiles_of_ahn_are_named_by_their_corner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: object
) -> None:
    x, y = X - LEFT + 171100, Y - BOTTOM + 438200
    made = header("EPSG:28992+5709", origin=[171000, 438000, 0])
    folder = tmp_path / "hwh-ahn" / "AHN5_KM" / "01_LAZ"
    folder.mkdir(parents=True)
    write_copc(
        folder / "AHN5_C_171000_438000.COPC.LAZ", cloud(x, y, np.full(len(x), 7.5), made=made)
    )
    index = tmp_path / "hwh-ahn" / "AUX"
    index.mkdir()
    write_ahn_index(
        index / "bladwijzer_AHN6.gpkg",
        {(171000, 438000): stored, (172000, 438000): 172000.0, (99000, 400000): 99000.0},
    )
    box = bounds_to((171105, 438205, 171130, 438230), "EPSG:28992", "EPSG:4326")
    wide = bounds_to((171105, 438205, 172030, 438230), "EPSG:28992", "EPSG:4326")
    with serving(tmp_path) as server:
        service = SERVICES["ahn"]
        local = replace(
            service,
            index=service.index.replace("https://basisdata.nl", server.url),
            template=service.template.replace("https://basisdata.nl", server.url),
        )
        assert server.url in local.index
        monkeypatch.setitem(SERVICES, "ahn", local)
        scene = demiurge.lidar([], tmp_path / "a", gsd=1.0, where=box, service="ahn")
        assert any("1 tiles of Actueel Hoogtebestand Nederland" in note for note in scene.notes)
        assert "NAP" in scene.vertical.datum
        assert scene.grid.crs.epsg == 28992
        dsm = scene.read(layers=["truth_dsm"])[0]
        assert np.isfinite(dsm).mean() > 0.8
        assert np.nanmax(np.abs(dsm - 7.5)) < 0.01
        assert not any("172000" in request for request in server.requests)
        # The neighbouring tile is in the index, but not on the server: it has not been flown.
        scene = demiurge.lidar([], tmp_path / "b", gsd=1.0, where=wide, service="ahn")
        assert any("172000" in note and "left out" in note for note in scene.notes)
