"""Scale and offset from stored numbers to surface reflectance, from the metadata of items.

- Sentinel-2: reflectance = (DN + BOA_ADD_OFFSET) / 10000, with an offset of −1000 from processing
  baseline 04.00 (25 January 2022) on. Earth Search subtracts it from many files and then sets
  ``earthsearch:boa_offset_applied``, although ``raster:bands`` still states the offset.
- Landsat Collection 2: reflectance = 2.75e-5 · DN − 0.2.
- HLS v2.0: reflectance = 1e-4 · DN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError

_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINE = ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline")
#: Baseline within the name of a product: ``…_N0400_…``.
_NAMED = re.compile(r"_N(\d{2})(\d{2})_")
#: Reflectance below which clear pixels are implausible, and the share of them that is accepted.
_IMPLAUSIBLE, _SHARE = -0.03, 0.02


class Radiometry(NamedTuple):
    """Reflectance = scale · DN + offset; ``nodata`` is the DN without data."""

    scale: float
    offset: float
    nodata: float


def calibration(
    product: str, properties: Mapping[str, Any], asset: Mapping[str, Any], name: str
) -> Radiometry:
    """Return the calibration of an asset.

    Parameters
    ----------
    product
        ``sentinel2``, ``landsat`` or ``hls``.
    properties
        Properties of the item.
    asset
        Fields of the asset; those of its first band are read from ``raster:bands`` or ``bands``.
    name
        Identifier of the item, for the message.

    Raises
    ------
    DataError
        If a Sentinel-2 item states neither offset nor baseline.
    """
    band = _band(asset)
    scale, offset = band.get("scale"), band.get("offset")
    if product == "landsat":
        return Radiometry(_number(scale, 2.75e-5), _number(offset, -0.2), 0.0)
    if product == "hls":
        return Radiometry(_number(scale, 1e-4), _number(offset, 0.0), -9999.0)
    scale = _number(scale, 1e-4)
    applied = next((properties[key] for key in _APPLIED if key in properties), None)
    if applied is True:
        return Radiometry(scale, 0.0, 0.0)
    if offset is not None:
        return Radiometry(scale, float(offset), 0.0)
    baseline = baseline_of(properties, name)
    if baseline is None:
        raise DataError(
            f"{name}: states neither an offset nor a processing baseline",
            "choose another service with --stac",
        )
    return Radiometry(scale, -0.1 if baseline >= 4 else 0.0, 0.0)


def baseline_of(properties: Mapping[str, Any], name: str = "") -> float | None:
    """Return the processing baseline of a Sentinel-2 item, such as 5.09; None if unknown."""
    for key in _BASELINE:
        try:
            return float(str(properties[key]))
        except (KeyError, ValueError):
            continue
    for text in (str(properties.get("s2:product_uri", "")), name):
        match = _NAMED.search(text)
        if match:
            return float(f"{match[1]}.{match[2]}")
    return None


def is_contradicted(reflectance: Array) -> bool:
    """Return whether clear pixels contradict the stated offset: too many are far below 0.

    Metadata of some items state that an offset is not applied although it is; subtracting it twice
    makes dark ground negative.

    Parameters
    ----------
    reflectance
        float32, a visible band of one item, NaN where not clear.
    """
    known = reflectance[np.isfinite(reflectance)]
    return bool(known.size > 0 and (known < _IMPLAUSIBLE).mean() > _SHARE)


def _band(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return scale and offset of the first band, in STAC 1.0 or 1.1."""
    for bands in (asset.get("raster:bands"), asset.get("bands")):
        if bands and isinstance(bands[0], Mapping):
            found = {key: bands[0].get(key, bands[0].get(f"raster:{key}"))
                     for key in ("scale", "offset")}  # fmt: skip
            if any(value is not None for value in found.values()):
                return found
    return {key: asset.get(f"raster:{key}") for key in ("scale", "offset")}


def _number(value: Any, default: float) -> float:
    return default if value is None else float(value)
