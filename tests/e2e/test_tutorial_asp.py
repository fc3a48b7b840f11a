"""The tutorial from an ASP folder to a report: its commands run, and print what it shows."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.cli.main import run

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "asp-folder.md"
NODATA = float(np.float32(-3.40282347e38))
SHAPE = (256, 256)


def blocks(kind: str) -> list[str]:
    """Return the blocks of code of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in found if language == kind]


def make_run(folder: Path) -> None:
    """Write a run at 1 m with the names and headers of ASP, and lidar heights of the place."""
    truth, rng = terrain(*SHAPE), np.random.default_rng(5)
    heights = truth + rng.normal(0, 0.8, SHAPE).astype(np.float32)
    heights[100:120, 100:130] = NODATA
    error = np.abs(rng.normal(0.3, 0.1, SHAPE)).astype(np.float32)
    error[100:120, 100:130] = NODATA
    image = np.gradient(truth)[0].astype(np.float32)
    grid = {"transform": from_origin(LEFT, TOP, 1, 1)}
    (folder / "run").mkdir()
    for name, data in (("DEM", heights), ("IntersectionErr", error), ("DRG", image)):
        write_raster(folder / "run" / f"run-{name}.tif", data, nodata=NODATA, **grid)
    bands = {"L": 1, "R": 1, "lMask": 1, "rMask": 1, "D": 3, "RD": 3, "F": 3, "PC": 4}
    for name, count in {**bands, "GoodPixelMap": 3}.items():
        shape = {"count": count, "height": 8, "width": 8, "dtype": "float32"}
        with rasterio.open(folder / "run" / f"run-{name}.tif", "w", "GTiff", **shape) as dataset:
            dataset.write(np.zeros((count, 8, 8), np.float32))
    write_raster(folder / "lidar.tif", truth, **grid)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_commands_run_and_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("demiurge.progress._FIRST", 600.0)
    make_run(tmp_path)
    commands = [line for block in blocks("") for line in block.splitlines()]
    assert [line.split()[1] for line in commands] == ["prepare", "check", "refine", "evaluate"]
    for line in commands:
        with pytest.raises(SystemExit) as stop:
            run(shlex.split(line)[1:])
        printed = capfd.readouterr()
        assert stop.value.code == 0, printed.err
        if line.startswith("demiurge prepare"):
            assert printed.err.startswith(blocks("text")[0])
    figures = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert figures
    assert "<html" in (tmp_path / "report.html").read_text("utf-8")
    with rasterio.open(tmp_path / "better.tif") as surface:
        assert surface.shape == SHAPE
