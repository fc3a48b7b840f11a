"""``demiurge certify`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.cli.main import run


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    truth = terrain(300, 300)
    rng = np.random.default_rng(0)
    surface = (truth + 0.5 * rng.normal(size=truth.shape)).astype(np.float32)
    path = write_raster(tmp_path / "surface.tif", surface)
    index = np.arange(100)
    rows, columns = index // 10 * 29 + 5, index % 10 * 29 + 5
    lines = [
        f"{LEFT + PIXEL * (c + 0.5)},{TOP - PIXEL * (r + 0.5)},{truth[r, c]}"
        for r, c in zip(rows, columns, strict=True)
    ]
    points = tmp_path / "check.csv"
    points.write_text("x,y,z\n" + "\n".join(lines) + "\n")
    return str(path), str(points)


def code_of(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    return caught.value.code


def test_certificate_and_exit_codes(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surface, points = files
    report = tmp_path / "certificate.json"
    arguments = ["certify", surface, "--points", points]
    assert code_of([*arguments, "--require", "LE90=2", "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    assert "LE90 <= 2 m: met" in printed
    assert "ASPRS" in printed
    figures = json.loads(report.read_text())["figures"]
    assert figures["NMAD"]["low"] < 0.5 < figures["NMAD"]["high"]
    assert code_of([*arguments, "--require", "LE90=0.2", "--quiet"]) == 3
    assert "not met" in capsys.readouterr().err
    assert code_of([*arguments, "--require", "LE90"]) == 2
    assert code_of([*arguments, "--map", str(tmp_path / "m.tif")]) == 2
    assert "without an uncertainty band" in capsys.readouterr().err
