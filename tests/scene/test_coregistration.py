from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from demiurge.errors import DataError
from demiurge.scene.coregistration import (
    ReadWindow,
    central_offset,
    even_windows,
    measure_offset,
)

SHAPE = (240, 300)


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    return (100 + 200 * gaussian_filter(noise, 1.5)).astype(np.float32)


def reader(image: np.ndarray) -> ReadWindow:
    return lambda window: image[window.slices]


def displaced(image: np.ndarray, row: float, col: float) -> np.ndarray:
    return shift(image, (row, col), order=3, mode="nearest").astype(np.float32)


def test_the_offset_of_all_windows() -> None:
    left = texture()
    offset = measure_offset(reader(left), reader(displaced(left, 1.3, -2.4)), SHAPE)
    assert (offset.row, offset.col) == pytest.approx((1.3, -2.4), abs=0.02)
    assert offset.agreeing == offset.measured == len(even_windows(SHAPE))
    assert offset.nmad < 0.02


def test_wrong_windows_do_not_count() -> None:
    left = texture()
    right = displaced(left, 1.3, -2.4)
    right[:60] = displaced(left, -3, 4)[:60]  # such as a high roof
    right[180:, :100] = texture(1)[180:, :100]  # something else
    offset = measure_offset(reader(left), reader(right), SHAPE)
    assert (offset.row, offset.col) == pytest.approx((1.3, -2.4), abs=0.02)
    assert offset.agreeing < offset.measured <= len(even_windows(SHAPE))


def test_windows_that_disagree_are_refused() -> None:
    left = texture()
    parts = [displaced(left, 0, 3.0 * k)[:, 60 * k : 60 * k + 60] for k in range(5)]
    with pytest.raises(DataError, match=r"--adjust: the offsets .* disagree"):
        measure_offset(reader(left), reader(np.hstack(parts)), SHAPE)


def test_too_few_windows_are_refused() -> None:
    left = texture()
    right = left.copy()
    right[70:] = np.nan
    right[:, 130:] = np.nan
    with pytest.raises(DataError, match=r"can be compared in . windows only"):
        measure_offset(reader(left), reader(right), SHAPE)


def test_a_large_offset_of_the_centre() -> None:
    left = texture()
    offset = central_offset(reader(left), reader(displaced(left, 40, -70)), SHAPE)
    assert offset is not None
    assert (offset.row, offset.col) == pytest.approx((40, -70), abs=0.05)


@pytest.mark.parametrize("shape", [(20, 1000), (96, 128), (739, 721), (20_000, 10_000)])
def test_windows_are_disjoint_and_inside(shape: tuple[int, int]) -> None:
    covered = np.zeros(shape, np.uint8)
    windows = even_windows(shape)
    for window in windows:
        covered[window.slices] += 1
        assert covered[window.slices].shape == (window.height, window.width)
    assert covered.max() == 1
    assert 4 <= len(windows) <= 25
