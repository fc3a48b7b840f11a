"""Affine warps for display."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.scene.crs import transform
from demiurge.scene.warp import warp, warp_affine

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
