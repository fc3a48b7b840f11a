"""Clear pixels from scene classifications and quality flags."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Mask
from demiurge.fetching.catalogues import MaskRule

#: Classes of Sentinel-2's SCL without a clear view: no data, defective, cloud shadow, clouds,
#: cirrus. Terrain in its own shadow (2) and unclassified pixels (7) count as clear.
_SCL = (0, 1, 3, 8, 9, 10)
_SCL_SNOW = 11
#: Bits of Landsat's QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow; and snow.
_QA, _QA_SNOW = 0b0001_1111, 0b0010_0000
#: Bits of HLS's Fmask: cirrus, cloud, next to cloud or shadow, cloud shadow; and snow or ice.
_FMASK, _FMASK_SNOW, _FMASK_FILL = 0b0000_1111, 0b0001_0000, 255

Flags = npt.NDArray[Any]


def clear(flags: Flags, rule: MaskRule, *, snow: bool = False) -> Mask:
    """Return where the ground is seen: no cloud, no cloud shadow, no fill and no snow.

    Parameters
    ----------
    flags
        Integers (rows, columns): classes of Sentinel-2's SCL, or bits of Landsat Collection 2's
        QA_PIXEL or of HLS v2.0's Fmask.
    rule
        Which of them.
    snow
        Keep snow and ice.

    Returns
    -------
    bool (rows, columns).
    """
    values = np.asarray(flags).astype(np.int64)
    if rule == "scl":
        refused = (*_SCL,) if snow else (*_SCL, _SCL_SNOW)
        return np.asarray(~np.isin(values, refused) & (values <= _SCL_SNOW))
    if rule == "qa_pixel":
        bits = _QA if snow else _QA | _QA_SNOW
        return np.asarray((values & bits) == 0)
    bits = _FMASK if snow else _FMASK | _FMASK_SNOW
    return np.asarray(((values & bits) == 0) & (values != _FMASK_FILL))


def covered(flags: Flags, rule: MaskRule) -> Mask:
    """Return where an item has data at all; arguments as for :func:`clear`."""
    values = np.asarray(flags).astype(np.int64)
    if rule == "qa_pixel":
        return np.asarray((values & 1) == 0)
    return np.asarray(values != (0 if rule == "scl" else _FMASK_FILL))


def fill_of(product: str) -> float:
    """Return the value of a product's mask where an item has no data."""
    return {"sentinel2": 0.0, "landsat": 1.0}.get(product, float(_FMASK_FILL))


def median(stack: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the median of the known values along the last axis.

    Parameters
    ----------
    stack
        float32 (..., dates), NaN for no data.

    Returns
    -------
    float32 (...); NaN where no value is known. The mean of the two middle values for an even
    number, as ``numpy.nanmedian``, without its warning.
    """
    ordered = np.sort(stack, axis=-1)  # NaN last
    count = np.isfinite(stack).sum(axis=-1)
    low = np.maximum((count - 1) // 2, 0)[..., None]
    high = np.minimum(count // 2, stack.shape[-1] - 1)[..., None]
    first = np.take_along_axis(ordered, low, axis=-1)[..., 0]
    second = np.take_along_axis(ordered, high, axis=-1)[..., 0]
    middle = np.where(count % 2 == 1, first, (first + second) / 2)
    return np.where(count > 0, middle, np.nan).astype(np.float32)
