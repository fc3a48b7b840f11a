"""Comparison of several surfaces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import PIXEL, terrain
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.compare import compare

Write = Callable[..., Path]


def test_all_surfaces_are_compared_on_common_pixels(raster: Write) -> None:
    """The second surface has voids where the first is worst."""
    first, second = terrain() + 1, terrain() + 2
    first[:40] += 10
    second[:40] = np.nan
    paths = [raster("a.tif", first), raster("b.tif", second)]
    results = compare(paths, raster("r.tif", terrain()))
    assert list(results) == [str(path) for path in paths]
    one, two = (each.errors for each in results.values())
    assert one.count == two.count == 120 * 192
    assert (one.mae, two.mae) == (pytest.approx(1, abs=1e-4), pytest.approx(2, abs=1e-4))
    assert (one.coverage, two.coverage) == (1, 0.75)


def test_errors_of_slopes(raster: Write) -> None:
    """A ramp of 1 m per pixel and a level plane, compared with a level plane."""
    ramp = np.tile(np.arange(192, dtype=np.float32), (160, 1))
    level = np.zeros_like(ramp)
    paths = [raster("ramp.tif", ramp), raster("level.tif", level)]
    results = compare(paths, raster("r.tif", level), allow_offset=True)
    steep, flat = (each.slopes for each in results.values())
    assert steep is not None
    assert flat is not None
    assert steep.slope_mae == pytest.approx(np.degrees(np.arctan(1 / PIXEL)), abs=1e-3)
    assert flat.slope_mae == 0
    assert results[str(paths[0])].as_dict()["slope_mae"] == steep.slope_mae


def test_invalid_comparisons_are_refused(raster: Write) -> None:
    reference, near = raster("r.tif", terrain()), raster("a.tif", terrain())
    with pytest.raises(UsageError, match="one surface is given"):
        compare([near], reference)
    with pytest.raises(UsageError, match="given twice"):
        compare([near, near], reference)
    with pytest.raises(DataError, match="allow-offset"):
        compare([near, raster("b.tif", terrain() + 40)], reference)
    none = raster("n.tif", np.full((160, 192), np.nan, np.float32))
    with pytest.raises(DataError, match="share no pixel"):
        compare([near, none], reference)


def test_file_names_may_equal_names_of_columns(
    raster: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster("r.tif", terrain())
    for name, error in (("slope", 1), ("step", 2)):
        raster(name, terrain() + error)
    monkeypatch.chdir(tmp_path)
    results = compare(["slope", "step"], "r.tif")
    assert results["slope"].errors.mae == pytest.approx(1, abs=1e-4)
    assert results["step"].errors.mae == pytest.approx(2, abs=1e-4)
