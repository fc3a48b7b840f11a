"""GeoPackages are only read, whatever their path and however they were last written."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from demiurge.tables import open_geopackage

NAMES = ["plain.gpkg", "a#b.gpkg", "100% sure?.gpkg", "päth.gpkg", "a&mode=rwc.gpkg"]


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
def test_any_path_is_read_and_nothing_is_made(
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


def test_a_missing_one_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), open_geopackage(tmp_path / "a#b.gpkg"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_write_ahead_log_is_read_and_none_is_made(tmp_path: Path) -> None:
    path = tmp_path / "w.gpkg"
    with closing(make(path, "PRAGMA journal_mode=WAL")) as writer:
        writer.execute("INSERT INTO t VALUES (9)")
        writer.commit()  # stays in the log for as long as the writer is open
        assert values(path) == [7, 9]
    assert values(path) == [7, 9]
    assert [p.name for p in tmp_path.iterdir()] == ["w.gpkg"]
