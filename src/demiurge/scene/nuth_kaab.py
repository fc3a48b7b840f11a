"""Translation that aligns heights with reference heights (Nuth and Kääb 2011)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.errors import DataError, missing_extra
from demiurge.scene.grid import wkt


@dataclass(frozen=True)
class Shift:
    """Translation in metres that aligns a raster with the reference."""

    east: float
    north: float
    up: float


def import_xdem(purpose: str) -> Any:
    """Return the module xdem.

    Raises
    ------
    ResourceError
        If it is not installed.
    """
    try:
        with no_warnings():
            import skgstat  # noqa: F401  # needed by xdem's variograms
            import xdem
    except ImportError:
        raise missing_extra("xdem", "align", purpose) from None
    return xdem


@contextmanager
def no_warnings() -> Iterator[None]:
    """Suppress warnings of xdem's internals; users cannot act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fit_shift(
    name: str, heights: Array, reference: Array, stable: Mask, grid: GeoBox, cure: str
) -> Shift:
    """Return the translation that aligns heights with a reference.

    Parameters
    ----------
    name
        The raster, for errors.
    heights, reference
        float32 (rows, columns) in metres on the grid, NaN for no data.
    stable
        bool (rows, columns): pixels to compare; both must be known there.
    grid
        Grid in metres, north up.
    cure
        What to do if the fit fails.

    Raises
    ------
    ResourceError
        If xdem is missing.
    DataError
        If the translation cannot be estimated, such as on flat terrain.
    """
    xdem = import_xdem("co-registration")
    try:
        with no_warnings():
            from rasterio.crs import CRS

            fit = xdem.coreg.NuthKaab()
            fit.fit(
                reference, heights, inlier_mask=stable, transform=grid.affine,
                crs=CRS.from_wkt(wkt(grid)), random_state=0,
            )  # fmt: skip
            shift = fit.to_translations()
    except (ValueError, RuntimeError, TypeError) as error:
        raise DataError(f"{name}: cannot be co-registered ({error})", cure) from None
    east, north, up = (float(v) for v in shift)
    if not np.isfinite([east, north, up]).all():
        raise DataError(f"{name}: cannot be co-registered (no finite shift)", cure)
    return Shift(east, north, up)
