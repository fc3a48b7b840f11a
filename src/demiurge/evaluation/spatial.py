"""What xdem adds: co-registration, and how errors hang together in space."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, missing_extra
from demiurge.evaluation.judged import Judged
from demiurge.scene.grid import full_window, pixel_size, wkt
from demiurge.scene.source import Source

#: Pixels a side that are looked at; of larger rasters every n-th pixel.
_MOST, _MOST_FOR_PAIRS = 3000, 1000
_FEWEST = 1000
#: Points that pairs are made from, and how many times.
_POINTS, _RUNS = 400, 5


@dataclass(frozen=True)
class Shift:
    """Metres by which a raster was moved to lie on the reference."""

    east: float
    north: float
    up: float


@dataclass(frozen=True)
class Spatial:
    """How errors hang together.

    Attributes
    ----------
    lags, variances
        The empirical variogram (Dowd's estimator): distances in metres, and m².
    ranges, sills
        Of the fitted sum of a Gaussian (near) and a spherical (far) model, metres and m².
    effective
        How many independent errors the compared area holds (Rolstad et al. 2009; Hugonnet et al.
        2022, doi 10.1109/JSTARS.2022.3188922).
    standard_error
        Of the mean error, with that number, in metres.
    """

    lags: tuple[float, ...]
    variances: tuple[float, ...]
    ranges: tuple[float, ...]
    sills: tuple[float, ...]
    effective: float
    standard_error: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def require_xdem() -> None:
    """Raise before any work if xdem is missing."""
    _xdem("co-registration and variograms")


def _xdem(what: str) -> Any:
    try:
        with _hushed():
            import skgstat  # noqa: F401  # xdem's variograms stand on it
            import xdem
    except ImportError:
        raise missing_extra("xdem", "align", what) from None
    return xdem


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep what xdem warns of from users, who cannot act on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sampled(
    judged: Judged, reference: Source, grid: GeoBox, mask: Source | None, most: int
) -> tuple[Array, Array, GeoBox]:
    """Read both on a grid of at most so many pixels a side; NaN where masked."""
    step = max(1, -(-max(grid.shape) // most))
    whole = full_window(grid)
    truth = reference.read(grid, whole, step)
    found = judged.read(grid, whole, step)
    if mask is not None:
        truth[~(mask.read(grid, whole, step) > 0)] = np.nan
    return truth, found, grid.zoom_to(truth.shape)


def moved_onto(
    judged: Judged, reference: Source, grid: GeoBox, mask: Source | None = None
) -> tuple[Judged, Shift]:
    """Move heights so that they lie on the reference (Nuth and Kääb 2011).

    Raises
    ------
    ResourceError
        If xdem is missing.
    DataError
        If the terrain does not say how to move them: too few pixels, or too flat.
    """
    xdem = _xdem("co-registration")
    truth, found, coarse = _sampled(judged, reference, grid, mask, _MOST)
    both = np.isfinite(truth) & np.isfinite(found)
    if both.sum() < _FEWEST:
        raise DataError(
            f"{judged.source.path}: shares {int(both.sum())} pixels with the reference, too few to "
            "co-register",
            "leave out --coregister",
        )
    try:
        with _hushed():
            from rasterio.crs import CRS

            fit = xdem.coreg.NuthKaab()
            fit.fit(
                truth, found, inlier_mask=both, transform=coarse.affine,
                crs=CRS.from_wkt(wkt(coarse)), random_state=0,
            )  # fmt: skip
            shift = fit.to_translations()
    except (ValueError, RuntimeError) as error:
        raise DataError(
            f"{judged.source.path}: cannot be co-registered ({error})",
            "flat terrain does not tell; leave out --coregister",
        ) from None
    east, north, up = (float(v) for v in shift)
    if not all(map(math.isfinite, (east, north, up))):
        raise DataError(f"{judged.source.path}: cannot be co-registered", "leave out --coregister")
    moved = replace(judged, east=east, north=north, offset=judged.offset + up)
    return moved, Shift(east, north, up)


def spatial_of(
    judged: Judged, reference: Source, grid: GeoBox, std: float, mask: Source | None = None
) -> Spatial | None:
    """Return how the errors of heights hang together; None where too few are known.

    Parameters
    ----------
    std
        Standard deviation of the errors in metres.
    """
    xdem = _xdem("variograms")
    truth, found, coarse = _sampled(judged, reference, grid, mask, _MOST_FOR_PAIRS)
    # Of a raster that is not square, xdem takes rows for columns.
    errors = np.full((max(truth.shape),) * 2, np.nan, np.float32)
    errors[: truth.shape[0], : truth.shape[1]] = found - truth
    known = int(np.isfinite(errors).sum())
    if known < _FEWEST or not std > 0:
        return None
    gsd = pixel_size(coarse)
    with _hushed():
        empirical = xdem.spatialstats.sample_empirical_variogram(
            errors, gsd=gsd, subsample=_POINTS, n_variograms=_RUNS, random_state=0,
        )  # fmt: skip
        # Beyond half the raster a few places stand for all.
        empirical = empirical[empirical["lags"] <= gsd * min(truth.shape) / 2]
        try:
            _, model = xdem.spatialstats.fit_sum_model_variogram(
                ["Gaussian", "Spherical"], empirical
            )
        except (RuntimeError, ValueError):
            return None
        effective = float(xdem.spatialstats.number_effective_samples(known * gsd**2, model))
    # Where errors do not hang together each pixel is a sample.
    effective = min(max(effective, 1.0), float(known))
    good = np.isfinite(empirical["exp"]) & (empirical["count"] > 0)
    return Spatial(
        tuple(float(v) for v in empirical["lags"][good]),
        tuple(float(v) for v in empirical["exp"][good]),
        tuple(float(v) for v in model["range"]),
        tuple(float(v) for v in model["psill"]),
        effective,
        std / math.sqrt(effective),
    )
