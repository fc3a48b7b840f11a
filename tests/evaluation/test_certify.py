"""Certificates: figures of check points, verdicts, recalibrated uncertainty, comparisons."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import LEFT, PIXEL, TOP, terrain, write_raster
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.certify import (
    certify,
    compare_errors,
    conformal_factor,
    verdict,
)
from demiurge.evaluation.evaluate import evaluate
from demiurge.evaluation.intervals import Interval
from demiurge.evaluation.report.standards import statements

ROWS, COLUMNS = 400, 480


def write_points(path: Path, rows: np.ndarray, columns: np.ndarray, heights: np.ndarray) -> Path:
    x, y = LEFT + PIXEL * (columns + 0.5), TOP - PIXEL * (rows + 0.5)
    lines = [f"{a:.6f},{b:.6f},{c:.6f}" for a, b, c in zip(x, y, heights, strict=True)]
    path.write_text("x,y,z\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def truth() -> np.ndarray:
    return terrain(ROWS, COLUMNS)


@pytest.fixture
def pixels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    cells = rng.choice(39 * 47, 200, replace=False)
    return cells // 47 * 10 + 4.0, cells % 47 * 10 + 4.0


def make(
    folder: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray], scale: float = 1.0
) -> tuple[Path, Path]:
    """A surface whose errors are normal with the deviations that its second band doubles."""
    rng = np.random.default_rng(1)
    deviations = np.where(np.arange(COLUMNS) < COLUMNS // 2, 0.2, 1.0) * np.ones((ROWS, 1))
    surface = truth + scale * deviations * rng.normal(size=truth.shape)
    planes = np.stack([surface, 2 * deviations]).astype(np.float32)
    path = write_raster(folder / f"s{scale}.tif", planes, names=["dsm", "dsm_uncertainty"])
    rows, columns = (p.astype(int) for p in pixels)
    return path, write_points(folder / "check.csv", *pixels, truth[rows, columns])


def test_figures_and_verdicts(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    surface, points = make(tmp_path, truth, pixels)
    result = certify(surface, points, require={"le90": 3, "NMAD": 0.1, "RMSE": 0.72})
    assert (result.count, result.voids) == (200, 0)
    le90 = result.figures["LE90"]
    assert le90.low < le90.value < le90.high
    # 90 % of a mixture in equal parts of deviations 0.2 and 1: |e| = 1.28 m.
    assert le90.low < 1.282 < le90.high
    assert [v.state for v in result.verdicts[:2]] == ["met", "not met"]
    assert result.verdicts[2].state == "undecided"
    assert result.verdicts[2].points > 200
    assert not result.met


def test_uncertainty_is_recalibrated_and_mapped(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    surface, points = make(tmp_path, truth, pixels)
    out = tmp_path / "map.tif"
    result = certify(surface, points, require={"LE90": 1.0}, output=out)
    assert result.calibration is not None
    # Deviations are stated twice too large, so half the normal factor is right.
    assert result.calibration.factor == pytest.approx(result.calibration.nominal / 2, rel=0.2)
    assert result.calibration.share == pytest.approx(0.5)
    with rasterio.open(out) as file:
        assert file.descriptions == ("le90", "within_1_m")
        linear, within = file.read()
    np.testing.assert_allclose(linear[:, 0], 0.4 * result.calibration.factor, rtol=1e-5)
    assert within[:, : COLUMNS // 2].all()
    assert not within[:, COLUMNS // 2 :].any()
    with pytest.raises(UsageError, match="exists"):
        certify(surface, points, output=out)
    with pytest.raises(UsageError):
        certify(surface, points, output=surface, overwrite=True)


def test_the_better_of_two_surfaces(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    good, points = make(tmp_path, truth, pixels)
    bad, _ = make(tmp_path, truth, pixels, scale=4.0)
    result = certify(good, points, other=bad).comparison
    assert result is not None
    assert result.state == "better"
    assert result.gain.low > 0
    assert certify(bad, points, other=good).comparison.state == "worse"  # type: ignore[union-attr]
    assert certify(good, points, other=good).comparison.state == "undecided"  # type: ignore[union-attr]


def test_a_raster_gives_one_point_per_cell(tmp_path: Path, truth: np.ndarray) -> None:
    surface = write_raster(tmp_path / "s.tif", (truth + 2).astype(np.float32))
    reference = truth.astype(np.float32)
    reference[:, :100] = np.nan
    result = certify(surface, write_raster(tmp_path / "lidar.tif", reference))
    assert result.count == 13 * 12  # cells of 32 px; three columns have no data
    assert result.figures["bias"] == pytest.approx((2, 2, 2), abs=1e-4)
    assert result.calibration is None


def test_points_on_voids_and_close_points_are_left_out(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    holes = truth.astype(np.float32)
    holes[:200] = np.nan
    surface = write_raster(tmp_path / "s.tif", holes)
    rows, columns = np.repeat(pixels[0], 2), np.repeat(pixels[1], 2)
    columns[::2] += 0.5
    heights = truth[rows.astype(int), columns.astype(int)]
    result = certify(surface, write_points(tmp_path / "p.csv", rows, columns, heights))
    assert result.count + result.voids == 200
    assert result.voids == (pixels[0] < 200).sum()
    assert any("200 of 400 points lie within 10 pixels" in note for note in result.notes)


@pytest.mark.parametrize(
    ("count", "near", "says"),
    [
        (9, False, "only 9 check points have a height"),
        (30, True, "in one hundredth of the surface"),
    ],
)
def test_points_that_prove_nothing_are_refused(
    tmp_path: Path, truth: np.ndarray, count: int, near: bool, says: str
) -> None:
    surface = write_raster(tmp_path / "s.tif", truth.astype(np.float32))
    index = np.arange(count)
    step = 6.0 if near else 55.0
    rows, columns = index // 6 * step, index % 6 * step
    points = write_points(tmp_path / "p.csv", rows, columns, np.zeros(count))
    with pytest.raises(DataError, match=says):
        certify(surface, points, allow_offset=True)


def test_another_vertical_reference_is_noticed(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    _, points = make(tmp_path, truth, pixels)
    high = write_raster(tmp_path / "high.tif", (truth + 42).astype(np.float32))
    with pytest.raises(DataError, match="vertical references"):
        certify(high, points)
    assert certify(high, points, allow_offset=True).figures["bias"].value == pytest.approx(42)


@pytest.mark.parametrize("kind", ["points", "raster"])
def test_surfaces_that_declare_heights_in_their_tags_are_not_compared_with_others(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray], kind: str
) -> None:
    surface, points = make(tmp_path, truth, pixels)
    raster = write_raster(tmp_path / "r.tif", truth.astype(np.float32), crs="EPSG:32633+5773")
    reference = points if kind == "points" else raster
    crs = "EPSG:32633+5773" if kind == "points" else None
    assert certify(surface, reference, points_crs=crs).count
    with rasterio.open(surface, "r+") as file:
        file.update_tags(vertical_reference="ellipsoidal")
    with pytest.raises(DataError, match=r"ellipsoidal, those of .* are orthometric \(EGM96"):
        certify(surface, reference, points_crs=crs)
    if kind == "raster":
        with pytest.raises(DataError, match="--to-vertical"):
            evaluate(surface, reference)


def test_unknown_figures_and_limits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a figure"):
        certify("a.tif", "b.csv", require={"LE42": 1})
    with pytest.raises(UsageError, match="not a limit"):
        certify("a.tif", "b.csv", require={"LE90": -1})


def test_statements_follow_the_standards(
    tmp_path: Path, truth: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    surface, points = make(tmp_path, truth, pixels)
    result = certify(surface, points)
    iso, asprs, fgdc = statements(result)
    rmse = result.figures["RMSE"].value
    assert f"{100 * rmse:.0f} cm" in asprs
    assert f"{1.96 * rmse:.2f} meters vertical accuracy at 95% confidence level" in fgdc
    assert "LE90" in iso
    few = write_points(
        tmp_path / "few.csv", *(p[:15] for p in pixels),
        truth[pixels[0][:15].astype(int), pixels[1][:15].astype(int)],
    )  # fmt: skip
    assert sum("no statement" in text for text in statements(certify(surface, few))) == 2
    assert (
        json.loads(json.dumps(certify(surface, few).as_dict()))["figures"]["LE95"]["high"] is None
    )


def test_conformal_factors_hold_as_often_as_stated() -> None:
    held = [
        abs(rng.standard_t(3)) <= conformal_factor(rng.standard_t(3, 30), np.ones(30), 0.9)
        for rng in map(np.random.default_rng, range(3000))
    ]
    assert 0.885 <= np.mean(held) <= 0.93
    assert conformal_factor(np.ones(8), np.ones(8), 0.9) == math.inf


def test_a_bias_counts_by_its_size() -> None:
    figures = {"bias": Interval(-2.0, -2.5, -1.5)}
    assert verdict(figures, "bias", 3, 50).state == "met"
    assert verdict(figures, "bias", 1, 50).state == "not met"
    assert verdict(figures, "bias", 2.2, 50).state == "undecided"
    assert verdict({"bias": Interval(0.1, -0.4, 0.6)}, "bias", 0.5, 50).state == "undecided"


def test_equal_surfaces_are_undecided() -> None:
    gain, better = compare_errors(np.arange(20.0), np.arange(20.0), 0.95)
    assert gain == (0, 0, 0)
    assert better.low < 0.5 < better.high
