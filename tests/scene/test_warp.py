"""Affine warps for display, cubic ones for heights, and the cache of warped tiles."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.scene.crs import transform
from demiurge.scene.warp import TILE, Tiles, tiles_across, warp, warp_affine, warp_cubic

SOURCE = GeoBox((300, 400), Affine(0.5, 0, 436000, 0, -0.5, 3357600), "EPSG:32617")


def mercator(side: int, size: float, corner: tuple[float, float]) -> GeoBox:
    """Return a Web Mercator grid that begins at a place of the source's CRS."""
    x, y = transform([corner[0]], [corner[1]], SOURCE.crs, "EPSG:3857")
    return GeoBox((side, side), Affine(size, 0, float(x[0]), 0, -size, float(y[0])), "EPSG:3857")


def plane(grid: GeoBox) -> Array:
    """Return heights that rise by 1 m a metre eastward and 2 m a metre northward."""
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    x, y = grid.affine * (columns.ravel(), rows.ravel())
    x, y = transform(x, y, grid.crs, SOURCE.crs)
    east, north = np.asarray(x) - 436000, np.asarray(y) - 3357400
    return (east + 2 * north).reshape(rows.shape).astype(np.float32)


@pytest.mark.parametrize("size", [0.3, 0.577, 1.0])
def test_pixels_are_where_they_belong(size: float) -> None:
    target = mercator(100, size, (436020, 3357590))
    data = warp_affine(plane(SOURCE), SOURCE, target, "bilinear")
    assert data is not None
    np.testing.assert_allclose(data, plane(target), atol=0.01)  # metres


def test_it_agrees_with_gdal_around_voids_and_at_the_edge() -> None:
    heights = plane(SOURCE)
    heights[100:120, 90:130] = np.nan
    target = mercator(150, 0.577, (435990, 3357610))
    quick = warp_affine(heights, SOURCE, target, "bilinear")
    exact = warp(heights, SOURCE, target, "bilinear", 1.0)
    assert quick is not None
    both = np.isfinite(quick) & np.isfinite(exact)
    assert both.sum() > 0.99 * np.isfinite(exact).sum()
    # Only along voids and the edge the known pixels around a place count differently.
    assert np.quantile(np.abs(quick - exact)[both], 0.97) < 0.02
    assert np.abs(quick - exact)[both].max() < 1.5  # a pixel is 0.5 m, of slope √5


def test_classes_stay_classes() -> None:
    classes = np.where(plane(SOURCE) > 370, 6, 2).astype(np.float32)
    target = mercator(100, 0.4, (436020, 3357590))
    data = warp_affine(classes, SOURCE, target, "nearest")
    assert data is not None
    assert set(np.unique(data)) == {2.0, 6.0}


def test_far_out_and_other_methods_are_left_to_gdal() -> None:
    large = GeoBox((300, 400), Affine(500, 0, 300000, 0, -500, 3400000), "EPSG:32617")
    target = mercator(256, 1000, (300000, 3400000))
    assert warp_affine(np.zeros((300, 400), np.float32), large, target, "bilinear") is None
    near = mercator(100, 0.4, (436020, 3357590))
    assert warp_affine(plane(SOURCE), SOURCE, near, "cubic") is None


def test_a_tile_is_computed_once_for_all_threads() -> None:
    tiles, calls, begun, go = Tiles(2), [], threading.Event(), threading.Event()

    def slow() -> np.ndarray:
        calls.append(1)
        begun.set()
        assert go.wait(10)
        return np.zeros(1)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(tiles.get, "a", slow)
        assert begun.wait(10)
        others = [pool.submit(tiles.get, "a", slow) for _ in range(2)]
        assert tiles.get("b", lambda: np.ones(1))[0] == 1, "other tiles do not wait"
        go.set()
        assert all(one.result(10) is first.result(10) for one in others)
    assert len(calls) == 1


def test_a_tile_that_failed_is_computed_again() -> None:
    tiles = Tiles()

    def fails() -> np.ndarray:
        raise OSError

    with pytest.raises(OSError):
        tiles.get("a", fails)
    assert tiles.get("a", lambda: np.ones(1))[0] == 1


def test_tiles_of_a_row_of_windows_are_kept() -> None:
    wide = GeoBox((9000, 10_980), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    kept, calls = Tiles(), []
    for row in range(3):
        for col in range(-(-10_980 // TILE)):
            for tile in range(row, row + 4):
                kept.get((tile, col), lambda: calls.append(1) or np.zeros(1), tiles_across(wide))
    assert len(calls) == 6 * 43
    assert tiles_across(GeoBox((9, 10**6), wide.affine, wide.crs)) == 256


def rough(shape: tuple[int, int]) -> Array:
    rng = np.random.default_rng(1)
    return (2500 + 200 * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("pixel", [90.0, 30.0, 17.0, 10.0])
@pytest.mark.parametrize("offset", [0.0, 3.7])
def test_cubic_heights_are_those_of_gdal(pixel: float, offset: float) -> None:
    crs = "EPSG:32633"
    source = GeoBox((40, 50), Affine(pixel, 0, 3e5, 0, -pixel, 5e6), crs)
    corner = 3 * pixel + offset
    side = int(30 * pixel // 10)
    target = GeoBox((side, side), Affine(10, 0, 3e5 + corner, 0, -10, 5e6 - corner), crs)
    heights = rough((40, 50))
    own = warp_cubic(heights, source, target)
    void = heights.copy()
    void[-1, -1] = np.nan  # far from the target; leaves the warp to GDAL
    assert warp_cubic(void, source, target) is None
    assert own is not None
    np.testing.assert_allclose(
        own, warp(void, source, target, "cubic", pixel / 10), atol=1e-3, rtol=0
    )
    np.testing.assert_array_equal(own, warp(heights, source, target, "cubic", pixel / 10))


def test_what_needs_more_than_parallel_grids_is_left_to_gdal() -> None:
    crs, heights = "EPSG:32633", rough((40, 50))
    source = GeoBox((40, 50), Affine(30, 0, 3e5, 0, -30, 5e6), crs)

    def at(affine: Affine, crs: str = crs, side: int = 60) -> Array | None:
        return warp_cubic(heights, source, GeoBox((side, side), affine, crs))

    inside = Affine(10, 0, 3e5 + 90, 0, -10, 5e6 - 90)
    assert at(inside) is not None
    assert at(inside, "EPSG:32634") is None
    assert at(inside @ Affine.rotation(1)) is None
    assert at(inside, side=120) is None, "ends beyond the array"
    assert at(inside @ Affine.translation(-7, 0)) is None, "needs pixels before the array"
    coarse = warp(heights, source, GeoBox((9, 9), inside @ Affine.scale(9), crs), "cubic", 1 / 3)
    assert coarse.std() < 100, "means, not values, at larger pixels"
