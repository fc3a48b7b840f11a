"""The cache: complete files, its limit, and files in use."""

import os
from pathlib import Path

import pytest

from demiurge.fetching.cache import Cache, default_folder


def test_files_are_made_once_and_never_partly(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", 1e9)
    path = cache.path("a", 1)
    calls = []

    def make(partial: Path) -> None:
        calls.append(partial)
        partial.write_bytes(b"half")
        if len(calls) == 1:
            raise OSError("interrupted")

    with pytest.raises(OSError, match="interrupted"):
        cache.get(path, make)
    assert list(cache.folder.iterdir()) == []
    assert cache.get(path, make).read_bytes() == b"half"
    cache.get(path, make)
    assert len(calls) == 2
    assert cache.path("a", 1) == path != cache.path("a", 2)


def test_the_least_recently_used_files_are_removed(tmp_path: Path) -> None:
    old = Cache(tmp_path, 250)
    for number in range(4):
        path = old.get(old.path(number), lambda p: p.write_bytes(b"x" * 100))
        os.utime(path, (1e9 + number, 1e9 + number))
    cache = Cache(tmp_path, 250)
    cache.get(cache.path(0), lambda p: None)
    os.utime(cache.path(0), (1e9, 1e9))
    cache.trim()
    assert [cache.path(n).exists() for n in range(4)] == [True, False, False, True]


def test_the_folder_is_that_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIURGE_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("DEMIURGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_folder() == Path("/caches/demiurge")
