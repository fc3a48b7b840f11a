"""Clear pixels by class and bit, and the median of known values."""

import warnings

import numpy as np
import pytest

from demiurge.fetching.masks import clear, covered, median


def test_scene_classification() -> None:
    classes = np.arange(13, dtype=np.uint8)[None]
    seen = [2, 4, 5, 6, 7]
    assert np.flatnonzero(clear(classes, "scl")).tolist() == seen
    assert np.flatnonzero(clear(classes, "scl", snow=True)).tolist() == [*seen, 11]
    assert np.flatnonzero(~covered(classes, "scl")).tolist() == [0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, False), (1 << 1, False), (1 << 2, False), (1 << 3, False), (1 << 4, False),
     (1 << 6, True), (21824, True), (21952, True), (22280, False), (23888, False)],
)  # fmt: skip
def test_landsat_flags(value: int, expected: bool) -> None:
    """21824 is clear land, 21952 water, 22280 cloud, 23888 cloud shadow (USGS, LSDS-1619)."""
    assert clear(np.array([[value]], np.uint16), "qa_pixel")[0, 0] == expected


def test_snow_of_landsat_and_hls() -> None:
    assert not clear(np.array([[30048]], np.uint16), "qa_pixel")[0, 0]
    assert clear(np.array([[30048]], np.uint16), "qa_pixel", snow=True)[0, 0]
    assert not clear(np.array([[16]], np.uint8), "fmask")[0, 0]
    assert clear(np.array([[16]], np.uint8), "fmask", snow=True)[0, 0]


def test_fmask() -> None:
    flags = np.array([[0, 2, 4, 8, 32, 64, 192, 194, 255]], np.uint8)
    assert clear(flags, "fmask")[0].tolist() == [
        True, False, False, False, True, True, True, False, False,
    ]  # fmt: skip
    assert not clear(flags, "fmask", snow=True)[0, -1], "fill"


@pytest.mark.parametrize("dates", [1, 2, 3, 4, 7])
def test_the_median_is_that_of_numpy(dates: int) -> None:
    rng = np.random.default_rng(dates)
    stack = rng.normal(size=(20, 30, dates)).astype(np.float32)
    stack[rng.random(stack.shape) < 0.4] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmedian(stack, axis=-1)
    np.testing.assert_allclose(median(stack), expected, rtol=1e-6)
