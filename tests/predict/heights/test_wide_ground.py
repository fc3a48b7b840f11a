"""Tests of the bare earth from a wider view, and of lowering that under large roofs to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import make_bundle, terrain
from demiurge import scene_from_files
from demiurge.model.bundle import Bundle
from demiurge.predict.heights import ground as rows_of_ground
from demiurge.predict.heights.ground import has_roofs, lower_rows
from demiurge.predict.heights.wide_ground import WideGround, wide_factor, write_wide_ground
from demiurge.raster.ground import lowered
from demiurge.scene.grid import Window

Write = Callable[..., Path]
TARGETS = ("dsm", "dtm")
BANDS = ["dsm", "dsm_uncertainty", "dtm", "dtm_uncertainty"]
SHAPE, FACTOR = (320, 280), 4
HALL = (slice(130, 190), slice(100, 170))


def _earth() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    return 50 + 0.03 * x + 0.02 * y


def _rows(path: Path) -> np.ndarray:
    """Write a plain with a hall, under which the ground is 5 m too high and uncertain."""
    earth = _earth()
    planes = np.stack([earth, np.full_like(earth, 0.2), earth, np.full_like(earth, 0.3)])
    planes[(0, *HALL)] = 80
    planes[(2, *HALL)] += 5
    planes[(3, *HALL)] = 4
    planes[:, 250:260, 10:30] = np.nan
    planes.tofile(path)
    return planes


def _wide(path: Path, error: float = 0.0, uncertainty: float = 1.0) -> WideGround:
    """Write a wide view in two parts; the planes of the surface are not kept."""
    earth = _earth().reshape(SHAPE[0] // 4, 4, SHAPE[1] // 4, 4).mean((1, 3)) + error
    nothing = np.zeros_like(earth)
    planes = np.stack([nothing, earth, nothing, np.full_like(earth, uncertainty)])
    planes = planes.astype(np.float32)
    parts = iter([planes[:, :10], planes[:, 10:]])
    return write_wide_ground(path, parts, TARGETS, earth.shape, FACTOR)


def _lowered(folder: Path, wide: WideGround) -> tuple[np.ndarray, np.ndarray, int]:
    before = _rows(folder / "rows.f32")
    path, count = lower_rows(folder / "rows.f32", BANDS, SHAPE, 1.0, wide)
    return before, np.fromfile(path, np.float32).reshape(before.shape), count


def test_the_ground_under_a_hall_comes_down(tmp_path: Path) -> None:
    before, after, count = _lowered(tmp_path, _wide(tmp_path / "wide.npy", 0.5))
    inner = (slice(134, 186), slice(104, 166))
    error = (after[2] - _earth())[inner]
    # The wide view, twice as trusted as it says, has 64 times the weight of the near one.
    np.testing.assert_allclose(error, 0.5 + 4.5 / 65, atol=0.05)
    np.testing.assert_allclose(after[3][inner], 1 + 3 / 65, atol=0.05)
    assert 60 * 66 <= count <= 60 * 70
    np.testing.assert_array_equal(after[:2], before[:2])
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    np.testing.assert_array_equal(after[:, :60], before[:, :60])


def test_the_ground_is_never_raised_and_an_unsure_view_changes_little(tmp_path: Path) -> None:
    before, after, count = _lowered(tmp_path, _wide(tmp_path / "above.npy", 30))
    np.testing.assert_array_equal(after, before)
    assert count == 0
    before, after, _ = _lowered(tmp_path, _wide(tmp_path / "unsure.npy", 0, 80))
    assert np.nanmax(np.abs(after[2] - before[2])) < 0.1


def test_voids_of_the_wide_view_change_nothing(tmp_path: Path) -> None:
    wide = _wide(tmp_path / "wide.npy")
    stored = np.load(wide.path, mmap_mode="r+")
    stored[:, 35:40, 28:34] = np.nan
    stored.flush()
    before, after, _ = _lowered(tmp_path, wide)
    hidden = (slice(None), slice(140, 160), slice(112, 136))
    np.testing.assert_array_equal(after[hidden], before[hidden])
    assert after[2, 180, 160] < before[2, 180, 160] - 4


def test_pixels_do_not_depend_on_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = _wide(tmp_path / "wide.npy", 0.5)
    _, complete, _ = _lowered(tmp_path, wide)
    monkeypatch.setattr(rows_of_ground, "_BLOCK", 64)
    _, parts, _ = _lowered(tmp_path, wide)
    np.testing.assert_allclose(parts, complete, atol=1e-4)


def test_without_large_uncertain_roofs_there_is_nothing_to_do(tmp_path: Path) -> None:
    planes = _rows(tmp_path / "rows.f32")
    assert has_roofs(tmp_path / "rows.f32", BANDS, SHAPE, 1.0)
    planes[3] = 0.3
    planes.tofile(tmp_path / "rows.f32")
    assert not has_roofs(tmp_path / "rows.f32", BANDS, SHAPE, 1.0)


def test_the_view_is_linear_between_its_pixels(tmp_path: Path) -> None:
    wide, earth = _wide(tmp_path / "wide.npy"), _earth()
    for window in (Window(5, 7, 60, 90), Window(0, 0, 1, 1), Window(311, 270, 9, 10)):
        heights, uncertainty, known = wide.under(window)
        assert heights.shape == known.shape == window[2:]
        assert known.all()
        np.testing.assert_allclose(heights, earth[window.slices], atol=0.08)
        np.testing.assert_allclose(uncertainty, 1)


def test_lowered_needs_a_zone() -> None:
    ground, one = np.full((2, 2), 10, np.float32), np.ones((2, 2), np.float32)
    zone = np.array([[True, False], [True, True]])
    wide = np.array([[5, 5], [15, np.nan]], np.float32)
    earth, uncertainty = lowered(ground, 2 * one, wide, one, zone)
    share = 4 / (4 + 0.25)
    np.testing.assert_allclose(earth, [[10 - 5 * share, 10], [10, 10]])
    np.testing.assert_allclose(uncertainty, [[2 - share, 2], [2, 2]])


def test_the_factor_keeps_a_size_of_the_training(raster: Write, tmp_path: Path) -> None:
    path = tmp_path / "f.bundle"

    def factor(gsd: float, high: float, side: int = 160, **how: object) -> int | None:
        from rasterio.transform import from_origin

        file = raster("dsm.tif", terrain(side, side), transform=from_origin(5e5, 5e6, gsd, gsd))
        return wide_factor(scene_from_files({"dsm": file}), _bundle(path, high, **how))

    assert factor(0.5, 2) == 4
    assert factor(1, 2) == 2
    assert factor(2, 8) is None  # pixels of 4 m were not tried
    assert factor(0.5, 1) == 2
    assert factor(0.5, 0.5) is None
    assert factor(0.5, 2, 100) == 2  # 25 coarse pixels would be too few
    assert factor(0.5, 2, uncertainty=False) is None


def _bundle(path: Path, high: float, **how: object) -> Bundle:
    return make_bundle(path, targets=TARGETS, pixel=(0.5, high), **how)  # type: ignore[arg-type]
