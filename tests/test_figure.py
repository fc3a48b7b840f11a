import pytest

from demiurge.figure import round_limit


@pytest.mark.parametrize(
    ("given", "shown"),
    [(0.0, 1), (float("nan"), 1), (0.3, 0.5), (1, 1), (1.01, 2), (4.9, 5), (7, 10), (49, 50)],
)
def test_scales_of_errors_are_round(given: float, shown: float) -> None:
    assert round_limit(given) == pytest.approx(shown)
