"""Training with several processes."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

pytest.importorskip("lightning")

from conftest import terrain, write_raster
from demiurge.cli.main import run
from demiurge.model.bundle import load_bundle
from demiurge.scene.prepare import prepare

RECIPE = {
    "name": "tiny",
    "task": "refine",
    "layers": ["dsm"],
    "base": "dsm",
    "targets": ["dsm"],
    "chips": {"size": 32, "per_epoch": 24, "batch": 8},
    "network": {"architecture": "resdepth", "depth": 3, "decoder_channels": [8]},
    "augment": {"voids": 0.5},
    "losses": {"gradient": 0.5},
    "split": {"validation": 0.25, "buffer": 8},
    "optimiser": {"rate": 1e-3},
    "precision": "f32",
    "epochs": 2,
}


def make_scene(folder: Path) -> None:
    """Write a scene whose truth has gaps, so that processes have different numbers of pixels."""
    truth = terrain(160, 192)
    heights = (truth + 3).astype(np.float32)
    truth[:40, :50] = np.nan
    files = {
        "dsm": write_raster(folder / "dsm.tif", heights),
        "truth_dsm": write_raster(folder / "truth.tif", truth),
    }
    prepare(files, folder / "scene")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))


@pytest.mark.slow
def test_two_processes_train_like_one(tmp_path: Path) -> None:
    make_scene(tmp_path)
    curves = []
    for count in (1, 2):
        _train(tmp_path, count)
        with (tmp_path / f"log{count}" / "metrics.csv").open() as file:
            curves.append([[float(v) for v in row.values()] for row in csv.DictReader(file)])
        assert load_bundle(tmp_path / f"{count}.bundle").card.metrics["mae"] > 0
    assert len(curves[1]) == 2
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)


FOLDS = ("--folds", "3", "--set", "epochs=1", "--set", "split.buffer=0")


@pytest.mark.slow
def test_two_processes_cross_validate(tmp_path: Path) -> None:
    make_scene(tmp_path)
    _train(tmp_path, 2, *FOLDS, timeout=500)
    folds = json.loads((tmp_path / "2.folds.json").read_text())
    assert [fold["bundle"] for fold in folds] == [f"2.fold{i}.bundle" for i in (1, 2, 3)]
    assert sum(fold["pixels"] for fold in folds) == 160 * 192 - 40 * 50
    assert all(fold["input_mae"] == pytest.approx(3, abs=0.01) for fold in folds)
    for i, fold in enumerate(folds, 1):
        card = load_bundle(tmp_path / fold["bundle"]).card
        assert f"fold {i} of 3" in card.provenance["plan"]["notes"]
        assert (tmp_path / f"log2/fold{i}/metrics.csv").exists()
    assert not list(tmp_path.glob("*.work"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Change to a folder with a scene; return a command for two processes, to run in this one."""
    make_scene(tmp_path)
    command, environment = _command(2, *FOLDS)
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() | environment.keys():
        monkeypatch.setenv(name, environment[name])
    return command[3:]


def test_a_failed_fold_is_one_sentence(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run([*command, "--from", "refine"])
    printed = capfd.readouterr().err
    assert ended.value.code == 3, printed
    assert len(printed.splitlines()) == 1
    assert "start from a bundle with the same layers and targets" in printed
    assert not list(tmp_path.glob("2.fold*"))


def _helpers(checkpoint: Path, number: int) -> list[psutil.Process]:
    """Wait for the first checkpoint; return the processes that train."""
    end = time.monotonic() + 240
    while not checkpoint.exists() and psutil.pid_exists(number) and time.monotonic() < end:
        time.sleep(0.2)
    helpers = psutil.Process(number).children(recursive=True)
    return [helper for helper in helpers if "demiurge.training.processes" in helper.cmdline()]


def test_no_process_outlives_an_interruption(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    helpers: list[psutil.Process] = []

    def interrupt() -> None:
        helpers.extend(_helpers(tmp_path / "2.fold1.bundle.work/last.ckpt", os.getpid()))
        # Only this wakes the thread that waits for the process.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(SystemExit) as ended:
            run([*command, "--set", "epochs=10000"])
    finally:
        thread.join()
    assert ended.value.code == 130
    assert capfd.readouterr().err == "demiurge: interrupted\n"
    assert len(helpers) == 2, "the process of the fold, and Lightning's second process"
    assert psutil.wait_procs(helpers, timeout=60)[1] == []


#: The command imports Lightning to check the machine; the function that waits needs nothing.
WAIT = """
from demiurge.training.processes import train_in_process
train_in_process(scenes=["scene"], output="2.bundle", recipe="tiny.yaml", devices=2,
                 changes=["epochs=10000"])
"""


def test_no_process_outlives_a_killed_one(tmp_path: Path) -> None:
    make_scene(tmp_path)
    environment = _command(2)[1] | {"TMPDIR": str(tmp_path)}  # SIGKILL leaves temporary folders
    started = subprocess.Popen(
        [sys.executable, "-c", WAIT],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        helpers = _helpers(tmp_path / "2.bundle.work/last.ckpt", started.pid)
        assert len(helpers) == 2, "the process of the training, and Lightning's second process"
        started.kill()
        left = psutil.wait_procs(helpers, timeout=60)[1]
        for helper in left:
            helper.kill()
        assert left == []
        _, printed = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == -signal.SIGKILL
    assert printed == ""


def _command(count: int, *more: str) -> tuple[list[str], dict[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "demiurge.cli.main", "train", "scene", "-o", f"{count}.bundle",
        "--recipe", "tiny.yaml", "--devices", str(count), "--log", f"log{count}", "--quiet", *more,
    ]  # fmt: skip
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return command, environment | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def _train(folder: Path, count: int, *more: str, timeout: float = 300) -> None:
    command, environment = _command(count, *more)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-2000:]
