"""The tutorial from a bounding box to a DEM: its commands run against services on loopback."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio

from demiurge.cli.main import run
from demiurge.fetching import catalogues
from demiurge.fetching.catalogues import Service

from .faulty import Server

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "bounding-box.md"


def test_the_commands_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMIURGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(catalogues.SERVICES, "earth-search", Service("earth-search", server.url))
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    commands = [line for block in blocks for line in block.splitlines()]
    assert [line.split()[1] for line in commands] == ["fetch", "check", "generate", "export"]
    printed = ""
    for line in commands:
        with pytest.raises(SystemExit) as stop:
            run(shlex.split(line)[1:])
        out, error = capfd.readouterr()
        assert stop.value.code == 0, error
        printed += out
    assert "layers: red, green, blue, nir, dem_prior, ndvi, valid" in printed
    assert "heights: orthometric (EGM2008 height)" in printed
    assert "credit: Produced using Copernicus WorldDEM-30" in printed
    with rasterio.open(tmp_path / "dem.tif") as dem, rasterio.open("scene/stack.tif") as scene:
        assert dem.shape == scene.shape
        prior = scene.read(5)
        heights = dem.read(1)
    assert np.nanmedian(np.abs(heights - prior)) < 5
    assert (tmp_path / "dem.glb").stat().st_size > 1000
