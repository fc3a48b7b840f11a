"""Memory-mapped stacks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from conftest import terrain
from demiurge.scene.geotiff import map_stack

Write = Callable[..., Path]


def test_only_plain_stacks_are_mapped(raster: Write) -> None:
    nan = float("nan")
    assert map_stack(raster("a.tif", terrain(), nodata=nan)) is not None
    assert map_stack(raster("b.tif", terrain(), nodata=-9999)) is None
    assert map_stack(raster("c.tif", terrain(), nodata=nan, compress="deflate")) is None
    assert map_stack(raster("d.tif", terrain().astype("f8"), nodata=nan)) is None
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    assert map_stack(raster("e.tif", terrain(), nodata=nan, **tiled)) is None
    assert map_stack(raster("f.tif", terrain(), nodata=nan, ENDIANNESS="BIG")) is None


def test_a_mapped_stack_holds_what_gdal_reads(raster: Write) -> None:
    two = np.stack([terrain(seed=1), terrain(seed=2)])
    mapped = map_stack(raster("a.tif", two, nodata=float("nan"), interleave="band"))
    np.testing.assert_array_equal(mapped, two)
