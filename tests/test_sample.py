"""The demonstration: what the base installation runs, and which files it replaces."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from demiurge.demo import rocky, sample
from demiurge.demo import run as demo
from demiurge.demo.result import Result, Row
from demiurge.demo.sample import STEPS, sample_files
from demiurge.errors import DataError, ResourceError, UsageError


def test_the_sample_is_complete_and_small() -> None:
    files = sample_files()
    assert set(files) == set(STEPS)
    assert sum(path.stat().st_size for path in files.values()) < 1_000_000
    with rasterio.open(files["dsm"]) as file:
        assert 0.01 < np.mean(file.read_masks(1) == 0) < 0.2, "a few voids"


def test_both_jobs_run_with_the_base_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (demo, sample, rocky):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    refined, generated = demo.run(tmp_path / "demo")
    printed = capsys.readouterr()
    assert "pip install 'demiurge[report]'" in printed.err
    assert "below the initial DSM's" in printed.out
    rows = {row.surface: row for row in refined.rows}
    initial = rows["initial DSM"]
    assert rows["refined, on the same pixels"].mae < 0.8 * initial.mae
    assert rows["refined, with voids filled"].coverage == 1
    assert rows["bare earth, refined"].rmse < 0.2 * rows["bare earth, initial DSM"].rmse
    prior, ours = generated.rows
    assert ours.rmse < 0.95 * prior.rmse
    assert all(path.exists() for part in (refined, generated) for path in part.files)
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert [len(part["rows"]) for part in summary] == [5, 2]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the real parts by two; the second one fails if a file `fail` exists."""

    def make(folder: Path) -> Result:
        if folder.name.startswith(".two") and Path("fail").exists():
            raise DataError("it fails", "no cure")
        (folder / "result.tif").write_text(folder.name)
        row = Row("here", "ours", 1, 1, 1, 1)
        return Result("title", [row], [folder / "result.tif"], "so it is")

    steps = [demo.Step(n, n, make, ("part.json", "result.tif")) for n in ("one", "two")]
    monkeypatch.setattr(demo, "_applied", lambda: steps)


@pytest.mark.usefixtures("tiny")
def test_nothing_is_replaced_without_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    (out / "two").mkdir()
    (out / "two" / "thesis.doc").write_text("years of work")
    with pytest.raises(UsageError, match=r"two: exists already; .* --overwrite"):
        demo.run(out)
    with pytest.raises(UsageError, match="is not an output of this command"):
        demo.run(out, overwrite=True)
    assert not (out / "one").exists(), "checks come before any work"
    (out / "two" / "thesis.doc").rename(tmp_path / "thesis.doc")
    (out / "two").rmdir()
    parts = demo.run(out)
    assert [part.files[0] for part in parts] == [out / n / "result.tif" for n in ("one", "two")]
    with pytest.raises(UsageError, match=r"summary\.json: exists already"):
        demo.run(out)
    (tmp_path / "thesis.doc").rename(out / "one" / "thesis.doc")
    with pytest.raises(UsageError, match=r"holds thesis\.doc, which would be lost"):
        demo.run(out, overwrite=True)
    (out / "one" / "thesis.doc").rename(out / "thesis.doc")
    demo.run(out, overwrite=True)
    assert (out / "thesis.doc").read_text() == "years of work"


@pytest.mark.usefixtures("tiny")
def test_a_failed_part_keeps_the_earlier_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo.run(Path("d"))
    before = Path("d/two/result.tif").read_text()
    Path("fail").touch()
    with pytest.raises(DataError):
        demo.run(Path("d"), overwrite=True)
    assert Path("d/two/result.tif").read_text() == before
    assert sorted(p.name for p in Path("d").iterdir()) == ["one", "summary.json", "two"]


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="the folder cannot be created"):
        demo.run(tmp_path / "file")
    with pytest.raises(UsageError, match="--learn"):
        demo.run(tmp_path / "d", quick=True)


def test_training_names_the_extra_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"pip install 'demiurge\[train,simulate,report\]'"):
        demo.run(tmp_path / "d", learn=True)
