"""Scale and offset from the metadata of items."""

from typing import Any

import numpy as np
import pytest

from demiurge.errors import DataError
from demiurge.fetching.calibration import baseline_of, calibration, is_contradicted

RASTER = {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]}
STAC_1_1 = {"bands": [{"name": "red", "raster:scale": 0.0001, "raster:offset": -0.1}]}

NEW = {"s2:processing_baseline": "05.10"}


@pytest.mark.parametrize(
    ("properties", "asset", "offset"),
    [
        ({"s2:processing_baseline": "05.10"}, {}, -0.1),
        ({"s2:processing_baseline": "04.00"}, {}, -0.1),
        ({"s2:processing_baseline": "03.01"}, {}, 0.0),
        ({**NEW, "earthsearch:boa_offset_applied": True}, RASTER, 0.0),
        ({**NEW, "earthsearch:boa_offset_applied": False}, RASTER, -0.1),
        ({**NEW, "earthsearch:boa_offset_applied": False}, {}, -0.1),
        ({"processing:version": "05.00"}, STAC_1_1, -0.1),
        ({"s2:product_uri": "S2A_MSIL2A_20220301T100000_N0400_R022_T32TLS_x.SAFE"}, {}, -0.1),
        ({"s2:product_uri": "S2A_MSIL2A_20190301T100000_N0211_R022_T32TLS_x.SAFE"}, {}, 0.0),
    ],
)  # fmt: skip
def test_sentinel2(properties: dict[str, Any], asset: dict[str, Any], offset: float) -> None:
    assert calibration("sentinel2", properties, asset, "x") == (1e-4, offset, 0.0)


def test_unknown_baselines_are_refused() -> None:
    with pytest.raises(DataError, match="neither an offset nor a processing baseline"):
        calibration("sentinel2", {}, {}, "S2A")
    assert baseline_of({}, "S2A_MSIL2A_20240101T1_N0510_R1") == 5.1


def test_landsat_and_hls() -> None:
    assert calibration("landsat", {}, {}, "x") == (2.75e-5, -0.2, 0.0)
    stated = {"raster:bands": [{"scale": 2.75e-05, "offset": -0.2}]}
    assert calibration("landsat", {}, stated, "x") == (2.75e-5, -0.2, 0.0)
    assert calibration("hls", {}, {"raster:bands": [{"scale": 0.0001}]}, "x") == (1e-4, 0, -9999)


def test_an_offset_subtracted_twice_is_found() -> None:
    rng = np.random.default_rng(0)
    dark = rng.normal(0.03, 0.01, (50, 50)).astype(np.float32)
    assert not is_contradicted(dark)
    assert is_contradicted(dark - 0.1)
    assert not is_contradicted(np.full((5, 5), np.nan, np.float32))
