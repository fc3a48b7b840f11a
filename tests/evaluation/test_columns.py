import numpy as np
import pytest

from demiurge.evaluation.columns import Columns


def test_blocks_come_back_whole_and_in_order() -> None:
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


def test_of_too_many_pixels_an_even_choice_is_kept() -> None:
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


def test_columns_that_not_all_have_are_dropped() -> None:
    with Columns(10) as whole, Columns(5) as one, Columns(5) as two:
        one.add({"a": np.ones(5, np.float32), "b": np.ones(5, np.float32)})
        two.add({"a": np.zeros(5, np.float32)})
        whole.extend(one)
        whole.extend(two)
        assert whole.names == ("a",)
        assert whole.read("a").sum() == 5
