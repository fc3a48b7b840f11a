"""Tiles kept in memory."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.testclient import TestClient

from demiurge.viewer.kept import KeptTiles


@pytest.fixture
def made() -> list[str]:
    """Return the tiles that the application drew."""
    return []


@pytest.fixture
def client(made: list[str]) -> Callable[[int], TestClient]:
    app = FastAPI()

    @app.get("/tiles/{name}")
    def tile(name: str, style: str = "") -> Any:
        made.append(name + style)
        return Response(b"x" * 1000, status_code=404 if name == "missing" else 200)

    @app.get("/api/point")
    def point() -> str:
        made.append("point")
        return ""

    return lambda most: TestClient(KeptTiles(app, lambda: made.count("point"), most))  # type: ignore[arg-type]


def test_a_tile_is_drawn_once(client: Callable[[int], TestClient], made: list[str]) -> None:
    page = client(10_000)
    first, second = page.get("/tiles/a"), page.get("/tiles/a")
    assert first.content == second.content == b"x" * 1000
    assert first.headers == second.headers
    page.get("/tiles/a", params={"style": "slope"})
    assert made == ["a", "aslope"]


def test_errors_and_other_answers_are_not_kept(
    client: Callable[[int], TestClient], made: list[str]
) -> None:
    page = client(10_000)
    for _ in range(2):
        assert page.get("/tiles/missing").status_code == 404
        page.get("/api/point")
    assert made == ["missing", "point"] * 2


def test_tiles_of_files_written_again_are_drawn_again(
    client: Callable[[int], TestClient], made: list[str]
) -> None:
    page = client(10_000)
    for _ in range(2):
        page.get("/tiles/a")
        page.get("/tiles/a")
        page.get("/api/point")  # the state of the test
    assert made == ["a", "point"] * 2


def test_memory_is_limited(client: Callable[[int], TestClient], made: list[str]) -> None:
    page = client(2500)
    for name in "abcbcab":
        page.get(f"/tiles/{name}")
    assert made == ["a", "b", "c", "a", "b"]
