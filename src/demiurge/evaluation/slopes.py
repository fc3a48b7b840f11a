"""Strong steps of heights, and errors of slope and aspect."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.raster.terrain import LEVEL, Gradient, slope

#: Least height difference of neighbours at a strong step: in metres, and in pixel sizes.
_STEP, _STEEP = 2.0, 1.0
#: Distance in pixels from a strong step within which pixels count as near it.
_NEAR = 2


def near_steps(heights: Array, gsd: float) -> Mask:
    """Return which pixels are within 2 of a strong step, such as a wall or the edge of a crown.

    Neighbours at a strong step differ by at least 2 m and by at least the pixel size (45°).
    """
    least = max(_STEP, _STEEP * gsd)
    near = np.zeros(heights.shape, bool)
    across = np.abs(np.diff(heights, axis=1)) >= least
    down = np.abs(np.diff(heights, axis=0)) >= least
    near[:, 1:] |= across
    near[:, :-1] |= across
    near[1:] |= down
    near[:-1] |= down
    for axis in (0, 1):
        near = _dilated(near, axis)
    return near


def _dilated(mask: Mask, axis: int) -> Mask:
    turned = np.moveaxis(mask, axis, 0)
    dilated = turned.copy()
    # The pixels on both sides of a step are set already.
    for distance in range(1, _NEAR):
        dilated[distance:] |= turned[:-distance]
        dilated[:-distance] |= turned[distance:]
    return np.asarray(np.moveaxis(dilated, 0, axis))


@dataclass(frozen=True)
class SlopeErrors:
    """Errors of slope and aspect in degrees.

    Attributes
    ----------
    count
        Pixels where the slopes of all surfaces and the reference are known.
    slope_mean, slope_mae, slope_rmse
        Errors of slope − reference slope; a negative mean indicates smoothing.
    aspect_mae, aspect_rmse
        Errors of the angle between the downhill directions where the reference is steeper than
        5°; NaN if no pixel is.
    """

    count: int
    slope_mean: float
    slope_mae: float
    slope_rmse: float
    aspect_mae: float
    aspect_rmse: float

    def as_dict(self) -> dict[str, float | int]:
        """Return the statistics by name."""
        return asdict(self)


@dataclass
class SlopeSums:
    """Sums over pixels from which :class:`SlopeErrors` are computed."""

    slopes: int = 0
    slope: float = 0.0
    slope_size: float = 0.0
    slope_square: float = 0.0
    aspects: int = 0
    aspect_size: float = 0.0
    aspect_square: float = 0.0

    @classmethod
    def of(cls, reference: Gradient, surface: Gradient) -> SlopeSums:
        """Return the sums over pixels whose gradients are all finite."""
        expected = slope(reference)
        error = (slope(surface) - expected).astype(np.float64)
        facing = expected > LEVEL
        ta, td = reference.across[facing], reference.down[facing]
        fa, fd = surface.across[facing], surface.down[facing]
        angle = np.degrees(np.abs(np.arctan2(ta * fd - td * fa, ta * fa + td * fd)))
        # A flat surface has no aspect: count 90°, between right and opposite.
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

    def add(self, other: SlopeSums) -> None:
        """Add the sums of other pixels."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def errors(self) -> SlopeErrors:
        """Return the statistics."""
        n, m = max(self.slopes, 1), self.aspects or np.nan
        return SlopeErrors(
            self.slopes,
            self.slope / n,
            self.slope_size / n,
            float(np.sqrt(self.slope_square / n)),
            float(self.aspect_size / m),
            float(np.sqrt(self.aspect_square / m)),
        )
