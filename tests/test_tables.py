"""Tables of ground points, and read-only GeoPackages."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from demiurge.errors import DataError
from demiurge.scene.points import read_points
from demiurge.tables import open_geopackage

NAMES = ["plain.gpkg", "a#b.gpkg", "100% sure?.gpkg", "päth.gpkg", "a&mode=rwc.gpkg"]
X, Y, Z = [500010.5, 500030.25], [4000020.0, 4000040.0], [7.5, 8.5]


@pytest.mark.parametrize(
    "text",
    [
        "x,y,z\n500010.5,4000020,7.5\n500030.25,4000040,8.5\n",
        "OID_,POINT_X,POINT_Y,POINT_Z\n1,500010.5,4000020,7.5\n2,500030.25,4000040,8.5\n",
        "Name,Easting,Northing,Elev\na,500010.5,4000020,7.5\nb,500030.25,4000040,8.5\n",
        "X;Y;Altitude (m)\n500010.5;4000020;7.5\n500030.25;4000040;8.5\n",
        "x;y;z\n500010,5;4000020;7,5\n500030,25;4000040;8,5\n",
        "x\ty\tz\n500010,5\t4000020\t7,5\n500030,25\t4000040\t8,5\n",
        "P,N,E,Z,D\n1,4000020,500010.5,7.5,NAIL\n2,4000040,500030.25,8.5,NAIL\n",
        "#Label,X/Easting,Y/Northing,Z/Altitude\na,500010.5,4000020,7.5\nb,500030.25,4000040,8.5\n",
        "x y z\n500010.5 4000020 7.5\n# a comment\n\n500030.25  4000040 8.5\n",
        'easting,northing,"height [m]",by\n500010.5,4000020,7.5,"A, B"\n500030.25,4000040,8.5,C\n',
    ],
)
def test_headers_in_use(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    result = read_points(path)
    for values, expected in ((result.x, X), (result.y, Y), (result.z, Z)):
        np.testing.assert_array_equal(values, expected)
    assert result.crs is None
    assert result.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "101,4000020,500010.5,7.5,NAIL\n102,4000040,500030.25,8.5,IRON PIN, OLD\n",
        "101 4000020 500010.5 7.5 NAIL\n102 4000040 500030.25 8.5 PIN\n",
    ],
)
def test_pnezd_without_a_header(tmp_path: Path, text: str) -> None:
    path = tmp_path / "survey.txt"
    path.write_text(text)
    result = read_points(path)
    for values, expected in ((result.x, X), (result.y, Y), (result.z, Z)):
        np.testing.assert_array_equal(values, expected)
    assert "read as point, northing, easting, elevation, description (PNEZD)" in result.notes[0]


@pytest.mark.parametrize(
    "first", ["EPSG:32633", "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs", "WGS84 UTM 33N"]
)
def test_lists_of_ground_control_points(tmp_path: Path, first: str) -> None:
    """A point is listed once for each image that shows it, and is returned once."""
    path = tmp_path / "gcp_list.txt"
    path.write_text(
        f"{first}\n500010.5\t4000020\t7.5\t812\t410\tA.JPG\tgcp1\n"
        "500010.5\t4000020\t7.5\t12\t1410\tB.JPG\tgcp1\n"
        "500030.25 4000040 8.5 3 4 A.JPG\n".replace(" ", "\t")
    )
    result = read_points(path)
    for values, expected in ((result.x, X), (result.y, Y), (result.z, Z)):
        np.testing.assert_array_equal(values, expected)
    assert result.crs.to_epsg(20) == 32633


@pytest.mark.parametrize("pair", [("lon", "lat"), ("Longitude", "Latitude"), ("long", "lat")])
def test_columns_go_together(tmp_path: Path, pair: tuple[str, str]) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"{pair[1]},{pair[0]},northing,height\n36.1,15.0,4000020,100\n")
    result = read_points(path)
    assert (result.x[0], result.y[0]) == (15.0, 36.1)
    assert result.crs.to_epsg() == 4326


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,y,z\n500010,5,4000020,2,7,5\n", "line 2 has 6 values for 3 columns; if decimals"),
        ("x;y;z\n500010.5;4000020;7,5\n", "both points and commas"),
        ("x;y;z\n1.500.010,5;4000020;7,5\n", "both points and commas"),
        ("x,y,z\n1,2\n", "line 2 has only 2 values"),
        ("x,y,z\n1,2,3\n4,5,high\n", "line 3 contains 'high', which is not a number"),
        ("500010,4000020,7.5\n", "has no columns for x, y and height"),
        ("lat,x,z\n1,2,3\n", "has no columns for x, y and height"),
        ("x,y,z (fathoms)\n1,2,3\n", "the unit of heights, 'fathoms', is unknown"),
        ("EPSG:32633\n", "contains no point with a height"),
    ],
)
def test_what_is_not_understood(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_points(path)
    assert sentence in str(caught.value)


def make(path: Path, *pragmas: str) -> sqlite3.Connection:
    base = sqlite3.connect(path)
    for pragma in pragmas:
        base.execute(pragma)
    base.execute("CREATE TABLE t (v INT)")
    base.execute("INSERT INTO t VALUES (7)")
    base.commit()
    return base


def values(path: Path) -> list[int]:
    with open_geopackage(path) as base:
        return [row[0] for row in base.execute("SELECT v FROM t")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["run#3", "plain"])
def test_any_path_is_read_and_no_file_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    place = tmp_path / folder
    place.mkdir()
    make(place / name).close()
    monkeypatch.chdir(place)
    for path in (place / name, Path(name)):
        assert values(path) == [7]
        with (
            open_geopackage(path) as base,
            pytest.raises(sqlite3.OperationalError, match="readonly"),
        ):
            base.execute("INSERT INTO t VALUES (8)")
    assert [p.name for p in tmp_path.rglob("*")] == [folder, name]


def test_a_missing_geopackage_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), open_geopackage(tmp_path / "a#b.gpkg"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_write_ahead_log_is_read_and_none_is_created(tmp_path: Path) -> None:
    path = tmp_path / "w.gpkg"
    with closing(make(path, "PRAGMA journal_mode=WAL")) as writer:
        writer.execute("INSERT INTO t VALUES (9)")
        writer.commit()  # remains in the log while the writer is open
        assert values(path) == [7, 9]
    assert values(path) == [7, 9]
    assert [p.name for p in tmp_path.iterdir()] == ["w.gpkg"]
