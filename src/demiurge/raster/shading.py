"""Illumination of heights by the sun, and the sun that explains the shading of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from demiurge.arrays import Array, Mask, Values
from demiurge.raster.terrain import gradient

#: Limits of clear shading: standard errors, standard error of the azimuth in degrees, correlation.
_SIGNIFICANCE, _AZIMUTH_ERROR, _CORRELATION = 5.0, 10.0, 0.1
#: Standard deviation in pixels of the filter that removes wide differences of albedo.
_WIDTH = 16
#: Side in pixels of a jackknife block, and number of blocks along a small area; minimum number of
#: pixels of a block, and of blocks.
_BLOCK, _BLOCKS, _FEW, _FEWEST_BLOCKS = 8, 6, 32, 12
#: Percentiles that an image is clipped to.
_EXTREMES = (1, 99)
#: Maximum condition number of the two gradients: all slopes along one line show no sun across it.
_CONDITION = 1e3


def incidence(heights: Array, gsd: float, sun: Values) -> Array:
    """Return the cosine of the angle between the sun and the normal of the ground.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres, finite; gradients are central differences.
    gsd
        Pixel size in metres.
    sun
        Unit vector to the sun: right, up the image, upward.

    Returns
    -------
    float32 (rows, columns), negative where the ground faces away from the sun.
    """
    # The normal is (-dz/dx, -dz/dy, 1), normalised; rows run down the image.
    right, up, high = (np.float32(part) for part in sun)
    down, across = gradient(heights, gsd)
    slopes = down * up - across * right
    return np.asarray((slopes + high) / np.sqrt(across * across + down * down + 1), np.float32)


@dataclass(frozen=True)
class ShadingFit:
    """Sun that explains the shading of an image.

    Attributes
    ----------
    azimuth
        Degrees clockwise from the up direction of the image.
    elevation
        Degrees above the horizon. Too high if the image has an offset, such as haze.
    azimuth_error
        Standard error of the azimuth in degrees.
    significance
        Length of the horizontal shading in standard errors.
    correlation
        Correlation of the image with the fitted shading.
    """

    azimuth: float
    elevation: float
    azimuth_error: float
    significance: float
    correlation: float

    @property
    def clear(self) -> bool:
        """Return whether the shading cannot be chance."""
        return (
            self.significance >= _SIGNIFICANCE
            and self.azimuth_error <= _AZIMUTH_ERROR
            and self.correlation >= _CORRELATION
        )


class ShadingSums:
    """Least-squares sums of images against the gradients of heights, block by block.

    A Lambertian surface of uniform albedo has brightness · √(1 + slope²) linear in the two
    gradients, with coefficients proportional to the horizontal direction to the sun. Differences of
    albedo are noise; wide ones are removed with a Gaussian high-pass filter, and the rest enters
    the standard errors through a jackknife over blocks.
    """

    def __init__(self) -> None:
        self._sums: list[Values] = []

    def add(self, images: Array, heights: Array, gsd: float) -> None:
        """Add an area.

        Parameters
        ----------
        images
            float32 (bands, rows, columns), above 0; NaN for no data.
        heights
            float32 (rows, columns) in metres, NaN for no data.
        gsd
            Pixel size in metres.
        """
        down, across = (part.astype(np.float64) for part in gradient(heights, gsd))
        positive = np.where(images > 0, images, np.nan)
        known: Mask = np.isfinite(positive).all(axis=0) & np.isfinite(down) & np.isfinite(across)
        if known.sum() < _FEW:
            return
        light = _brightness(positive, known) * np.sqrt(1 + across**2 + down**2)
        passed = [
            across - _smooth(across, known),
            down - _smooth(down, known),
            light / _smooth(light, known) - 1,
        ]
        side = max(_BLOCK, min(heights.shape) // _BLOCKS)
        for row in range(0, heights.shape[0], side):
            for col in range(0, heights.shape[1], side):
                here = (slice(row, row + side), slice(col, col + side))
                vectors = np.stack([value[here][known[here]] for value in passed])
                if vectors.shape[1] >= _FEW:
                    self._sums.append(vectors @ vectors.T)

    def fit(self) -> ShadingFit | None:
        """Return the sun that explains the shading; None without enough relief or data."""
        count = len(self._sums)
        if count < _FEWEST_BLOCKS:
            return None
        sums = np.stack(self._sums)
        total = sums.sum(axis=0)
        if total[2, 2] <= 0 or np.linalg.cond(total[:2, :2]) > _CONDITION:
            return None
        normal = total - sums
        if min(np.linalg.det(normal[:, :2, :2])) <= 0:
            return None
        slopes = np.linalg.solve(total[:2, :2], total[:2, 2])
        others = np.linalg.solve(normal[:, :2, :2], normal[:, :2, 2:])[..., 0]
        spread = others - others.mean(axis=0)
        covariance = (count - 1) / count * spread.T @ spread
        length = float(np.hypot(*slopes))
        if length <= 0 or np.linalg.det(covariance) <= 0:
            return None
        sideways = np.array([-slopes[1], slopes[0]]) / length
        error = math.sqrt(float(sideways @ covariance @ sideways)) / length
        explained = float(total[:2, 2] @ slopes / total[2, 2])
        return ShadingFit(
            # Ground that rises away from the sun is bright; rows run down the image.
            azimuth=math.degrees(math.atan2(-slopes[0], slopes[1])) % 360,
            elevation=math.degrees(math.atan2(1, length)),
            azimuth_error=math.degrees(error),
            significance=math.sqrt(float(slopes @ np.linalg.solve(covariance, slopes))),
            correlation=math.sqrt(max(0.0, explained)),
        )


def _brightness(images: Array, known: Mask) -> Values:
    """Return the mean over the bands, each relative to its mean, without extremes."""
    bands = []
    for image in images:
        low, high = np.percentile(image[known], _EXTREMES)
        clipped = np.clip(image, low, high).astype(np.float64)
        bands.append(clipped / clipped[known].mean())
    return np.asarray(np.mean(bands, axis=0))


def _smooth(plane: Values, known: Mask) -> Values:
    """Return a plane smoothed over its known pixels."""
    weight = gaussian_filter(known.astype(np.float64), _WIDTH)
    total = gaussian_filter(np.where(known, plane, 0.0), _WIDTH)
    return np.asarray(total / np.maximum(weight, 1e-9))
