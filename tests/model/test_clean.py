"""The soft threshold by the smoothness of the base."""

import pytest
from pydantic import ValidationError

from demiurge.model.clean import CleanInput

CLEAN = CleanInput(shrink=1.0, low=2.5, high=3.5)


@pytest.mark.parametrize(
    ("smoothness", "threshold"),
    [(2.0, 1.0), (2.5, 1.0), (3.0, 0.6), (3.5, 0.2), (5.0, 0.2), (None, 0.2)],
)
def test_the_threshold_falls_with_smoothness(smoothness: float | None, threshold: float) -> None:
    assert CLEAN.threshold(0.2, smoothness) == pytest.approx(threshold)


def test_the_threshold_is_never_below_the_usual_one() -> None:
    assert CLEAN.threshold(2.0, 2.0) == 2.0


def test_the_range_is_ordered() -> None:
    with pytest.raises(ValidationError, match="high must be above low"):
        CleanInput(low=3.0, high=3.0)
