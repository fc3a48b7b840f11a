"""Backprojection to the pixels of a coarse prior."""

import numpy as np
import pytest
from scipy import ndimage

from conftest import terrain
from demiurge.predict.heights.backprojection import (
    PriorCells,
    back_project,
    cells_under,
    means_of_interpolated,
)

SIZE, WIDE = 120, 5
INSIDE = (slice(2 * WIDE, -2 * WIDE),) * 2


def upright(offset: float = 0.0) -> PriorCells:
    return cells_under(SIZE, ((offset, 1 / WIDE, 0), (offset, 0, 1 / WIDE)))


def rotated(degrees: float = 3.0) -> PriorCells:
    a = np.deg2rad(degrees)
    return cells_under(
        SIZE, ((7.3, np.cos(a) / 4.2, np.sin(a) / 4.2), (5.1, -np.sin(a) / 2.6, np.cos(a) / 2.6))
    )


def rough(seed: int = 0) -> np.ndarray:
    fine = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)
    return terrain(SIZE, SIZE, seed) + fine


def test_means_are_those_of_blocks() -> None:
    heights = rough()
    blocks = heights.reshape(SIZE // WIDE, WIDE, -1, WIDE).mean(axis=(1, 3))
    cells = upright()
    assert cells.size == pytest.approx(WIDE)
    np.testing.assert_allclose(cells.means(heights), blocks, rtol=1e-5)


@pytest.mark.parametrize("cells", [upright(), upright(0.5), rotated()])
def test_centre_values_of_interpolated_cells_are_the_cells(cells: PriorCells) -> None:
    values = terrain(*cells.shape, seed=3)
    inside = (slice(4, -4),) * 2
    actual = cells.centre_values(cells.interpolate(values))
    np.testing.assert_allclose(actual[inside], values[inside], atol=0.05 * values.std())


@pytest.mark.parametrize("spline", [True, False])
def test_means_of_interpolated_cells_are_predicted(spline: bool) -> None:
    cells = upright()
    values = terrain(*cells.shape, seed=1)
    actual = means_of_interpolated(values, spline=spline)
    inside = (slice(3, -3),) * 2
    np.testing.assert_allclose(
        cells.means(cells.interpolate(values, spline=spline))[inside], actual[inside], atol=0.15
    )
    level = means_of_interpolated(np.full((20, 20), 700, np.float32), spline=spline)
    np.testing.assert_allclose(level, 700, rtol=1e-6)


def test_splines_equal_those_of_scipy() -> None:
    cells = rotated()
    values = terrain(*cells.shape, seed=2)
    at = (cells.rows, cells.columns)
    expected = ndimage.map_coordinates(values, at, order=3, mode="nearest")
    np.testing.assert_allclose(cells.interpolate(values)[10:-10, 10:-10], expected[10:-10, 10:-10],
                               atol=0.02)  # fmt: skip


def test_cubic_interpolation_equals_that_of_gdal() -> None:
    from rasterio.enums import Resampling
    from rasterio.transform import from_origin
    from rasterio.warp import reproject

    cells = upright()
    values = terrain(*cells.shape, seed=5)
    actual = np.empty((SIZE, SIZE), np.float32)
    place = from_origin(5e5, 5e6, WIDE, WIDE), from_origin(5e5, 5e6, 1, 1)
    reproject(
        values, actual, src_transform=place[0], dst_transform=place[1], src_crs="EPSG:32633",
        dst_crs="EPSG:32633", resampling=Resampling.cubic,
    )  # fmt: skip
    np.testing.assert_allclose(
        cells.interpolate(values, spline=False)[INSIDE], actual[INSIDE], atol=0.01
    )


def test_backprojected_heights_have_the_means_of_the_prior() -> None:
    cells, truth = upright(), rough()
    means = cells.means(truth)
    prior = cells.interpolate(means)
    noise = 10 * np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.float32)
    change = noise + np.linspace(-30, 30, SIZE, dtype=np.float32)
    actual = back_project(change, prior, cells)
    inside = (slice(3, -3),) * 2
    before = np.abs(cells.means(prior + change) - means)[inside].mean()
    assert np.abs(cells.means(actual) - means)[inside].mean() < 0.05 * before


def test_ridges_and_valleys_are_restored() -> None:
    cells = upright()
    rows, columns = np.mgrid[:SIZE, :SIZE]
    truth = (20 * np.abs(np.sin(rows / 19) + np.cos(columns / 23))).astype(np.float32)
    prior = cells.interpolate(cells.means(truth))
    actual = back_project(np.zeros_like(prior), prior, cells)
    errors = [np.square(h - truth)[INSIDE].mean() for h in (actual, prior)]
    assert errors[0] < 0.8 * errors[1]


def test_true_detail_is_kept_without_its_mean() -> None:
    cells, truth = rotated(), rough()
    prior = cells.interpolate(cells.means(terrain(SIZE, SIZE)))
    detail = truth - terrain(SIZE, SIZE)
    added = back_project(detail + 25, prior, cells) - back_project(0 * detail, prior, cells)
    np.testing.assert_allclose(added.mean(), 0, atol=0.3)
    assert np.corrcoef(added.ravel(), detail.ravel())[0, 1] > 0.8


def test_an_untrusted_prior_changes_nothing() -> None:
    cells, prior = upright(), terrain(SIZE, SIZE)
    change = rough(2) - 90
    np.testing.assert_allclose(
        back_project(change, prior, cells, trust=0.0), prior + change, atol=1e-3
    )


def test_without_detail_the_change_is_ignored() -> None:
    cells, prior = upright(), terrain(SIZE, SIZE)
    nothing = back_project(np.zeros_like(prior), prior, cells)
    actual = back_project(rough(2), prior, cells, detail=0.0)
    np.testing.assert_allclose(actual, nothing, atol=1e-3)


def test_a_change_of_the_means_stays_out_of_voids_and_of_their_border() -> None:
    cells, prior = upright(), terrain(SIZE, SIZE)
    known = np.ones((SIZE, SIZE), bool)
    known[40:80, 40:80] = False
    known[:, 90:] = False  # the prior ends here, within a cell
    change = np.where(known, np.float32(2), np.float32(90))
    nothing = back_project(0 * prior, prior, cells, known=known)
    for detail in (0.0, 1.0):
        actual = back_project(np.full_like(prior, 7), prior, cells, known=known, detail=detail)
        np.testing.assert_allclose(actual, nothing, atol=0.05)
    without = back_project(change, prior, cells, known=known, detail=0.0)
    np.testing.assert_allclose(without, nothing, atol=1e-3)
    free = back_project(change, prior, cells, known=known, trust=0.0)
    np.testing.assert_allclose(free, prior + change, atol=1e-3)


def test_nothing_is_restored_where_a_mean_is_not_known() -> None:
    cells, prior = upright(), terrain(SIZE, SIZE)
    known = np.ones((SIZE, SIZE), bool)
    known[30:90, 30:90] = False
    added = back_project(0 * prior, prior, cells, known=known) - prior
    everywhere = back_project(0 * prior, prior, cells) - prior
    middle, outside = (slice(55, 65),) * 2, (slice(0, 15),) * 2
    assert np.abs(added[middle]).max() < 0.2 * np.abs(everywhere[middle]).max()
    np.testing.assert_allclose(added[outside], everywhere[outside], atol=0.01)
