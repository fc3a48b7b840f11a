"""The viewer in a notebook."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from demiurge.predict import surface as surfaces
from demiurge.predict.surface import Surface
from demiurge.viewer.catalogue import open_catalogue
from demiurge.viewer.notebook import explore, proxy_address
from demiurge.viewer.server import PAGE

pytestmark = pytest.mark.skipif(not PAGE.is_dir(), reason="the page is not built")


def test_a_frame_shows_the_files(files: list[Path]) -> None:
    frame = explore(files, 400)
    try:
        assert f'src="{frame.url}"' in frame._repr_html_()
        with urlopen(f"{frame.url}api/catalogue") as answer:
            assert len(json.load(answer)["layers"]) == 6
        again = explore(files, 400)
        assert again.url != frame.url
    finally:
        again.viewer.close()


def test_behind_a_proxy_there_is_a_token(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    frame = explore(files[:1])
    try:
        assert frame.url.startswith("/user/me/proxy/")
        token = frame.url.split("token=")[1]
        address = f"{frame.viewer.url.split('?')[0]}api/catalogue?token={token}"
        with urlopen(Request(address, headers={"Host": "hub.example"})) as answer:
            assert answer.status == 200
    finally:
        frame.viewer.close()
    monkeypatch.setenv("DEMIURGE_PROXY", "/other/{port}")
    assert proxy_address() == "/other/{port}/"


def test_surfaces_explore(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("viewer", "demiurge.viewer.notebook:explore", "demiurge.explore")
    monkeypatch.setattr(surfaces, "entry_points", lambda group: [entry])
    grid = open_catalogue(files[:1]).layers["L0"].grid
    surface = Surface(
        grid=grid, bands=("dsm",), seconds=1, filled=0, unknown=0, uncertainty=0, memory=1,
        path=files[0],
    )  # fmt: skip
    frame = surface.explore(files[1])
    try:
        assert "<iframe" in frame._repr_html_()
    finally:
        frame.viewer.close()
