"""Intervals have their nominal coverage for skewed distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from demiurge.evaluation.intervals import (
    bootstrap_interval,
    nmad_interval,
    points_needed,
    quantile_interval,
)

DRAWS = 400


def skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.asarray(rng.lognormal(0, 1.2, count))


@pytest.mark.parametrize("share", [0.5, 0.68, 0.9, 0.95])
@pytest.mark.parametrize("count", [20, 50, 200])
def test_coverage_of_intervals_of_quantiles(share: float, count: int) -> None:
    true = math.exp(1.2 * {0.5: 0.0, 0.68: 0.46770, 0.9: 1.28155, 0.95: 1.64485}[share])
    held = 0
    for draw in range(DRAWS):
        interval = quantile_interval(skewed(np.random.default_rng(draw), count), share)
        assert interval.low <= interval.value <= interval.high
        held += interval.low <= true <= interval.high
    assert 0.92 <= held / DRAWS <= 0.985


def test_small_samples_give_no_upper_bound_of_a_high_quantile() -> None:
    values = skewed(np.random.default_rng(0), 20)
    assert quantile_interval(values, 0.95).high == math.inf
    assert points_needed(0.95) == 72
    assert quantile_interval(skewed(np.random.default_rng(0), 72), 0.95).high < math.inf


@pytest.mark.parametrize("statistic", ["mean", "rmse"])
def test_coverage_of_bootstrap_intervals_of_normal_errors(statistic: str) -> None:
    held = 0
    for draw in range(200):
        errors = np.random.default_rng(draw).normal(0.5, 2, 60)
        true = {"mean": 0.5, "rmse": math.hypot(0.5, 2)}[statistic]
        interval = bootstrap_interval(errors, statistic, draws=300, seed=draw)
        held += interval.low <= true <= interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_interval_of_equal_errors_has_no_width() -> None:
    assert nmad_interval(np.zeros(10)) == (0, 0, 0)


@pytest.mark.parametrize("count", [20, 50, 200])
def test_coverage_of_nmad_intervals_of_skewed_errors(count: int) -> None:
    true = 1.4826 * 0.68432  # of a lognormal distribution with sigma 1.2
    held = 0
    for draw in range(200):
        interval = nmad_interval(skewed(np.random.default_rng(draw), count), draws=400, seed=draw)
        held += interval.low <= true <= interval.high
    assert 0.91 <= held / 200 <= 0.99
