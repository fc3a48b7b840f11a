import math

import pytest
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from demiurge.errors import UsageError
from demiurge.scene.footprint import is_plain, source_window, utm_of
from demiurge.scene.grid import (
    Window,
    blocks,
    intersection,
    same_grid,
    sample_windows,
    snapped_grid,
    window_grid,
)

UTM = CRS("EPSG:32633")


def grid(a: float = 2, b: float = 0, d: float = 0, e: float = -2, crs: object = UTM) -> GeoBox:
    return GeoBox((40, 30), Affine(a, b, 500000, d, e, 4000000), crs)


def test_edges_are_multiples_of_the_pixel_size() -> None:
    snapped = snapped_grid((500001, 4000003, 500097, 4000099), UTM, 5)
    box = snapped.extent.boundingbox
    assert (box.left, box.bottom, box.right, box.top) == (500000, 4000000, 500100, 4000100)
    assert snapped.shape == (20, 20)


def test_snapping_inward_stays_within_the_bounds() -> None:
    box = snapped_grid((500001, 4000003, 500097, 4000099), UTM, 5, inward=True).extent.boundingbox
    assert (box.left, box.bottom, box.right, box.top) == (500005, 4000005, 500095, 4000095)


def test_edges_that_are_multiples_do_not_change() -> None:
    box = (0.3 * 3, 0.3 * 7, 0.3 * 10, 0.3 * 17)
    assert snapped_grid(box, UTM, 0.3).shape == (10, 7)


@pytest.mark.parametrize("gsd", [0, -1, math.nan, math.inf])
def test_invalid_pixel_sizes_are_refused(gsd: float) -> None:
    with pytest.raises(UsageError):
        snapped_grid((0, 0, 10, 10), UTM, gsd)


def test_excessive_pixel_counts_are_refused() -> None:
    with pytest.raises(UsageError, match="larger --gsd"):
        snapped_grid((0, 0, 1e6, 1e6), UTM, 1e-2)


def test_blocks_cover_the_raster_once() -> None:
    seen = [[0] * 7 for _ in range(5)]
    for window in blocks((5, 7), 3):
        for row in range(window.row, window.row + window.height):
            for col in range(window.col, window.col + window.width):
                seen[row][col] += 1
    assert all(n == 1 for row in seen for n in row)


def test_plain_grids() -> None:
    assert is_plain(grid())
    assert not is_plain(grid(e=2))  # south-up
    assert not is_plain(grid(b=0.5, d=0.5))  # rotated
    assert not is_plain(grid(e=-3))  # not square
    assert not is_plain(grid(a=1e-5, e=-1e-5, crs="EPSG:4326"))  # degrees
    assert not is_plain(grid(crs="EPSG:2225"))  # feet


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"), [(15, 40, 32633), (-70, -30, 32719), (10, 88, 5041), (10, -85, 5042)]
)
def test_utm_of_a_place(lon: float, lat: float, epsg: int) -> None:
    box = GeoBox((10, 10), Affine(0.001, 0, lon, 0, -0.001, lat), "EPSG:4326")
    assert utm_of(box).epsg == epsg


def test_same_grid_detects_a_shift() -> None:
    assert same_grid(grid(), grid())
    assert not same_grid(grid(), GeoBox((40, 30), Affine(2, 0, 500001, 0, -2, 4000000), UTM))


def test_bounds_that_only_touch_do_not_intersect() -> None:
    assert intersection([(0, 0, 1, 1), (1, 0, 2, 1)]) is None
    assert intersection([(0, 0, 2, 2), (1, 1, 3, 3)]) == (1, 1, 2, 2)


def test_source_window_of_a_window() -> None:
    part = window_grid(grid(), Window(10, 5, 8, 6))
    assert source_window(grid(), part) == Window(10, 5, 8, 6)
    assert source_window(grid(), part, margin=20) == Window(0, 0, 38, 30)


def test_sample_windows_are_limited_and_include_the_edges() -> None:
    assert sample_windows((300, 900), 1024) == [[Window(0, 0, 300, 900)]]
    result = [w for row in sample_windows((100_000, 50_000), 1024) for w in row]
    assert sum(w.height * w.width for w in result) <= 1024**2
    assert result[0][:2] == (0, 0)
    assert result[-1] == Window(100_000 - 128, 50_000 - 128, 128, 128)
