"""Styles of tiles."""

import numpy as np
import pytest
from rio_tiler.models import ImageData

from demiurge.viewer.styles import (
    BUFFER,
    Contoured,
    Hillshaded,
    Ramped,
    Sloped,
    TerrainRgb,
    contour_interval,
    ramp_colours,
    ramp_stops,
)

SIDE = 16


def tile(data: np.ndarray) -> ImageData:
    return ImageData(np.ma.masked_invalid(data[None].astype(np.float32)))


def plane(slope: float = 0.0, base: float = 10.0) -> np.ndarray:
    side = SIDE + 2 * BUFFER
    return np.broadcast_to(base + slope * np.arange(side), (side, side)).astype(np.float32).copy()


@pytest.mark.parametrize("value", [-500.25, 0.0, 10.004, 8848.86])
def test_terrain_is_precise_to_four_millimetres(value: float) -> None:
    rgb = TerrainRgb(base=0)(tile(plane(0, value))).data.astype(float)
    assert rgb.shape == (3, SIDE, SIDE)
    decoded = rgb[0] * 256 + rgb[1] + rgb[2] / 256 - 32768
    np.testing.assert_allclose(decoded, value, atol=1 / 512 + 1e-3)


def test_terrain_fills_voids_and_empty_tiles() -> None:
    data = plane()
    data[5:8, 5:8] = np.nan
    out = TerrainRgb(base=0)(tile(data))
    assert (out.mask == 255).all()
    heights = out.data[0].astype(float) * 256 + out.data[1] - 32768
    np.testing.assert_allclose(heights, 10, atol=0.01)
    empty = TerrainRgb(base=7)(tile(np.full((SIDE + 4, SIDE + 4), np.nan)))
    assert (empty.data[0].astype(float) * 256 + empty.data[1] - 32768 == 7).all()


def test_ramp_runs_from_low_to_high() -> None:
    table = ramp_colours("viridis")
    for value, index in ((0, 0), (10, 255), (-99, 0), (99, 255)):
        out = Ramped(low=0, high=10, ramp="viridis")(tile(plane(0, value)))
        np.testing.assert_array_equal(out.data[:, 3, 3], table[index])


def test_no_data_is_transparent() -> None:
    data = plane()
    data[6, 7] = np.nan
    out = Ramped(low=0, high=20, shade=0.5)(tile(data))
    assert out.mask[6 - BUFFER, 7 - BUFFER] == 0
    assert (out.mask == 0).sum() == 1


def test_slope_and_shade_of_a_plane() -> None:
    slope = Sloped(gsd=1.0, ramp="gray")(tile(plane(1.0)))
    assert slope.data[0, 5, 5] == pytest.approx(45 / 60 * 255, abs=1)
    # The plane rises eastward, so it faces west.
    lit = Hillshaded(gsd=1.0, azimuth=270)(tile(plane(1.0))).data[0, 5, 5]
    dark = Hillshaded(gsd=1.0, azimuth=90)(tile(plane(1.0))).data[0, 5, 5]
    assert int(lit) > int(dark) + 100


def test_contours_lie_where_heights_cross_them() -> None:
    out = Contoured(interval=5)(tile(plane(1.0, base=0.5)))
    columns = np.flatnonzero(out.mask[4] > 0) + BUFFER
    np.testing.assert_array_equal(columns, [5, 10, 15])


def test_intervals_are_round() -> None:
    assert contour_interval(0.5, 30) == 2
    assert contour_interval(30, 3000) == 200
    assert contour_interval(0.1, 0.01) > 0


def test_every_ramp_has_nine_colours() -> None:
    for stops in ramp_stops().values():
        assert len(stops) == 9
        assert all(len(c) == 7 and c.startswith("#") for c in stops)
