"""Statistics equal the plain definitions and those of xdem."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import terrain
from demiurge.evaluation.evaluate import evaluate
from demiurge.evaluation.metrics import error_statistics, sparsification

Write = Callable[..., Path]


def _cases() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    normal = rng.normal(0.7, 2, 50_001).astype(np.float32)
    outliers = normal.copy()
    outliers[::1000] = rng.choice([-1, 1], outliers[::1000].size) * 5000
    holes = outliers.copy()
    holes[rng.random(holes.size) < 0.3] = np.nan
    return {
        "normal": normal,
        "outliers": outliers,
        "holes": holes,
        "equal": np.full(1000, -3.25, np.float32),
        "one": np.array([4.5], np.float32),
        "two": np.array([-1, 2], np.float32),
        "one-sided": np.abs(normal) + 10,
    }


@pytest.mark.parametrize("name", list(_cases()))
def test_statistics_equal_plain_definitions(name: str) -> None:
    given = _cases()[name]
    d = given[np.isfinite(given)].astype(np.float64)
    expected = {
        "count": d.size,
        "mean": np.mean(d),
        "median": np.median(d),
        "mae": np.mean(np.abs(d)),
        "rmse": np.sqrt(np.mean(d**2)),
        "std": np.std(d),
        "nmad": 1.4826 * np.median(np.abs(d - np.median(d))),
        "le68": np.percentile(np.abs(d), 68),
        "le90": np.percentile(np.abs(d), 90),
        "le95": np.percentile(np.abs(d), 95),
        "q01": np.percentile(d, 1),
        "q99": np.percentile(d, 99),
        "within_1": np.mean(np.abs(d) <= 1),
        "within_2": np.mean(np.abs(d) <= 2),
        "within_5": np.mean(np.abs(d) <= 5),
    }
    statistics = error_statistics(given, given.size).as_dict()
    for key, value in expected.items():
        assert statistics[key] == pytest.approx(value, rel=1e-6, abs=1e-9), key


def test_statistics_equal_those_of_xdem(raster: Write) -> None:
    """Both read the same raster files."""
    pytest.importorskip("xdem")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import xdem

        truth = terrain()
        rng = np.random.default_rng(0)
        surface = (truth + rng.laplace(0.3, 1, truth.shape)).astype(np.float32)
        surface[:10, :50] = np.nan
        paths = raster("s.tif", surface), raster("r.tif", truth)
        difference = xdem.DEM(str(paths[0])) - xdem.DEM(str(paths[1]))
        d = difference.data.compressed().astype(np.float64)
        nmad = float(xdem.spatialstats.nmad(d))
        theirs = difference.copy(new_array=difference.data.astype(np.float64)).get_stats()
        slope = [xdem.terrain.slope(h, resolution=2.0, surface_fit="ZevenbergThorne")
                 for h in (surface, truth)]  # fmt: skip
    evaluation = evaluate(*paths)
    ours = evaluation.surface
    assert ours.count == d.size
    assert ours.nmad == pytest.approx(nmad, rel=1e-6)
    for key, name in (("mean", "Mean"), ("median", "Median"), ("rmse", "RMSE"),
                      ("std", "Standard deviation")):  # fmt: skip
        assert getattr(ours, key) == pytest.approx(float(theirs[name]), rel=1e-6), key
    error = (slope[0] - slope[1])[1:-1, 1:-1]
    inner = error[np.isfinite(error)].astype(np.float64)
    # Our slopes include the edges.
    assert evaluation.slopes["surface"].slope_mean == pytest.approx(inner.mean(), rel=0.05)


def test_sparsification_by_hand() -> None:
    size = np.array([4.0, 1.0, 3.0, 2.0])
    shares, rest = sparsification(size, size)
    assert rest[0] == pytest.approx(2.5)
    assert rest[shares.searchsorted(0.5)] == pytest.approx(1.5)
    assert rest[-1] == 1
    assert sparsification(size, -size)[1][-1] == 4
