"""Validity of stored pixels: no-data values, masks, alpha, scale and value limits of a band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.layers import Kind, Layer
from demiurge.scene.grid import Window, blocks, sample_windows

#: Possible heights on the Earth in metres, from the deepest trench to the highest summit.
EARTH_RANGE = (-12000.0, 9000.0)
#: Possible heights on other bodies with a solid surface.
OTHER_RANGE = (-30000.0, 30000.0)
#: Larger magnitudes are no data.
HUGE = 1e30

#: Semi-major axis of the Earth in metres; its ellipsoids differ by less than 1 %.
_EARTH = 6378137.0
#: Side in pixels of the sample from which the opaque alpha value is determined.
_LOOK = 512
_BLOCK = 2048


@dataclass(frozen=True)
class Validity:
    """Rule for no-data pixels of a band, in addition to NaN, infinity and huge numbers.

    Attributes
    ----------
    declared
        The stored no-data value that the file declares, if any.
    undeclared
        Stored no-data values that the file does not declare.
    masked
        Whether the file has a mask, internal or in a sidecar.
    alpha, opaque
        The alpha band, 0 without one, and the least alpha of a valid pixel.
    scale, offset
        Conversion of stored values to those of the layer: scale · value + offset.
    limits
        Least and greatest possible value of the layer, or None.
    """

    declared: tuple[float, ...] = ()
    undeclared: tuple[float, ...] = ()
    masked: bool = False
    alpha: int = 0
    opaque: float = 0.0
    scale: float = 1.0
    offset: float = 0.0
    limits: tuple[float, float] | None = None

    def as_declared(self) -> Validity:
        """Return the rule that the file declares, without additions."""
        return replace(self, undeclared=(), limits=None)

    def value(self, stored: float) -> np.float32:
        """Convert a stored value to the layer's unit, with the rounding of pixels."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return np.float32(stored)
        scaled = np.float32(stored) * np.float32(self.scale)
        return np.float32(scaled + np.float32(self.offset))


def validity_of(
    dataset: Any, band: int, layer: Layer, undeclared: tuple[float, ...] = ()
) -> Validity:
    """Return the validity rule of a band.

    Parameters
    ----------
    dataset
        An open raster.
    undeclared
        Stored no-data values that the file does not declare.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    declared = dataset.nodatavals[band - 1]
    flags = dataset.mask_flag_enums[band - 1]
    colours = dataset.colorinterp
    alpha = colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else 0
    alpha = 0 if alpha == band else alpha
    return Validity(
        declared=() if declared is None or np.isnan(declared) else (float(declared),),
        undeclared=undeclared,
        masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        alpha=alpha,
        opaque=_opaque(dataset, alpha) if alpha else 0.0,
        scale=float(dataset.scales[band - 1]),
        offset=float(dataset.offsets[band - 1]),
        limits=height_range(dataset.crs) if layer.kind is Kind.HEIGHT else None,
    )


def height_range(crs: Any) -> tuple[float, float]:
    """Return the least and greatest possible height in metres on the body of a rasterio CRS."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        ellipsoid = None if crs is None else CRS(crs.to_wkt()).ellipsoid
    except CRSError:
        ellipsoid = None
    radius = _EARTH if ellipsoid is None else ellipsoid.semi_major_metre
    return EARTH_RANGE if abs(radius / _EARTH - 1) < 0.01 else OTHER_RANGE


def _opaque(dataset: Any, alpha: int) -> float:
    """Return half of the largest alpha: opaque is stored as 1, 255, 65535 or 1.0."""
    most = max(
        _largest(dataset, alpha, w) for row in sample_windows(dataset.shape, _LOOK) for w in row
    )
    if most > 0:
        return most / 2
    for window in blocks(dataset.shape, _BLOCK):
        most = _largest(dataset, alpha, window)
        if most > 0:
            return most / 2
    return 1.0


def _largest(dataset: Any, band: int, window: Window) -> float:
    values = dataset.read(band, window=_rio(window), out_dtype="float32")
    return float(np.nanmax(values, initial=0.0))


def _rio(window: Window) -> Any:
    from rasterio.windows import Window as RioWindow

    return RioWindow(window.col, window.row, window.width, window.height)


def read_stored(
    dataset: Any, band: int, window: Window, shape: tuple[int, int] | None = None
) -> Array:
    """Read the stored values of a window as float32; ``shape`` thins it to nearest pixels."""
    shape = (window.height, window.width) if shape is None else shape
    data = dataset.read(band, window=_rio(window), out_shape=shape, out_dtype="float32")
    return np.asarray(data, np.float32)


def clean(stored: Array, dataset: Any, band: int, window: Window, rule: Validity) -> Array:
    """Convert stored values to those of the layer, with NaN for no data.

    Parameters
    ----------
    stored
        float32 (rows, columns) from :func:`read_stored`; modified in place.
    dataset, band, window
        Their origin; masks and alpha are read there.
    """
    data = stored
    for value in (*rule.declared, *rule.undeclared):
        data[data == np.float32(value)] = np.nan
    if rule.masked:
        data[dataset.read_masks(band, window=_rio(window), out_shape=data.shape) == 0] = np.nan
    if rule.alpha:
        opacity = read_stored(dataset, rule.alpha, window, (data.shape[0], data.shape[1]))
        data[~(opacity >= rule.opaque)] = np.nan
    np.copyto(data, np.nan, where=~(np.abs(data) < HUGE))
    if (rule.scale, rule.offset) != (1.0, 0.0):
        data *= np.float32(rule.scale)
        data += np.float32(rule.offset)
    if rule.limits is not None:
        low, high = rule.limits
        np.copyto(data, np.nan, where=(data < low) | (data > high))
    return data
