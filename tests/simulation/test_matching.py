"""Stereo matchers and their search range."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")


from textures import textured

from demiurge.simulation.matching import SearchRange, make_matcher
from demiurge.simulation.settings import MatcherSettings


@pytest.mark.parametrize("kind", ["sgbm", "census"])
def test_the_matcher_finds_a_known_shift(kind: str) -> None:
    image = textured((80, 200), 4)
    right = np.roll(image, 7, axis=1)  # column x of the left is column x + 7 of the right
    settings = MatcherSettings.model_validate({"kind": kind, "uniqueness": 2})
    disparity = make_matcher(settings, SearchRange(-16, 32))(image * 3000, right * 3000)
    middle = disparity[10:-10, 40:-40]
    assert np.isfinite(middle).mean() > 0.98
    assert np.nanmedian(middle) == pytest.approx(-7, abs=0.1)


@pytest.mark.parametrize("kind", ["sgbm", "census"])
def test_strips_equal_the_complete_image(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = textured((400, 90), 4) * 3000
    right = np.roll(image, 3, axis=1)
    settings = MatcherSettings.model_validate({"kind": kind, "speckle": 0})
    complete = make_matcher(settings, SearchRange(-8, 16))(image, right)
    monkeypatch.setattr("demiurge.simulation.matching._MEMORY", 1)
    strips = make_matcher(settings, SearchRange(-8, 16))(image, right)
    assert strips.shape == complete.shape
    both = np.isfinite(complete) & np.isfinite(strips)
    assert both.mean() > 0.7
    assert (np.abs(complete - strips)[both] < 0.1).mean() > 0.99


def test_search_range_includes_tall_objects() -> None:
    parallax = np.zeros((9, 9), np.float32)
    parallax[4, 4] = -83.2
    search = SearchRange.of(parallax, MatcherSettings(slack=5))
    assert search.low <= -89
    assert search.low + search.count >= 5
    assert search.count % 16 == 0
    parallax[4, 4] = -900
    limited = SearchRange.of(parallax, MatcherSettings(slack=5))
    assert (limited.low + limited.count, limited.count) == (5, 512)
    assert SearchRange.of(parallax, MatcherSettings(disparities=64)) == SearchRange(-32, 64)
