from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain
from demiurge.errors import DataError
from demiurge.evaluation.align import AS_IS, FITTED, FLAT
from demiurge.evaluation.evaluate import evaluate

Write = Callable[..., Path]


def test_surface_and_baseline_on_common_pixels(raster: Write) -> None:
    surface, baseline = terrain() + 1, terrain() - 4
    surface[:10] = np.nan
    baseline[-20:] = np.nan
    baseline[-21:-20] += 100
    evaluation = evaluate(
        raster("s.tif", surface),
        raster("r.tif", terrain()),
        baseline=raster("b.tif", baseline),
    )
    assert evaluation.surface.coverage == pytest.approx(150 / 160)
    assert evaluation.surface.mae == pytest.approx(1, abs=1e-4)
    assert evaluation.baseline is not None
    assert evaluation.baseline.coverage == pytest.approx(140 / 160)
    assert evaluation.common is not None
    assert evaluation.common[0].count == evaluation.common[1].count == 130 * 192
    assert evaluation.ratios()["mae"] == pytest.approx(1 / (4 + 92 / 130), rel=1e-3)
    assert set(evaluation.as_dict()) == {
        "files",
        "relative",
        "shapes",
        "surface",
        "baseline",
        "common",
        "ratio",
        "notes",
        "strata",
    }


def test_a_smaller_reference_on_another_grid(raster: Write) -> None:
    rows, columns = np.mgrid[:160, :192] + 0.5
    plane = (100 + columns - 0.5 * rows).astype(np.float32)
    rows, columns = np.mgrid[:40, :50] + 0.5
    part = (100 + (50 + 5 * columns) / 2 - 0.5 * (30 + 5 * rows) / 2).astype(np.float32)
    reference = raster("r.tif", part, transform=from_origin(LEFT + 50, TOP - 30, 5, 5))
    evaluation = evaluate(raster("s.tif", plane), reference)
    assert evaluation.surface.mae < 0.05
    assert evaluation.surface.coverage > 0.99
    assert evaluation.surface.count == pytest.approx(40 * 50 * 25 / 4, rel=0.02)


def test_a_large_offset_is_refused_unless_allowed(raster: Write) -> None:
    surface, reference = raster("s.tif", terrain() + 48), raster("r.tif", terrain())
    with pytest.raises(DataError, match=r"lies \+48.0 m from the reference"):
        evaluate(surface, reference)
    evaluation = evaluate(surface, reference, allow_offset=True)
    assert "vertical references" in evaluation.notes[0]


@pytest.mark.parametrize("noise", [1.0, 20.0, 60.0])
def test_a_geoid_offset_is_detected_in_noise(raster: Write, noise: float) -> None:
    truth = terrain()
    rough = truth + 35 + np.random.default_rng(0).normal(0, noise, truth.shape)
    surface, reference = raster("s.tif", rough.astype("f4")), raster("r.tif", truth)
    with pytest.raises(DataError, match=r"s\.tif: lies \+3\d.\d m from the reference"):
        evaluate(surface, reference)
    # An offset baseline would make the surface look better.
    with pytest.raises(DataError, match=r"s\.tif: lies \+3\d.\d m from the reference"):
        evaluate(raster("good.tif", truth + 1), reference, baseline=surface)
    evaluation = evaluate(
        raster("good.tif", truth + 1), reference, baseline=surface, allow_offset=True
    )
    assert any("s.tif: lies" in note for note in evaluation.notes)


def test_an_offset_within_the_error_distribution_is_noted(raster: Write) -> None:
    truth = terrain()
    rough = truth + 8 + np.random.default_rng(0).normal(0, 30, truth.shape)
    evaluation = evaluate(raster("s.tif", rough.astype("f4")), raster("r.tif", truth))
    assert any("within its error distribution (NMAD 3" in note for note in evaluation.notes)


@pytest.mark.parametrize("error", [0.1, 3.0])
@pytest.mark.parametrize("feet", ["surface", "reference", "baseline", "reference, baseline"])
@pytest.mark.parametrize("level", [0.0, 1500.0])
def test_heights_in_feet_are_refused(raster: Write, feet: str, error: float, level: float) -> None:
    """Heights without a unit, near 0 m, where the offset is small, and near 1500 m."""
    truth = terrain() - 100 + np.float32(level)
    noise = np.random.default_rng(0).normal(0, error, (2, *truth.shape))
    made = {"surface": truth + noise[0], "reference": truth, "baseline": truth + 2 * noise[1]}
    files = {}
    for role, heights in made.items():
        metres = heights.astype(np.float32)
        files[role] = raster(f"{role}.tif", metres / np.float32(0.3048 if role in feet else 1))
    wrong = feet.split(",", 1)[0]
    with pytest.raises(DataError, match=rf"{wrong}\.tif: its heights are about 3.28 times"):
        evaluate(files["surface"], files["reference"], baseline=files["baseline"])
    evaluation = evaluate(
        files["surface"], files["reference"], baseline=files["baseline"], allow_offset=True
    )
    assert any("as feet are of metres" in note for note in evaluation.notes)


def test_smoothed_relief_is_not_detected_as_feet(raster: Write) -> None:
    """The surface has a third of the relief about the true mean."""
    truth = terrain()
    flat = (truth.mean() + 0.3048 * (truth - truth.mean())).astype(np.float32)
    assert evaluate(raster("s.tif", flat), raster("r.tif", truth)).surface.rmse > 1


def test_rasters_without_common_pixels_are_refused(raster: Write) -> None:
    surface = raster("s.tif", terrain())
    far = raster("far.tif", terrain(), transform=from_origin(LEFT + 9999, TOP, 2, 2))
    with pytest.raises(DataError, match="do not overlap"):
        evaluate(surface, far)
    empty = raster("e.tif", np.full((160, 192), np.nan, np.float32))
    with pytest.raises(DataError, match="share no pixel"):
        evaluate(surface, empty)
    with pytest.raises(DataError, match="choose the baseline"):
        evaluate(surface, raster("r.tif", terrain()), baseline=empty)


def test_relative_heights_are_compared_after_the_best_affine_fit(raster: Write) -> None:
    truth = terrain()
    rng = np.random.default_rng(0)
    bumps = rng.normal(0, 0.5, truth.shape)
    path = raster("s.tif", ((truth + bumps - 400) / 50).astype(np.float32))
    with rasterio.open(path, "r+") as file:
        file.update_tags(units="relative")
    reference = raster("r.tif", truth)
    evaluation = evaluate(path, reference, baseline=raster("b.tif", truth + 2))
    assert evaluation.relative
    assert evaluation.affine_fit is not None
    slope, offset = np.polyfit(((truth + bumps - 400) / 50).ravel(), truth.ravel(), 1)
    assert evaluation.affine_fit.scale == pytest.approx(slope, rel=1e-4)
    assert evaluation.affine_fit.offset == pytest.approx(offset, rel=1e-4)
    assert evaluation.affine_fit.correlation == pytest.approx(
        np.corrcoef((truth + bumps).ravel(), truth.ravel())[0, 1], rel=1e-5
    )
    assert evaluation.surface.rmse == pytest.approx(0.5, rel=0.02)
    assert abs(evaluation.surface.mean) < 1e-3
    assert evaluation.rivals[FLAT].rmse == pytest.approx(truth.std(), rel=1e-3)
    as_is = evaluation.rivals[AS_IS]
    assert as_is.rmse == pytest.approx((truth - (truth + bumps) / 50).std(), rel=1e-3)
    assert "heights are relative" in evaluation.notes[0]


def test_absolute_heights_are_also_compared_after_a_fit_if_requested(raster: Write) -> None:
    truth = terrain()
    surface = (0.8 * (truth - truth.mean()) + truth.mean() + 1).astype(np.float32)
    evaluation = evaluate(raster("s.tif", surface), raster("r.tif", truth), affine=True)
    assert evaluation.surface.rmse > 1
    assert evaluation.rivals[FITTED].rmse < 1e-3
    assert evaluation.affine_fit is not None
    assert evaluation.affine_fit.scale == pytest.approx(1.25, rel=1e-4)


def test_an_inverted_surface_is_noted(raster: Write) -> None:
    path = raster("s.tif", -terrain())
    with rasterio.open(path, "r+") as file:
        file.update_tags(units="relative")
    notes = evaluate(path, raster("r.tif", terrain())).notes
    assert any("upside down" in note for note in notes)


def test_masked_pixels_are_excluded(raster: Write) -> None:
    surface, mask = terrain() + 1, np.ones((160, 192), np.float32)
    surface[:40] += 100
    mask[:40] = 0
    evaluation = evaluate(
        raster("s.tif", surface), raster("r.tif", terrain()), mask=raster("m.tif", mask)
    )
    assert evaluation.surface.mae == pytest.approx(1, abs=1e-4)
    assert evaluation.surface.count == 120 * 192
    assert evaluation.surface.coverage == 1


def test_constant_rasters_and_few_pixels_are_noted(raster: Write) -> None:
    flat = np.full((160, 192), 100, np.float32)
    evaluation = evaluate(raster("s.tif", flat), raster("r.tif", flat + 1))
    assert sum("is this the right file" in note for note in evaluation.notes) == 2
    few = terrain()
    few[2:] = few[:2, 5:] = np.nan
    evaluation = evaluate(raster("s.tif", terrain() + 1), raster("few.tif", few))
    assert any("only 10 pixels" in note for note in evaluation.notes)


def test_classes_of_height_above_ground_steps_and_illumination(raster: Write) -> None:
    """A block of 10 m on a plain that rises eastward; the surface errs more on the block."""
    _, columns = np.mgrid[:160, :192].astype(np.float32)
    ground = 100 + 0.4 * columns
    truth = ground.copy()
    truth[60:100, 60:100] += 10
    surface = truth + np.where((truth - ground) > 5, 4, 1).astype(np.float32)
    files = raster("s.tif", surface), raster("r.tif", truth)
    evaluation = evaluate(*files, ground=raster("g.tif", ground), sun=90)
    assert evaluation.strata["10 to 20 m above ground"][0].mae == pytest.approx(4, abs=1e-3)
    assert evaluation.strata["on the ground, within 1 m"][0].mae == pytest.approx(1, abs=1e-3)
    near = evaluation.strata["within 2 px of strong steps"][0]
    # Two pixels on both sides of the block's walls, without the four corners.
    assert near.count == 44 * 44 - 4 - 36 * 36
    # The plain rises eastward, so it faces west, away from a sun in the east.
    assert evaluation.strata["facing away from the sun"][0].count > 0.9 * truth.size
    assert "facing west" in evaluate(*files).strata
    with pytest.raises(DataError, match="no classes"):
        evaluate(*files, landcover=raster("c.tif", terrain()))


def test_errors_of_slope_and_aspect(raster: Write) -> None:
    """Planes of known slope: the reference 20 % eastward, the surface 10 % northward."""
    rows, columns = np.mgrid[:160, :192].astype(np.float32)
    truth, surface = 100 + 0.4 * columns, 100 + 0.2 * (160 - rows)
    evaluation = evaluate(
        raster("s.tif", surface), raster("r.tif", truth), baseline=raster("b.tif", truth + 1),
        allow_offset=True,
    )  # fmt: skip
    own = evaluation.slopes["surface"]
    off = np.degrees(np.arctan(0.2)) - np.degrees(np.arctan(0.1))
    assert own.count == 160 * 192
    assert own.slope_mean == pytest.approx(-off, rel=1e-3)
    assert (own.slope_mae, own.slope_rmse) == pytest.approx((off, off), rel=1e-3)
    assert own.aspect_mae == pytest.approx(90, rel=1e-3)
    assert evaluation.slopes["baseline"].slope_mae == pytest.approx(0, abs=1e-2)


def test_rasters_without_crs_or_in_feet_are_refused(raster: Write) -> None:
    surface, reference = raster("s.tif", terrain()), raster("r.tif", terrain())
    with pytest.raises(DataError, match="has no coordinate reference system"):
        evaluate(raster("x.tif", terrain(), crs=None), reference)
    with pytest.raises(DataError, match="'foot'"):
        evaluate(raster("f.tif", terrain(), unit="foot"), reference)
    assert evaluate(surface, reference).surface.mae == 0


def test_statistics_by_class(raster: Write) -> None:
    """Flat in the west; steep in the east with larger errors; a void in the baseline."""
    _, columns = np.mgrid[:160, :192].astype(np.float32)
    truth = 100 + 2 * np.maximum(columns - 95, 0)
    east = columns > 95
    cover = np.where(columns < 48, 1, 2).astype(np.float32)
    baseline = truth + 4
    baseline[:20] = np.nan
    evaluation = evaluate(
        raster("s.tif", truth + np.where(east, 3, 1).astype(np.float32)),
        raster("r.tif", truth),
        baseline=raster("b.tif", baseline),
        landcover=raster("c.tif", cover),
    )
    flat, other = evaluation.strata["slope 0° to 5°"]
    assert flat.mae == pytest.approx(1, abs=1e-3)
    assert other is not None
    assert other.mae == pytest.approx(4, abs=1e-3)
    # 2 m per pixel of 2 m.
    assert evaluation.strata["slope 45° to 90°"][0].mae == pytest.approx(3, abs=1e-3)
    assert evaluation.strata["land cover 1"][0].count == 140 * 48
    voids, nothing = evaluation.strata["voids of the baseline"]
    assert voids.count == 20 * 192
    assert nothing is None
    assert evaluation.as_dict()["strata"]["land cover 1"]["baseline"]["mae"] == pytest.approx(4)


def test_statistics_of_an_uncertainty_band(raster: Write) -> None:
    truth = terrain(300, 300)
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(300) < 150, 0.5, 2.0).astype(np.float32)[None].repeat(300, 0)
    surface = (truth + rng.laplace(0, scale)).astype(np.float32)
    stack = np.stack([surface, np.float32(np.sqrt(2)) * scale])
    path = raster("s.tif", stack, names=["dsm", "dsm_uncertainty"])
    statistics = evaluate(path, raster("r.tif", truth)).uncertainty
    assert statistics is not None
    assert statistics.inside["90%"] == pytest.approx(0.9, abs=0.005)
    assert statistics.inside["50%"] == pytest.approx(0.5, abs=0.01)
    assert statistics.surest_half == pytest.approx(0.5 / 1.25, abs=0.02)
    assert statistics.best_half < statistics.surest_half
    assert evaluate(raster("p.tif", surface), raster("q.tif", truth)).uncertainty is None
