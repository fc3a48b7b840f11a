"""The part of the demonstration that needs the base installation alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from demiurge.demo import run as demo
from demiurge.demo.sample import STEPS, sample_files


def test_the_sample_is_whole_and_small() -> None:
    files = sample_files()
    assert set(files) == set(STEPS)
    assert sum(path.stat().st_size for path in files.values()) < 1_000_000
    with rasterio.open(files["dsm"]) as file:
        assert 0.01 < np.mean(file.read_masks(1) == 0) < 0.2, "a few voids"


def test_without_extras_the_first_part_runs_and_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    (part,) = demo.run(tmp_path / "demo")
    said = capsys.readouterr()
    assert "pip install 'demiurge[train,simulate,demo]'" in said.err
    assert "below the initial DSM's" in said.out
    rows = {row.surface: row for row in part.rows}
    initial = rows["initial DSM"]
    assert rows["refined, on the same pixels"].mae < 0.8 * initial.mae
    assert rows["refined, with voids filled"].coverage == 1
    assert rows["bare earth, refined"].rmse < 0.2 * rows["bare earth, initial DSM"].rmse
    assert json.loads((tmp_path / "demo" / "summary.json").read_text())[0]["rows"]
