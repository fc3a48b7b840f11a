"""Slopes, aspects and steps of heights. Pure functions on arrays."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from demiurge.arrays import Array, Mask

#: Degrees of slope below which a pixel faces nowhere in particular.
LEVEL = 5.0
#: Metres that neighbours differ by at a strong step, and how many times the pixel size at least.
_STEP, _STEEP = 2.0, 1.0
#: Pixels around a strong step that belong to it.
_BESIDE = 2


@dataclass(frozen=True)
class Gradient:
    """Metres of height for each metre eastward (``across``) and southward (``down``)."""

    across: Array
    down: Array


def gradient(heights: Array, gsd: float) -> Gradient:
    """Return gradients by central differences (Zevenbergen and Thorne 1987); NaN beside no data.

    Parameters
    ----------
    heights
        float32 (rows, columns), north up.
    gsd
        Pixel size in metres.
    """
    if min(heights.shape) < 2:
        nothing = np.full(heights.shape, np.nan, np.float32)
        return Gradient(nothing, nothing)
    down, across = np.gradient(heights, np.float32(gsd))
    return Gradient(np.asarray(across), np.asarray(down))


def steepness(of: Gradient) -> Array:
    """Return slopes in degrees."""
    return np.asarray(np.degrees(np.arctan(np.hypot(of.across, of.down))), np.float32)


def aspect(of: Gradient) -> Array:
    """Return the direction downhill, clockwise from north, 0 … 360 degrees; NaN where level."""
    found = np.degrees(np.arctan2(-of.across, of.down)) % 360
    level = np.hypot(of.across, of.down) < np.tan(np.radians(LEVEL))
    found[level] = np.nan
    return np.asarray(found, np.float32)


def beside_steps(heights: Array, gsd: float) -> Mask:
    """Tell which pixels are within 2 of a strong step, as at walls and crowns.

    Neighbours differ there by 2 m and by the pixel size (45°) at least.
    """
    least = max(_STEP, _STEEP * gsd)
    found = np.zeros(heights.shape, bool)
    across = np.abs(np.diff(heights, axis=1)) >= least
    down = np.abs(np.diff(heights, axis=0)) >= least
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    for axis in (0, 1):
        found = _widened(found, axis)
    return found


def _widened(mask: Mask, axis: int) -> Mask:
    turned = np.moveaxis(mask, axis, 0)
    found = turned.copy()
    # A step marks the pixels on both its sides already.
    for distance in range(1, _BESIDE):
        found[distance:] |= turned[:-distance]
        found[:-distance] |= turned[distance:]
    return np.asarray(np.moveaxis(found, 0, axis))


@dataclass(frozen=True)
class ShapeErrors:
    """How far slopes are off, in degrees.

    Attributes
    ----------
    count
        Pixels where the slopes of all that is judged are known.
    slope_mean, slope_mae, slope_rmse
        Of slope − the reference's slope; a mean below 0 says that shapes were smoothed away.
    aspect_mae, aspect_rmse
        Of the angle between the directions downhill, where the reference is steeper than 5°;
        NaN where nothing is.
    """

    count: int
    slope_mean: float
    slope_mae: float
    slope_rmse: float
    aspect_mae: float
    aspect_rmse: float

    def as_dict(self) -> dict[str, float | int]:
        """Return the figures by name."""
        return asdict(self)


@dataclass
class ShapeSums:
    """Sums that the errors of slope and aspect come from."""

    slopes: int = 0
    slope: float = 0.0
    slope_size: float = 0.0
    slope_square: float = 0.0
    aspects: int = 0
    aspect_size: float = 0.0
    aspect_square: float = 0.0

    @classmethod
    def of(cls, truth: Gradient, found: Gradient) -> ShapeSums:
        """Compare gradients without gaps."""
        slope = steepness(truth)
        error = (steepness(found) - slope).astype(np.float64)
        facing = slope > LEVEL
        ta, td = truth.across[facing], truth.down[facing]
        fa, fd = found.across[facing], found.down[facing]
        angle = np.degrees(np.abs(np.arctan2(ta * fd - td * fa, ta * fa + td * fd)))
        # What is flat faces nowhere: neither right nor opposite.
        angle[(fa == 0) & (fd == 0)] = 90
        wide = angle.astype(np.float64)
        return cls(
            error.size,
            float(error.sum()),
            float(np.abs(error).sum()),
            float(error @ error),
            wide.size,
            float(wide.sum()),
            float(wide @ wide),
        )

    def add(self, other: ShapeSums) -> None:
        """Take in the sums of other pixels."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def errors(self) -> ShapeErrors:
        """Return what the sums mean."""
        n, m = max(self.slopes, 1), self.aspects or np.nan
        return ShapeErrors(
            self.slopes,
            self.slope / n,
            self.slope_size / n,
            float(np.sqrt(self.slope_square / n)),
            float(self.aspect_size / m),
            float(np.sqrt(self.aspect_square / m)),
        )
