"""Co-registration and variograms, if xdem is installed; profiles."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

from conftest import LEFT, TOP, terrain
from demiurge.cli.main import run
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.evaluation.evaluate import evaluate
from demiurge.evaluation.report.profiles import read_line, sample_profile
from demiurge.layers import layer
from demiurge.scene.source import Source

Write = Callable[..., Path]


def _hills(shape: tuple[int, int] = (200, 240)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (gaussian_filter(rng.standard_normal(shape), 8) * 400 + 500).astype(np.float32)


def test_coregistration_removes_a_known_shift(raster: Write) -> None:
    pytest.importorskip("xdem")
    truth = _hills()
    # The georeferencing is off by 3 m east and 4 m south.
    surface = raster("s.tif", truth + 1.5, transform=from_origin(LEFT + 3, TOP - 4, 2, 2))
    reference = raster("r.tif", truth)
    before = evaluate(surface, reference).surface
    evaluation = evaluate(surface, reference, baseline=reference, coregister=True)
    shift = evaluation.shifts["surface"]
    assert (shift.east, shift.north, shift.up) == pytest.approx((-3, 4, -1.5), abs=0.1)
    assert evaluation.surface.rmse < 0.1 * before.rmse
    assert any("moved by" in note for note in evaluation.notes)


def test_flat_ground_cannot_be_coregistered(raster: Write) -> None:
    pytest.importorskip("xdem")
    flat = np.full((200, 240), 100, np.float32)
    with pytest.raises(DataError, match="co-regist"):
        evaluate(raster("s.tif", flat), raster("r.tif", flat), coregister=True)


def test_correlated_errors_have_fewer_effective_samples(raster: Write) -> None:
    pytest.importorskip("xdem")
    rng = np.random.default_rng(1)
    truth = _hills()
    white = rng.standard_normal(truth.shape).astype(np.float32)
    smooth = gaussian_filter(white, 6)
    smooth /= smooth.std()
    reference = raster("r.tif", truth)
    correlations = {}
    for name, errors in (("white", white), ("smooth", smooth)):
        spatial = evaluate(raster(f"{name}.tif", truth + errors), reference, spatial=True).spatial
        assert spatial is not None
        correlations[name] = spatial
    assert correlations["smooth"].effective < 0.1 * correlations["white"].effective
    # Errors smoothed over 6 pixels of 2 m are nearly uncorrelated at 24 m.
    assert 15 < min(correlations["smooth"].ranges) < 100
    expected = 1 / np.sqrt(correlations["smooth"].effective)
    assert correlations["smooth"].standard_error == pytest.approx(expected, rel=0.02)


def test_without_xdem_the_error_names_the_extra(
    raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xdem", None)
    path = raster("s.tif", terrain())
    with pytest.raises(ResourceError, match=r"demiurge\[align\]"):
        evaluate(path, path, spatial=True)


def test_profile_along_a_line(raster: Write) -> None:
    rows, columns = np.mgrid[:160, :192].astype(np.float32)
    source = Source.open(raster("s.tif", 100 + columns + 2 * rows), layer("dsm"))
    line = read_line(f"{LEFT + 1},{TOP - 1},{LEFT + 201},{TOP - 101}")
    profile = sample_profile(line, {"surface": source}, source.grid)
    assert profile.along[-1] == pytest.approx(np.hypot(200, 100))
    heights = profile.heights["surface"]
    assert heights[0] == 100
    assert heights[-1] == 100 + 100 + 2 * 50
    assert np.diff(heights).min() >= 0
    with pytest.raises(DataError, match="lies outside the compared area"):
        sample_profile((LEFT - 5, TOP - 5, LEFT + 5, TOP - 5), {"surface": source}, source.grid)
    with pytest.raises(UsageError, match="x1,y1,x2,y2"):
        read_line("1,2,3")


def test_report_contains_profiles_and_the_variogram(
    raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xdem")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("demiurge.evaluation.spatial._RUNS", 1)
    truth = _hills()
    noise = np.random.default_rng(0).standard_normal(truth.shape).astype(np.float32)
    page = tmp_path / "r.html"
    with pytest.raises(SystemExit) as caught:
        run(
            ["evaluate", str(raster("s.tif", truth + noise)), "--reference",
             str(raster("r.tif", truth)), "--report", str(page), "--spatial", "--quiet",
             "--profile", f"{LEFT + 10},{TOP - 10},{LEFT + 300},{TOP - 300}"]
        )  # fmt: skip
    assert caught.value.code == 0
    text = page.read_text(encoding="utf-8")
    assert "Profiles along your lines" in text
    assert "Variogram of the errors" in text
    assert text.count("<img") == 7
