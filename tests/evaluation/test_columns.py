import numpy as np
import pytest

from demiurge.evaluation.columns import Columns


def test_columns_return_all_blocks_in_order() -> None:
    with Columns(100) as columns:
        for start in (0, 30):
            columns.add({"a": np.arange(start, start + 30, dtype=np.float32),
                         "b": np.full(30, start, np.uint8)})  # fmt: skip
        assert columns.count == 60
        np.testing.assert_array_equal(columns.read("a"), np.arange(60))
        assert columns.read("b").dtype == np.uint8
        some = columns.sample(("a", "b"), 20)
        np.testing.assert_array_equal(some["a"], np.arange(0, 60, 3))
        assert some["b"][-1] == 30


def test_above_the_limit_a_random_sample_is_stored() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 400_000).astype(np.float32)
    with Columns(values.size, most=100_000) as columns:
        for part in np.split(values, 10):
            columns.add({"a": part, "b": part * 2})
        assert columns.count == pytest.approx(100_000, rel=0.02)
        kept = columns.read("a")
        np.testing.assert_array_equal(columns.read("b"), kept * 2)
    for share in (0.01, 0.5, 0.9):
        rank = (values <= np.quantile(kept, share)).mean()
        # Four standard deviations of the rank among 100,000.
        assert abs(rank - share) < 4 * np.sqrt(share * (1 - share) / 100_000)


def test_extending_keeps_the_common_columns() -> None:
    with Columns(10) as pooled, Columns(5) as one, Columns(5) as two:
        one.add({"a": np.ones(5, np.float32), "b": np.ones(5, np.float32)})
        two.add({"a": np.zeros(5, np.float32)})
        pooled.extend(one)
        pooled.extend(two)
        assert pooled.names == ("a",)
        assert pooled.read("a").sum() == 5
