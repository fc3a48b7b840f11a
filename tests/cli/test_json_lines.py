"""Commands report notes, progress and errors as JSON lines where it is requested."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import terrain
from demiurge.cli.main import run
from demiurge.console import note


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIURGE_PROGRESS", "json")


@pytest.mark.usefixtures("as_json")
def test_notes(capsys: pytest.CaptureFixture[str]) -> None:
    note("note: the unit is\nassumed “m”")
    note("other")
    assert lines(capsys.readouterr().err) == [
        {"event": "note", "text": "the unit is\nassumed “m”"},
        {"event": "note", "text": "other"},
    ]


@pytest.mark.usefixtures("as_json")
def test_errors_have_sentence_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["export", "absent.tif", "-o", "x.laz"])
    (error,) = lines(capsys.readouterr().err)
    assert error["event"] == "error"
    assert error["code"] == stop.value.code == 4
    assert error["text"].startswith("absent.tif: ")
    assert error["text"].endswith(".")


@pytest.mark.usefixtures("as_json")
def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["export", "--no-such"])
    (error,) = lines(capsys.readouterr().err)
    assert error["code"] == 2
    assert "--no-such" in error["text"]


def test_an_unknown_form_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMIURGE_PROGRESS", "xml")
    with pytest.raises(SystemExit) as stop:
        run(["bundles"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "demiurge: DEMIURGE_PROGRESS is 'xml'; set it to json or text, or unset it.\n"
    )


def test_a_command_reports_its_progress(raster: Callable[..., Path], tmp_path: Path) -> None:
    surface, heights = raster("a.tif", terrain(), unit="m"), terrain() + np.float32(0.5)
    reference = raster("b.tif", heights, unit="m")
    words = ["evaluate", str(surface), "--reference", str(reference)]
    command = [sys.executable, "-m", "demiurge.cli.main", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"DEMIURGE_PROGRESS": "json"}
    )
    assert done.returncode == 0, done.stderr
    found = lines(done.stderr)
    steps = [item for item in found if item["event"] == "progress"]
    assert {item["event"] for item in found} <= {"progress", "note"}
    assert steps[0]["stage"] == "evaluate"
    assert steps[0]["done"] == 0
    assert steps[-1]["done"] == pytest.approx(steps[-1]["total"])
    assert "0.5" in done.stdout
    assert not done.stdout.startswith("{")
