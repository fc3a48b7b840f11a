"""Several surfaces in one table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import terrain
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.compare import compare

Write = Callable[..., Path]


def test_all_are_judged_on_the_pixels_that_all_have(raster: Write) -> None:
    """The second leaves out where it would be worst."""
    first, second = terrain() + 1, terrain() + 2
    first[:40] += 10
    second[:40] = np.nan
    paths = [raster("a.tif", first), raster("b.tif", second)]
    found = compare(paths, raster("r.tif", terrain()))
    assert list(found) == [str(path) for path in paths]
    one, two = found.values()
    assert one.count == two.count == 120 * 192
    assert (one.mae, two.mae) == (pytest.approx(1, abs=1e-4), pytest.approx(2, abs=1e-4))
    assert (one.coverage, two.coverage) == (1, 0.75)


def test_what_cannot_be_compared_is_told(raster: Write) -> None:
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


def test_files_may_be_called_like_columns(
    raster: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster("r.tif", terrain())
    for name, error in (("slope", 1), ("step", 2)):
        raster(name, terrain() + error)
    monkeypatch.chdir(tmp_path)
    found = compare(["slope", "step"], "r.tif")
    assert found["slope"].mae == pytest.approx(1, abs=1e-4)
    assert found["step"].mae == pytest.approx(2, abs=1e-4)
