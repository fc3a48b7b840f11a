"""Interrupted predictions resume and give the same pixels."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import blur_graph, make_bundle, terrain, write_raster
from demiurge.errors import UsageError
from demiurge.predict.api import refine
from demiurge.predict.checkpoint import Checkpoint
from demiurge.predict.options import Options

STOPPED = """
import os, sys
from demiurge.errors import UsageError
from demiurge.predict.checkpoint import Checkpoint
from demiurge.predict.options import Options
write, rows = Checkpoint.write, []
def stop_later(self, *a):
    write(self, *a)
    rows.append(a)
    if len(rows) == 4:
        os.kill(os.getpid(), int(sys.argv[1]))
Checkpoint.write = stop_later
from demiurge.cli.main import run
run("refine dsm.tif --bundle a.bundle -o out.tif".split())
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    heights = terrain(500, 150)
    heights[100:120, 30:90] = np.nan
    write_raster(tmp_path / "dsm.tif", heights)
    make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2), scale=1.0)
    return tmp_path


def stopped_by(number: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STOPPED, str(number)], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGKILL, -signal.SIGKILL, ""),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGINT, 130, "interrupted"),
    ],
)
def test_the_same_command_resumes(
    place: Path, number: int, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = stopped_by(number)
    assert done.returncode == code
    if message:
        assert f"demiurge: {message}" in done.stderr
        assert "run the same command to resume" in done.stderr
    assert not Path("out.tif").exists()
    state = json.loads(Path(".out.tif.partial/state.json").read_text())
    assert 0 < state["done"]["0"] < 500
    written = []
    write = Checkpoint.write

    def counted(self: Checkpoint, part: int, top: int, left: int, values: np.ndarray) -> None:
        written.append(top)
        write(self, part, top, left, values)

    monkeypatch.setattr(Checkpoint, "write", counted)
    surface = refine("dsm.tif", "out.tif", bundle="a.bundle")
    assert min(written) == state["done"]["0"], "finished rows are not predicted again"
    full = refine("dsm.tif", "full.tif", bundle="a.bundle")
    with rasterio.open("out.tif") as a, rasterio.open("full.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())
    assert (surface.filled, surface.unknown) == (full.filled, full.unknown)
    assert surface.uncertainty == pytest.approx(full.uncertainty)
    assert not Path(".out.tif.partial").exists()


def test_other_options_are_refused_without_overwrite(place: Path) -> None:
    stopped_by(signal.SIGKILL)
    make_bundle(place / "a.bundle", answers=[0.5, 0.0])
    rows = Path(".out.tif.partial/rows.f32").read_bytes()
    with pytest.raises(UsageError, match=r"other inputs or options.*--overwrite"):
        refine("dsm.tif", "out.tif", bundle="a.bundle")
    assert Path(".out.tif.partial/rows.f32").read_bytes() == rows, "finished rows are kept"
    refine("dsm.tif", "out.tif", bundle="a.bundle", options=Options(overwrite=True))
    with rasterio.open("out.tif") as file, rasterio.open("dsm.tif") as dsm:
        change = file.read(1) - dsm.read(1)
    assert np.nanmax(np.abs(change - 5)) < 1e-3, "no rows of the other bundle remain"


def test_a_full_disk_keeps_the_finished_rows(place: Path) -> None:
    """A limit on file sizes simulates the full disk."""
    command = "-m demiurge.cli.main refine dsm.tif --bundle a.bundle -o out.tif"
    limited = f"ulimit -f 400; exec {sys.executable} {command}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "cannot be written" in done.stderr
    assert not Path("out.tif").exists()
    refine("dsm.tif", "out.tif", bundle="a.bundle")
    assert Path("out.tif").exists()
