"""Ground points from files."""

import sqlite3
import struct
from pathlib import Path

import numpy as np
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
    found = read_points(path)
    np.testing.assert_array_equal(found.x, [500010, 500030])
    np.testing.assert_array_equal(found.y, [4000020, 4000040])
    np.testing.assert_array_equal(found.z, [7.5, 8.5])
    assert found.crs is None


def test_degrees_are_known_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("lat,lon,h_te_best_fit\n36.1441,15.0,100\n")
    moved = read_points(path).in_crs(read_points(path, "EPSG:32633").crs)
    assert moved.x[0] == pytest.approx(500000, abs=0.01)
    assert moved.y[0] == pytest.approx(4000000, abs=100)


def _geopackage(path: Path, kind: int, height: float | None) -> Path:
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE gpkg_spatial_ref_sys (srs_id INT, definition TEXT)")
        base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (32633, 'EPSG:32633')")
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
        found = read_points(_geopackage(tmp_path / f"{name}.gpkg", kind, height))
        assert (found.x[0], found.y[0], found.z[0]) == (500010, 4000020, 7.5)
        assert found.crs.to_epsg() == 32633


def test_las(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.01] * 3, [500000, 4000000, 0]
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = (np.array([v]) for v in (500010.0, 4000020.0, 7.5))
    cloud.write(str(tmp_path / "p.las"))
    found = read_points(tmp_path / "p.las")
    np.testing.assert_allclose([found.x[0], found.y[0], found.z[0]], [500010, 4000020, 7.5])


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with pytest.raises(ResourceError, match="no such file"):
        read_points(path)
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        read_points(path)
    path.write_text("a,b,c\n1,2,3\n")
    with pytest.raises(DataError, match="no columns for x, y and height"):
        read_points(path)
    path.write_text("x,y,z\n1,2,high\n")
    with pytest.raises(DataError, match="no number"):
        read_points(path)
    path.write_text("x,y,z\n")
    with pytest.raises(DataError, match="holds no point"):
        read_points(path)
    path.write_text("x,y,z\n1,2,3\n")
    with pytest.raises(UsageError, match="is no CRS"):
        read_points(path, "nonsense")
    (tmp_path / "p.gpkg").write_text("no base")
    with pytest.raises(DataError, match="is no GeoPackage"):
        read_points(tmp_path / "p.gpkg")
    (tmp_path / "p.las").write_text("no cloud")
    pytest.importorskip("laspy")
    with pytest.raises(DataError, match="no LAS file"):
        read_points(tmp_path / "p.las")
