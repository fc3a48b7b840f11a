"""Correction of the bare earth of finished rows."""

from pathlib import Path

import numpy as np
import pytest

from demiurge.predict.heights import ground as rows_of_ground
from demiurge.predict.heights.ground import can_correct, correct_rows

BANDS = ["dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty"]


def rows(path: Path, shape: tuple[int, int] = (300, 280)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    earth = 50 + 0.03 * x + 0.02 * y
    planes = np.stack([earth, np.full_like(earth, 0.2), earth, np.full_like(earth, 0.3)])
    hall = (slice(130, 190), slice(100, 170))
    planes[(0, *hall)], planes[(2, *hall)], planes[(3, *hall)] = 80, earth[hall] + 5, 4
    planes[:, 250:260, 10:30] = np.nan
    planes.tofile(path)
    return planes


def read(path: Path, like: np.ndarray) -> np.ndarray:
    return np.fromfile(path, np.float32).reshape(like.shape)


def test_the_ground_under_a_hall_comes_down(tmp_path: Path) -> None:
    before = rows(tmp_path / "rows.f32")
    path, count = correct_rows(tmp_path / "rows.f32", BANDS, before.shape[1:], 1.0)
    after = read(path, before)
    assert count >= 60 * 70
    y, x = np.mgrid[:300, :280]
    truth = 50 + 0.03 * x + 0.02 * y
    assert np.abs(after[2, 130:190, 100:170] - truth[130:190, 100:170]).max() < 1
    for band in (0, 1, 3):
        np.testing.assert_array_equal(after[band], before[band])
    np.testing.assert_array_equal(np.isnan(after[2]), np.isnan(before[2]))
    np.testing.assert_array_equal(after[2, :60], before[2, :60])
    with np.errstate(invalid="ignore"):
        assert not (after[2] > after[0] + 1e-4).any()


def test_pixels_do_not_depend_on_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(tmp_path / "rows.f32")
    first = read(correct_rows(tmp_path / "rows.f32", BANDS, before.shape[1:], 1.0)[0], before)
    monkeypatch.setattr(rows_of_ground, "_BLOCK", 64)
    second = read(correct_rows(tmp_path / "rows.f32", BANDS, before.shape[1:], 1.0)[0], before)
    np.testing.assert_allclose(first[2], second[2], atol=1e-4)


def test_without_roofs_nothing_is_written(tmp_path: Path) -> None:
    planes = rows(tmp_path / "rows.f32")
    planes[3] = 0.3
    planes.tofile(tmp_path / "rows.f32")
    path, count = correct_rows(tmp_path / "rows.f32", BANDS, planes.shape[1:], 1.0)
    assert (path, count) == (tmp_path / "rows.f32", 0)


def test_bands() -> None:
    assert can_correct(BANDS)
    assert not can_correct(BANDS[:2])
