"""How the QGIS plugin finds, asks, runs and ends the command."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin_parts import part, program

from conftest import terrain, write_raster
from demiurge import __version__

command = part("command")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")


def script(folder: Path, text: str) -> str:
    """Write a Python program that stands in for demiurge."""
    source = folder / "stand_in.py"
    source.write_text(text)
    path = program(folder, f"'{source}'")
    return str(path)


def run(path: str, *words: str, **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    events: list[dict[str, Any]] = []
    lines: list[str] = []
    options = {"cancelled": lambda: False} | options
    command.run(path, list(words), event=events.append, line=lines.append, **options)
    return events, lines


def test_the_setting_comes_first_then_the_variable_then_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("setting", "variable", "path"):
        (tmp_path / name).mkdir()
        program(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("DEMIURGE", str(tmp_path / "variable/demiurge"))
    assert command.find(str(tmp_path / "setting/demiurge")) == str(tmp_path / "setting/demiurge")
    assert command.find("  ") == str(tmp_path / "variable/demiurge")
    monkeypatch.delenv("DEMIURGE")
    assert command.find() == str(tmp_path / "path/demiurge")


def test_an_absent_command_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DEMIURGE", raising=False)
    with pytest.raises(command.NotFoundError, match="is not found; install it") as caught:
        command.find()
    assert "Settings > Options > Processing > Providers > demiurge" in str(caught.value)
    monkeypatch.setenv("DEMIURGE", "/no/such")
    with pytest.raises(command.NotFoundError, match=r"'/no/such' \(in \$DEMIURGE\) is no program"):
        command.find()


def test_the_command_does_not_get_the_python_of_qgis(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "PROJ_LIB", "GDAL_DATA"):
        monkeypatch.setenv(name, "/of/qgis")
    monkeypatch.setenv("DEMIURGE_BUNDLES", "/bundles")
    found = command.environment()
    assert "/of/qgis" not in found.values()
    assert found["DEMIURGE_BUNDLES"] == "/bundles"
    assert found["DEMIURGE_PROGRESS"] == "json"


def test_options_are_read_once_per_version(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    path = str(program(tmp_path))
    first = command.specification(path, kept)
    assert first.version == __version__
    assert "refine" in first.commands
    (file,) = kept.iterdir()
    content = json.loads(file.read_text())
    content["commands"] = {"refine": content["commands"]["refine"]}
    file.write_text(json.dumps(content))
    assert list(command.specification(path, kept).commands) == ["refine"], "read from the folder"
    file.write_text("{")
    assert command.specification(path, kept) == first, "a damaged file is replaced"
    other = script(tmp_path, "import sys\nprint('demiurge 9.9' if '--version' in sys.argv else 3)")
    with pytest.raises(command.NotFoundError, match=r"demiurge 9\.9.*update both"):
        command.specification(other, kept)


def test_an_old_command_is_to_be_updated(tmp_path: Path) -> None:
    old = "import sys\nsys.exit(0 if '--version' in sys.argv else \"No such command 'options'\")"
    with pytest.raises(command.NotFoundError, match=r"No such command 'options'.*--upgrade"):
        command.specification(script(tmp_path, old), tmp_path / "kept")


def test_a_file_that_is_no_program_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "demiurge"
    path.write_bytes(b"\0")
    path.chmod(0o755)
    with pytest.raises(command.NotFoundError, match="does not run"):
        command.specification(str(path), tmp_path / "kept")


def test_progress_and_lines_arrive(tmp_path: Path) -> None:
    heights = terrain()
    surface = write_raster(tmp_path / "a.tif", heights, unit="m")
    reference = write_raster(tmp_path / "b.tif", heights + np.float32(0.25), unit="m")
    words = ("evaluate", str(surface), "--reference", str(reference))
    events, lines = run(str(program(tmp_path)), *words)
    steps = [item for item in events if item["event"] == "progress"]
    assert steps[0]["done"] == 0
    assert steps[-1]["done"] == pytest.approx(steps[-1]["total"])
    assert any("0.25" in line for line in lines)


def test_the_sentence_of_an_error(tmp_path: Path) -> None:
    with pytest.raises(command.FailedError) as caught:
        run(str(program(tmp_path)), "export", "absent.tif", "-o", str(tmp_path / "x.laz"))
    assert str(caught.value).startswith("absent.tif: ")
    assert "Traceback" not in str(caught.value)


def test_a_crash_without_a_sentence(tmp_path: Path) -> None:
    path = script(tmp_path, "import sys\nprint('last words')\nsys.exit(9)")
    with pytest.raises(command.FailedError, match="exit code 9: last words"):
        run(path)


def test_lines_that_only_look_like_events(tmp_path: Path) -> None:
    path = script(tmp_path, "print('{no json')\nprint('{\"a\": 1}')\nprint('[1]')")
    assert run(path) == ([], ["{no json", '{"a": 1}', "[1]"])


_POLITE = """
import pathlib, signal, sys, time
out = pathlib.Path(sys.argv[1])
(out.parent / ".x.tif.partial").mkdir(exist_ok=True)
(out.parent / ".x.partial-77.tif").write_text("half")
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    (out.parent / "interrupted").touch()
    sys.exit(130)
"""
_STUBBORN = """
import os, pathlib, signal, sys, time
out = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(out.parent / ".x.tif.partial").mkdir()
(out.parent / "pid").write_text(str(os.getpid()))
print("ready", flush=True)
time.sleep(60)
"""


def cancel(path: str, out: Path, grace: float) -> float:
    """Cancel a program after its first line; return the seconds until it ended."""
    ready = threading.Event()
    start = time.monotonic()
    with pytest.raises(command.CancelledError):
        command.run(
            path, [str(out)], outputs=(str(out),), event=lambda _: None,
            line=lambda _: ready.set(), cancelled=ready.is_set, grace=grace,
        )  # fmt: skip
    return time.monotonic() - start


def test_cancelling_interrupts_and_removes_unfinished_files(tmp_path: Path) -> None:
    out = tmp_path / "results" / "x.tif"
    out.parent.mkdir()
    (out.parent / ".y.tif.partial").mkdir()
    assert cancel(script(tmp_path, _POLITE), out, 20) < 15
    assert {p.name for p in out.parent.iterdir()} == {"interrupted", ".y.tif.partial"}


def test_rows_of_an_earlier_run_stay(tmp_path: Path) -> None:
    out = tmp_path / "results" / "x.tif"
    (out.parent / ".x.tif.partial").mkdir(parents=True)
    cancel(script(tmp_path, _POLITE), out, 20)
    assert {p.name for p in out.parent.iterdir()} == {"interrupted", ".x.tif.partial"}


def test_a_program_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_TERM", 0.2)
    out = tmp_path / "results" / "x.tif"
    out.parent.mkdir()
    assert cancel(script(tmp_path, _STUBBORN), out, 0.2) < 15
    assert {p.name for p in out.parent.iterdir()} == {"pid"}
    with pytest.raises(ProcessLookupError):
        os.kill(int((out.parent / "pid").read_text()), 0)


def test_cancelling_the_real_command_leaves_nothing(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A run is cancelled at its first progress; neither result nor rows remain."""
    heights = np.tile(terrain(), (10, 10))
    dsm = write_raster(tmp_path / "dsm.tif", heights, unit="m")
    out = tmp_path / "results" / "x.tif"
    out.parent.mkdir()
    started = threading.Event()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    with pytest.raises(command.CancelledError):
        command.run(
            str(program(tmp_path)), ["refine", str(dsm), "-o", str(out), "--any-input"],
            outputs=(str(out),), line=lambda _: None, cancelled=started.is_set,
            event=lambda found: started.set() if found.get("done") else None,
        )  # fmt: skip
    assert list(out.parent.iterdir()) == []
