"""Ground points from files."""

import sqlite3
import struct
from pathlib import Path

import numpy as np
import pyproj
import pytest

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.scene.points import read_points


@pytest.mark.parametrize(
    "text",
    [
        "x,y,z\n500010,4000020,7.5\n500030,4000040,8.5\n",
        "id;Easting;Northing;Height\na;500010;4000020;7.5\nb;500030;4000040;8.5\n",
        "X\tY\tElevation\n500010\t4000020\t7.5\n500030\t4000040\t8.5\n\n500050\t4000060\t\n",
    ],
)
def test_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    result = read_points(path)
    np.testing.assert_array_equal(result.x, [500010, 500030])
    np.testing.assert_array_equal(result.y, [4000020, 4000040])
    np.testing.assert_array_equal(result.z, [7.5, 8.5])
    assert result.crs is None


def test_column_names_identify_degrees(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("lat,lon,h_te_best_fit\n36.1441,15.0,100\n")
    moved = read_points(path).in_crs(read_points(path, "EPSG:32633").crs)
    assert moved.x[0] == pytest.approx(500000, abs=0.01)
    assert moved.y[0] == pytest.approx(4000000, abs=100)


def _geopackage(path: Path, kind: int, height: float | None, crs: str = "EPSG:32633") -> Path:
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE gpkg_spatial_ref_sys (srs_id INT, definition TEXT)")
        base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (32633, ?)", (crs,))
        base.execute(
            "CREATE TABLE gpkg_geometry_columns "
            "(table_name TEXT, column_name TEXT, srs_id INT, geometry_type_name TEXT)"
        )
        base.execute("INSERT INTO gpkg_geometry_columns VALUES ('gcp', 'geom', 32633, 'POINT')")
        base.execute("CREATE TABLE gcp (fid INTEGER, geom BLOB, elevation REAL)")
        values = (500010.0, 4000020.0, 7.5)[: 3 if kind == 1001 else 2]
        body = struct.pack(f"<BI{len(values)}d", 1, kind, *values)
        envelope = struct.pack("<4d", 0, 0, 0, 0)
        blob = b"GP" + bytes([0, 0b00000011]) + struct.pack("<i", 32633) + envelope + body
        base.execute("INSERT INTO gcp VALUES (1, ?, ?)", (blob, height))
    base.close()
    return path


def test_geopackages_with_heights_in_the_geometry_or_a_column(tmp_path: Path) -> None:
    for name, kind, height in (("a", 1001, None), ("b", 1, 7.5)):
        result = read_points(_geopackage(tmp_path / f"{name}.gpkg", kind, height))
        assert (result.x[0], result.y[0], result.z[0]) == (500010, 4000020, 7.5)
        assert result.crs.to_epsg() == 32633


def test_las(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.01] * 3, [500000, 4000000, 0]
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = (np.array([v]) for v in (500010.0, 4000020.0, 7.5))
    cloud.write(str(tmp_path / "p.las"))
    result = read_points(tmp_path / "p.las")
    np.testing.assert_allclose([result.x[0], result.y[0], result.z[0]], [500010, 4000020, 7.5])


FOOT, US_FOOT = 0.3048, 1200 / 3937


@pytest.mark.parametrize(
    ("crs", "factor", "name"),
    [
        ("EPSG:2249+6360", US_FOOT, "US survey feet"),
        ("EPSG:32633+8228", FOOT, "feet"),
        ("EPSG:32633+5703", 1, None),
    ],
)
def test_heights_in_feet_are_converted_to_metres(
    tmp_path: Path, crs: str, factor: float, name: str | None
) -> None:
    """The unit comes from GeoPackage, LAS or the option; US survey and international feet."""
    table = tmp_path / "p.csv"
    table.write_text("x,y,z\n500010,4000020,1000\n")
    wkt = pyproj.CRS(crs).to_wkt()
    package = _geopackage(tmp_path / "p.gpkg", 1, 1000.0, wkt)
    for result in (read_points(table, crs), read_points(package)):
        assert result.z[0] == pytest.approx(1000 * factor, abs=1e-9)
        assert [name in note for note in result.notes] == ([True] if name else [])


@pytest.mark.parametrize(
    ("header", "factor"), [("Elev (ft)", FOOT), ("z_ft", FOOT), ("height (US ft)", US_FOOT)]
)
def test_a_column_name_declares_feet(tmp_path: Path, header: str, factor: float) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"x,y,{header}\n500010,4000020,1000\n")
    result = read_points(path)
    assert result.z[0] == pytest.approx(1000 * factor, abs=1e-9)
    assert "converted from" in result.notes[0]
    with pytest.raises(DataError, match="but heights of its CRS are in metres"):
        read_points(path, "EPSG:32633+5703")


def test_a_crs_in_feet_without_a_vertical_unit_is_refused(tmp_path: Path) -> None:
    package = _geopackage(tmp_path / "p.gpkg", 1, 1000.0, pyproj.CRS("EPSG:2249").to_wkt())
    with pytest.raises(
        DataError, match="US survey feet and the unit of heights is unspecified; name"
    ):
        read_points(package)
    assert read_points(package, "EPSG:2249+5703").z[0] == 1000
    feet = _geopackage(tmp_path / "f.gpkg", 1, 1000.0, pyproj.CRS("EPSG:2249+6360").to_wkt())
    with pytest.raises(DataError, match="--points-crs has no vertical part"):
        read_points(feet, "EPSG:32633")
    assert read_points(feet, "EPSG:2249").z[0] == pytest.approx(1000 * US_FOOT)


@pytest.mark.parametrize(
    ("keys", "factor"),
    [({4099: 9002}, FOOT), ({4099: 9003}, US_FOOT), ({4096: 6360}, US_FOOT), ({4099: 9001}, 1)],
)
def test_las_in_feet(tmp_path: Path, keys: dict[int, int], factor: float) -> None:
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.01] * 3, [500000, 4000000, 0]
    entries = [(1024, 1), (3072, 2249), *sorted(keys.items())]
    words = [1, 1, 0, len(entries)] + [w for key, value in entries for w in (key, 0, 1, value)]
    content = struct.pack(f"<{len(words)}H", *words)
    header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "", content))
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = (np.array([v]) for v in (500010.0, 4000020.0, 1000.0))
    cloud.write(str(tmp_path / "p.las"))
    assert read_points(tmp_path / "p.las").z[0] == pytest.approx(1000 * factor, abs=1e-6)


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with pytest.raises(ResourceError, match="no such file"):
        read_points(path)
    path.write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        read_points(path)
    path.write_text("a,b,c\n1,2,3\n")
    with pytest.raises(DataError, match="no columns for x, y and height"):
        read_points(path)
    path.write_text("x,y,z\n1,2,high\n")
    with pytest.raises(DataError, match="not a number"):
        read_points(path)
    path.write_text("x,y,z\n")
    with pytest.raises(DataError, match="contains no point"):
        read_points(path)
    path.write_text("x,y,z\n1,2,3\n")
    with pytest.raises(UsageError, match="is not a CRS"):
        read_points(path, "nonsense")
    (tmp_path / "p.gpkg").write_text("no base")
    with pytest.raises(DataError, match="is not a GeoPackage"):
        read_points(tmp_path / "p.gpkg")
    (tmp_path / "p.las").write_text("no cloud")
    pytest.importorskip("laspy")
    with pytest.raises(DataError, match="cannot be read as LAS"):
        read_points(tmp_path / "p.las")
