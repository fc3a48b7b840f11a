import numpy as np
import pytest

from demiurge.evaluation.metrics import error_statistics


def test_statistics_of_a_known_sample() -> None:
    d = np.array([-1, 0, 1, 2, 98, np.nan], np.float32)
    s = error_statistics(d, reference_count=10)
    assert s.count == 5
    assert s.coverage == 0.5
    assert s.mean == pytest.approx(20)
    assert s.median == 1
    assert s.mae == pytest.approx(102 / 5)
    assert s.rmse == pytest.approx(np.sqrt((1 + 0 + 1 + 4 + 98**2) / 5))
    # The deviations from the median 1 are 2, 1, 0, 1, 97; their median is 1.
    assert s.nmad == pytest.approx(1.4826)
    for key, share in (("le68", 68), ("le90", 90), ("le95", 95)):
        assert s.as_dict()[key] == pytest.approx(np.percentile([1, 0, 1, 2, 98], share))
    assert (s.q01, s.q99) == pytest.approx(tuple(np.percentile([-1, 0, 1, 2, 98], (1, 99))))
    assert (s.within_1, s.within_2, s.within_5) == (0.6, 0.8, 0.8)


def test_nmad_of_biased_normal_errors_is_their_standard_deviation() -> None:
    d = np.random.default_rng(0).normal(7, 2, 200_000).astype(np.float32)
    s = error_statistics(d, d.size)
    assert s.nmad == pytest.approx(2, rel=0.02)
    assert s.std == pytest.approx(2, rel=0.02)
    assert s.le90 == pytest.approx(np.percentile(np.abs(d), 90), rel=1e-6)


def test_equal_errors_and_no_errors() -> None:
    s = error_statistics(np.full(10, 3, np.float32), 10)
    assert (s.mean, s.mae, s.rmse, s.nmad, s.std) == (3, 3, 3, 0, 0)
    with pytest.raises(ValueError, match="no finite"):
        error_statistics(np.full(3, np.nan, np.float32), 3)
