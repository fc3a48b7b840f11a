from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.evaluate import evaluate

Write = Callable[..., Path]


def test_surface_and_baseline_on_common_pixels(raster: Write) -> None:
    surface, baseline = terrain() + 1, terrain() - 4
    surface[:10] = np.nan
    baseline[-20:] = np.nan
    baseline[-21:-20] += 100
    found = evaluate(
        raster("s.tif", surface),
        raster("r.tif", terrain()),
        baseline=raster("b.tif", baseline),
    )
    assert found.surface.coverage == pytest.approx(150 / 160)
    assert found.surface.mae == pytest.approx(1, abs=1e-4)
    assert found.baseline is not None
    assert found.baseline.coverage == pytest.approx(140 / 160)
    assert found.common is not None
    assert found.common[0].count == found.common[1].count == 130 * 192
    assert found.ratios()["mae"] == pytest.approx(1 / (4 + 92 / 130), rel=1e-3)
    assert set(found.as_dict()) == {
        "files",
        "surface",
        "baseline",
        "common",
        "ratio",
        "notes",
        "strata",
    }


def test_a_reference_on_another_grid_and_smaller(raster: Write) -> None:
    rows, columns = np.mgrid[:160, :192] + 0.5
    plane = (100 + columns - 0.5 * rows).astype(np.float32)
    rows, columns = np.mgrid[:40, :50] + 0.5
    part = (100 + (50 + 5 * columns) / 2 - 0.5 * (30 + 5 * rows) / 2).astype(np.float32)
    reference = raster("r.tif", part, transform=from_origin(LEFT + 50, TOP - 30, 5, 5))
    found = evaluate(raster("s.tif", plane), reference)
    assert found.surface.mae < 0.05
    assert found.surface.coverage > 0.99
    assert found.surface.count == pytest.approx(40 * 50 * 25 / 4, rel=0.02)


def test_a_large_offset_stops_unless_it_is_allowed(raster: Write) -> None:
    surface, reference = raster("s.tif", terrain() + 48), raster("r.tif", terrain())
    with pytest.raises(DataError, match=r"lies \+48.0 m from the reference"):
        evaluate(surface, reference)
    found = evaluate(surface, reference, allow_offset=True)
    assert "vertical references" in found.notes[0]


def test_nothing_to_compare(raster: Write) -> None:
    surface = raster("s.tif", terrain())
    far = raster("far.tif", terrain(), transform=from_origin(LEFT + 9999, TOP, 2, 2))
    with pytest.raises(DataError, match="do not overlap"):
        evaluate(surface, far)
    empty = raster("e.tif", np.full((160, 192), np.nan, np.float32))
    with pytest.raises(DataError, match="share no pixel"):
        evaluate(surface, empty)
    with pytest.raises(DataError, match="choose the baseline"):
        evaluate(surface, raster("r.tif", terrain()), baseline=empty)


def test_relative_heights_are_refused(raster: Write) -> None:
    path = raster("s.tif", terrain())
    with rasterio.open(path, "r+") as file:
        file.update_tags(units="relative")
    with pytest.raises(UsageError, match="relative"):
        evaluate(path, raster("r.tif", terrain()))


def test_classes_have_figures_of_their_own(raster: Write) -> None:
    """Flat in the west, steep in the east, where the surface errs more; a void in the baseline."""
    _, columns = np.mgrid[:160, :192].astype(np.float32)
    truth = 100 + 2 * np.maximum(columns - 95, 0)
    east = columns > 95
    cover = np.where(columns < 48, 1, 2).astype(np.float32)
    baseline = truth + 4
    baseline[:20] = np.nan
    found = evaluate(
        raster("s.tif", truth + np.where(east, 3, 1).astype(np.float32)),
        raster("r.tif", truth),
        baseline=raster("b.tif", baseline),
        landcover=raster("c.tif", cover),
    )
    flat, other = found.strata["slope 0° to 5°"]
    assert flat.mae == pytest.approx(1, abs=1e-3)
    assert other is not None
    assert other.mae == pytest.approx(4, abs=1e-3)
    # 2 m in a pixel of 2 m.
    assert found.strata["slope 45° to 90°"][0].mae == pytest.approx(3, abs=1e-3)
    assert found.strata["land cover 1"][0].count == 140 * 48
    voids, nothing = found.strata["voids of the baseline"]
    assert voids.count == 20 * 192
    assert nothing is None
    assert found.as_dict()["strata"]["land cover 1"]["baseline"]["mae"] == pytest.approx(4)


def test_uncertainties_are_judged_where_a_band_tells_them(raster: Write) -> None:
    truth = terrain(300, 300)
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(300) < 150, 0.5, 2.0).astype(np.float32)[None].repeat(300, 0)
    surface = (truth + rng.laplace(0, scale)).astype(np.float32)
    stack = np.stack([surface, np.float32(np.sqrt(2)) * scale])
    path = raster("s.tif", stack, names=["dsm", "dsm_uncertainty"])
    found = evaluate(path, raster("r.tif", truth)).doubt
    assert found is not None
    assert found.inside["90%"] == pytest.approx(0.9, abs=0.005)
    assert found.inside["50%"] == pytest.approx(0.5, abs=0.01)
    assert found.surest_half == pytest.approx(0.5 / 1.25, abs=0.02)
    assert found.best_half < found.surest_half
    assert evaluate(raster("p.tif", surface), raster("q.tif", truth)).doubt is None
