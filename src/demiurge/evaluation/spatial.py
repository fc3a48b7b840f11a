"""Co-registration and spatial correlation of errors; both need xdem."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.evaluation.inputs import AlignedSource
from demiurge.scene.grid import full_window, pixel_size
from demiurge.scene.nuth_kaab import Shift, fit_shift, import_xdem, no_warnings
from demiurge.scene.source import Source

#: Largest side in pixels for co-registration and for variograms; larger rasters are subsampled.
_MOST, _MOST_FOR_PAIRS = 3000, 1000
#: Least number of known pixels.
_FEWEST = 1000
#: Points of one variogram sample, and number of samples.
_POINTS, _RUNS = 400, 5


@dataclass(frozen=True)
class SpatialCorrelation:
    """Spatial correlation of errors.

    Attributes
    ----------
    lags, variances
        Empirical variogram (Dowd's estimator): distances in metres and semivariances in m².
    ranges, sills
        Of the fitted sum of a Gaussian (short-range) and a spherical (long-range) model, in
        metres and m².
    effective
        Number of effectively independent errors in the compared area (Rolstad et al. 2009;
        Hugonnet et al. 2022, doi 10.1109/JSTARS.2022.3188922).
    standard_error
        Standard error of the mean error in metres, std / √effective.
    """

    lags: tuple[float, ...]
    variances: tuple[float, ...]
    ranges: tuple[float, ...]
    sills: tuple[float, ...]
    effective: float
    standard_error: float

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics by name."""
        return asdict(self)


def require_xdem() -> None:
    """Raise ResourceError if xdem is missing."""
    import_xdem("co-registration and variograms")


def _sampled(
    surface: AlignedSource, reference: Source, grid: GeoBox, mask: Source | None, most: int
) -> tuple[Array, Array, GeoBox]:
    """Read reference and surface on a grid of at most ``most`` pixels a side; NaN where masked."""
    step = max(1, -(-max(grid.shape) // most))
    window = full_window(grid)
    truth = reference.read(grid, window, step)
    heights = surface.read(grid, window, step)
    if mask is not None:
        truth[~(mask.read(grid, window, step) > 0)] = np.nan
    return truth, heights, grid.zoom_to(truth.shape)


def coregister(
    surface: AlignedSource, reference: Source, grid: GeoBox, mask: Source | None = None
) -> tuple[AlignedSource, Shift]:
    """Shift a surface to align it with the reference (Nuth and Kääb 2011).

    Raises
    ------
    ResourceError
        If xdem is missing.
    DataError
        If the shift cannot be estimated: too few pixels, or flat terrain.
    """
    path = surface.source.path
    truth, heights, coarse = _sampled(surface, reference, grid, mask, _MOST)
    both = np.isfinite(truth) & np.isfinite(heights)
    if both.sum() < _FEWEST:
        raise DataError(
            f"{path}: shares {int(both.sum())} pixels with the reference, too few to co-register",
            "leave out --coregister",
        )
    shift = fit_shift(
        path,
        heights,
        truth,
        both,
        coarse,
        "leave out --coregister, which needs terrain with relief",
    )
    moved = replace(surface, east=shift.east, north=shift.north, offset=surface.offset + shift.up)
    return moved, shift


def spatial_correlation(
    surface: AlignedSource, reference: Source, grid: GeoBox, std: float, mask: Source | None = None
) -> SpatialCorrelation | None:
    """Fit a variogram to the errors of a surface; None if too few errors are known.

    Parameters
    ----------
    std
        Standard deviation of the errors in metres.
    """
    xdem = import_xdem("variograms")
    truth, heights, coarse = _sampled(surface, reference, grid, mask, _MOST_FOR_PAIRS)
    # xdem confuses rows and columns of rasters that are not square.
    errors = np.full((max(truth.shape),) * 2, np.nan, np.float32)
    errors[: truth.shape[0], : truth.shape[1]] = heights - truth
    known = int(np.isfinite(errors).sum())
    if known < _FEWEST or not std > 0:
        return None
    gsd = pixel_size(coarse)
    with no_warnings():
        empirical = xdem.spatialstats.sample_empirical_variogram(
            errors, gsd=gsd, subsample=_POINTS, n_variograms=_RUNS, random_state=0,
        )  # fmt: skip
        # Longer lags rest on few pairs of places.
        empirical = empirical[empirical["lags"] <= gsd * min(truth.shape) / 2]
        try:
            _, model = xdem.spatialstats.fit_sum_model_variogram(
                ["Gaussian", "Spherical"], empirical
            )
        except (RuntimeError, ValueError):
            return None
        effective = float(xdem.spatialstats.number_effective_samples(known * gsd**2, model))
    # Uncorrelated errors: every pixel is a sample.
    effective = min(max(effective, 1.0), float(known))
    good = np.isfinite(empirical["exp"]) & (empirical["count"] > 0)
    return SpatialCorrelation(
        tuple(float(v) for v in empirical["lags"][good]),
        tuple(float(v) for v in empirical["exp"][good]),
        tuple(float(v) for v in model["range"]),
        tuple(float(v) for v in model["psill"]),
        effective,
        std / math.sqrt(effective),
    )
