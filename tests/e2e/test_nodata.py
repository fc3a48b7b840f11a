"""``--nodata`` in every command that reads a raster."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import LEFT, TOP, make_bundle, terrain, write_raster
from demiurge.cli.main import run

HOLE = (slice(40, 44), slice(50, 56))


def demiurge(command: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as caught:
        run(command.split())
    assert caught.value.code == code


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    heights = terrain()
    heights[HOLE] = -99
    write_raster(Path("dsm.tif"), heights)
    write_raster(Path("truth.tif"), terrain())
    write_raster(Path("image.tif"), np.clip(terrain(), 1, 255).astype(np.uint8))
    coarse = rasterio.transform.from_origin(LEFT, TOP, 16, 16)
    prior = terrain().reshape(20, 8, 24, 8).mean(axis=(1, 3))
    prior[5:7, 5:9] = -99
    write_raster(Path("prior.tif"), prior, transform=coarse)
    make_bundle(Path("refine.bundle"))
    make_bundle(
        Path("generate.bundle"), task="generate", layers=("red", "dem_prior"), base="dem_prior"
    )
    return tmp_path


COMMANDS = {
    "refine": ("refine dsm.tif --bundle refine.bundle -o out.tif", "dsm"),
    "generate": (
        "generate image.tif --bands red=1 --prior prior.tif --bundle generate.bundle -o out.tif",
        "dem_prior",
    ),
    "prepare": ("prepare dsm=truth.tif truth_dsm=dsm.tif -o scene", "truth_dsm"),
    "evaluate": ("evaluate truth.tif --reference dsm.tif", "reference"),
    "export": ("export dsm.tif -o out.ply", "surface"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_undeclared_no_data_is_refused_and_the_suggested_option_works(
    place: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    command, role = COMMANDS[name]
    demiurge(command, 3)
    error = capsys.readouterr().err
    assert "are exactly -99" in error
    assert f"--nodata {role}=-99" in error
    assert not Path(command.split()[-1]).exists() or name == "evaluate"
    demiurge(f"{command} --nodata dtm=0", 2)
    assert "no such layer is read" in capsys.readouterr().err
    demiurge(f"{command} --nodata {role}=-99")


def test_the_result_does_not_contain_the_value(place: Path) -> None:
    demiurge("refine dsm.tif --bundle refine.bundle --keep-voids --nodata dsm=-99 -o a.tif")
    with rasterio.open("a.tif") as file:
        heights = file.read(1)
    assert np.isnan(heights[HOLE]).all()
    assert np.isnan(heights).sum() == 24
    assert np.nanmin(heights) > terrain().min()
    demiurge("export dsm.tif -o a.ply --nodata surface=-99")
    assert f"element vertex {terrain().size - 24}".encode() in Path("a.ply").read_bytes()[:5000]
    demiurge("refine dsm.tif --bundle refine.bundle --nodata dsm=none -o kept.tif")
    with rasterio.open("kept.tif") as file:
        assert np.nanmin(file.read(1)) < 0


def test_check_reports_the_value(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Path("hand")
    scene.mkdir()
    (scene / "scene.yaml").write_text("layers: {dsm: {file: ../dsm.tif}}\n")
    demiurge("check hand", 3)
    assert "--nodata dsm=-99" in capsys.readouterr().err
    demiurge("check hand --nodata dsm=-99")
    assert "0.1%" in capsys.readouterr().out
    (scene / "scene.yaml").write_text("layers: {dsm: {file: ../dsm.tif, nodata: [-99]}}\n")
    demiurge("check hand")
    assert "0.1%" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["dsm", "dsm=", "dsm=abc", "-99"])
def test_an_invalid_value_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    demiurge(f"refine dsm.tif --bundle refine.bundle -o out.tif --nodata {text}", 2)
    assert "dsm=-999" in capsys.readouterr().err
