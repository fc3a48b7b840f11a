"""Training by several processes."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("lightning")

from conftest import terrain, write_raster
from demiurge.model.bundle import load_bundle
from demiurge.scene.prepare import prepare

RECIPE = {
    "name": "tiny",
    "task": "refine",
    "layers": ["dsm"],
    "base": "dsm",
    "targets": ["dsm"],
    "chips": {"size": 32, "per_epoch": 24, "batch": 8},
    "network": {"encoder": "resnet18", "depth": 3, "decoder_channels": [16, 8, 8], "detail": 8},
    "augment": {"voids": 0.5},
    "losses": {"gradient": 0.5},
    "split": {"validation": 0.25, "buffer": 8},
    "optimiser": {"rate": 1e-3},
    "precision": "f32",
    "epochs": 2,
}


def make_scene(folder: Path) -> None:
    """Truth with gaps, so that the processes' shares of known pixels differ."""
    truth = terrain(160, 192)
    heights = (truth + 3).astype(np.float32)
    truth[:40, :50] = np.nan
    files = {
        "dsm": write_raster(folder / "dsm.tif", heights),
        "truth_dsm": write_raster(folder / "truth.tif", truth),
    }
    prepare(files, folder / "scene")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    make_scene(tmp_path)
    curves = []
    for count in (1, 2):
        _train(tmp_path, count)
        with (tmp_path / f"log{count}" / "metrics.csv").open() as file:
            curves.append([[float(v) for v in row.values()] for row in csv.DictReader(file)])
        assert load_bundle(tmp_path / f"{count}.bundle").card.metrics["mae"] > 0
    assert len(curves[1]) == 2
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)


def _train(folder: Path, count: int, *more: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "demiurge.cli.main", "train", "scene", "-o", f"{count}.bundle",
        "--recipe", "tiny.yaml", "--devices", str(count), "--log", f"log{count}", "--quiet", *more,
    ]  # fmt: skip
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
