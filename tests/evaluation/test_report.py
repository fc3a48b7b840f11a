"""The HTML report: complete, self-contained, escaped."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from conftest import terrain, write_raster
from demiurge.cli.main import run
from demiurge.evaluation.evaluate import evaluate
from demiurge.evaluation.report.page import Report

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rasters and the report on them."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    truth = terrain()
    surface = (truth + rng.laplace(0, 0.5, truth.shape)).astype(np.float32)
    baseline = truth + 3
    baseline[:20] = np.nan
    stack = np.stack([surface, np.full_like(surface, 0.7)])
    report = Report()
    evaluation = evaluate(
        write_raster(folder / "<b>&s.tif", stack, names=["dsm", "dsm_uncertainty"]),
        write_raster(folder / "r.tif", truth),
        baseline=write_raster(folder / "b.tif", baseline),
        report=report,
    )
    (folder / "report.html").write_text(report.page(evaluation), encoding="utf-8")
    return folder


def test_report_is_one_complete_file(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in text, "nothing is fetched"
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) == 6
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    assert len(text) < 5_000_000
    for word in (
        "NMAD",
        "LE95",
        "slope 0° to 5°",
        "voids of the baseline",
        "SHA-256",
        "EPSG:32633",
    ):
        assert word in text
    digest = hashlib.sha256((folder / "r.tif").read_bytes()).hexdigest()
    assert digest in text


def test_file_names_are_escaped(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "<b>&s" not in text
    assert "&lt;b&gt;&amp;s.tif" in text


def test_report_without_a_baseline(raster: Write, tmp_path: Path) -> None:
    report = Report()
    evaluation = evaluate(raster("s.tif", terrain() + 1), raster("r.tif", terrain()), report=report)
    (tmp_path / "report.html").write_text(report.page(evaluation), encoding="utf-8")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<img") == 5
    assert "baseline's" not in text


def test_an_unwritable_report_is_refused_before_work(
    raster: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surface, reference = raster("s.tif", terrain()), raster("r.tif", terrain())
    command = ["evaluate", str(surface), "--reference", str(reference)]
    with pytest.raises(SystemExit) as caught:
        run([*command, "--report", str(tmp_path / "nowhere" / "x.html")])
    assert caught.value.code == 4
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (20, 50_000)])
def test_reports_of_single_pixels_and_long_strips(
    raster: Write, tmp_path: Path, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    heights = (100 + rng.normal(0, 3, shape)).astype(np.float32)
    bands = np.stack([heights + 1, np.full(shape, 2, np.float32)])
    surface = raster("s.tif", bands, names=["dsm", "dsm_uncertainty"])
    reference, baseline = raster("r.tif", heights), raster("b.tif", heights + 2)
    report = tmp_path / "x.html"
    command = ["evaluate", str(surface), "--reference", str(reference), "--quiet"]
    with pytest.raises(SystemExit) as caught:
        run([*command, "--baseline", str(baseline), "--report", str(report)])
    assert caught.value.code == 0
    assert report.read_text(encoding="utf-8").count("<img") >= 5
