"""Commands as a user enters them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import make_bundle, terrain, write_raster
from demiurge.cli.main import run


def demiurge(command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run(command.split())
    assert caught.value.code == 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    heights = terrain() + 5
    heights[40:60, 50:70] = np.nan
    write_raster(Path("dsm.tif"), heights)
    write_raster(Path("left.tif"), (terrain() * 7).astype(np.uint16))
    write_raster(Path("truth.tif"), terrain())
    make_bundle(Path("refine.bundle"), answers=[-0.4, 0.0])
    return tmp_path


def test_prepare_check_refine_evaluate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demiurge("prepare dsm.tif ortho_left=left.tif truth_dsm=truth.tif -o scene")
    assert "layers: dsm, ortho_left, truth_dsm, valid" in capsys.readouterr().out
    demiurge("check scene")
    out = capsys.readouterr().out
    assert "ortho_left" in out
    assert "1.3%" in out, "the voids of the DSM"
    demiurge("refine dsm.tif --bundle refine.bundle -o out.tif")
    assert "400 void pixels filled" in capsys.readouterr().out
    demiurge("evaluate out.tif --reference truth.tif --baseline dsm.tif --json e.json")
    assert "ratio" in capsys.readouterr().out
    report = json.loads(Path("e.json").read_text())
    assert report["common"]["surface"]["mae"] == pytest.approx(1, abs=1e-3)
    assert report["ratio"]["mae"] == pytest.approx(0.2, abs=1e-3)
    assert report["surface"]["coverage"] == 1
    demiurge("evaluate out.tif --reference truth.tif")
    assert "NMAD" in capsys.readouterr().out


def test_directions_are_shown_and_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(Path("stereo.bundle"), layers=("dsm", "ortho_left"))
    demiurge("prepare dsm.tif ortho_left=left.tif ortho_right=left.tif -o scene "
             "--view-left 250,70 --view-right 70,75 --sun 151.3,48")  # fmt: skip
    lines = (
        "ortho_left: azimuth 250.0, elevation 70.0 degrees, incidence 20.0",
        "ortho_right: azimuth 70.0, elevation 75.0 degrees, incidence 15.0",
        "pair: convergence 35.0 degrees, base-to-height ratio 0.63, parallax along azimuth 70",
        "sun: azimuth 151.3, elevation 48.0 degrees",
    )
    shown = capsys.readouterr().out
    demiurge("check scene")
    checked = capsys.readouterr().out
    assert all(f"  {line}\n" in shown and f"  {line}\n" in checked for line in lines)
    demiurge("refine scene --bundle stereo.bundle -o out.tif -q")
    with rasterio.open("out.tif") as file:
        tags = file.tags()
    assert tags["view_right"] == "azimuth 70.0, elevation 75.0 degrees"
    assert tags["sun"] == "azimuth 151.3, elevation 48.0 degrees"


def test_a_scene_and_its_files_give_the_same_surface(place: Path) -> None:
    make_bundle(Path("stereo.bundle"), layers=("dsm", "ortho_left"))
    demiurge("prepare dsm.tif ortho_left=left.tif -o scene -q")
    demiurge("refine scene --bundle stereo.bundle -o a.tif -q")
    demiurge("refine dsm.tif --left left.tif --bundle stereo.bundle -o b.tif -q")
    with rasterio.open("a.tif") as a, rasterio.open("b.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())
        assert a.transform == b.transform


def test_overwrite_replaces_an_output_and_leaves_no_other_file(place: Path) -> None:
    demiurge("refine dsm.tif --bundle refine.bundle -o out.tif -q")
    demiurge("refine dsm.tif --bundle refine.bundle -o out.tif -q --overwrite")
    assert sorted(p.name for p in place.glob("out*")) == ["out.tif"]


def test_bundles_and_recipes_are_listed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demiurge("bundle info refine.bundle")
    assert "2 to 2 m" in capsys.readouterr().out
    demiurge("bundle info refine.bundle --json")
    assert json.loads(capsys.readouterr().out)["task"] == "refine"
    demiurge("recipes")
    assert "deepdem" in capsys.readouterr().out
    demiurge("recipes --keys")
    assert "chips.size" in capsys.readouterr().out
    demiurge("recipes --show deepdem")
    assert "encoder: resnet18" in capsys.readouterr().out
    os.environ["DEMIURGE_BUNDLES"] = str(place)
    try:
        demiurge("bundles")
    finally:
        del os.environ["DEMIURGE_BUNDLES"]
    assert "refine" in capsys.readouterr().out


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    demiurge("--version")
    assert capsys.readouterr().out.startswith("demiurge 0.")
    for command in ("prepare", "check", "train", "refine", "generate", "evaluate", "bundle info"):
        demiurge(f"{command} --help")
        assert "Usage" in capsys.readouterr().out


NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        extras = {"torch", "lightning", "segmentation_models_pytorch", "timm", "onnx", "matplotlib",
                  "safetensors", "onnxruntime", "numba", "cv2", "distributed", "xdem", "skgstat"}
        if name.split(".")[0] in extras:
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
from demiurge.cli.main import run
for command in sys.argv[1:]:
    try:
        run(command.split())
    except SystemExit as end:
        if end.code:
            raise
"""


def test_applying_needs_no_torch(place: Path) -> None:
    commands = (
        "prepare dsm.tif truth_dsm=truth.tif -o scene",
        "refine dsm.tif --bundle refine.bundle -o out.tif",
        "evaluate dsm.tif --reference truth.tif",
        "bundle info refine.bundle",
        "recipes --keys",
    )
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, *commands], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path("scene/scene.yaml").exists()
    assert Path("out.tif").exists()
    assert "chips.size" in done.stdout, "the last command ran"


def test_training_without_torch_names_the_extra(place: Path) -> None:
    demiurge("prepare dsm.tif truth_dsm=truth.tif -o scene -q")
    command = [sys.executable, "-c", NO_TORCH, "train scene -o m.bundle"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 4
    assert "pip install 'demiurge[train]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_leaves_no_files(place: Path) -> None:
    code = (
        "import sys\n"
        "from demiurge.predict import job\n"
        "def interrupted(*a, **k):\n"
        "    raise KeyboardInterrupt\n"
        "    yield\n"
        "job.predict_rows = interrupted\n"
        "from demiurge.cli.main import run\n"
        "run('refine dsm.tif --bundle refine.bundle -o out.tif'.split())\n"
    )
    before = sorted(p.name for p in place.iterdir())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "demiurge: interrupted\n"
    assert sorted(p.name for p in place.iterdir()) == before
