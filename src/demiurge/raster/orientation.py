"""Orientations of square windows, and the one that brings the sun to its canonical side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from demiurge.arrays import Array, Values

#: Decimals of a canonical azimuth in degrees, so that a turned sun gives the same bits.
_DECIMALS = 6


@dataclass(frozen=True)
class Orientation:
    """An element of the dihedral group: an optional transposition, then optional flips.

    Heights keep their values under rotation and flips, so only the pixels move.
    """

    transpose: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, planes: Array) -> Array:
        """Return planes (channels, n, n) in this orientation."""
        if self.transpose:
            planes = planes.swapaxes(1, 2)
        if self.rows:
            planes = planes[:, ::-1]
        return planes[:, :, ::-1] if self.columns else planes

    def undo(self, planes: Array) -> Array:
        """Reverse :meth:`apply`."""
        if self.columns:
            planes = planes[:, :, ::-1]
        if self.rows:
            planes = planes[:, ::-1]
        return planes.swapaxes(1, 2) if self.transpose else planes

    def undo_vector(self, vector: Values) -> Values:
        """Return a vector (right, up the image, upward) before :meth:`apply` moved it."""
        right, up, high = vector
        if self.columns:
            right = -right
        if self.rows:
            up = -up
        return np.array([-up, -right, high] if self.transpose else [right, up, high])


_FLIPS = tuple(Orientation(rows=r, columns=c) for r in (False, True) for c in (False, True))
#: Orientations by their count: identity; with the transposition; the flips; all eight.
ORIENTATIONS: dict[int, tuple[Orientation, ...]] = {
    1: _FLIPS[:1],
    2: (Orientation(), Orientation(transpose=True)),
    4: _FLIPS,
    8: (*_FLIPS, *(Orientation(True, f.rows, f.columns) for f in _FLIPS)),
}


def canonical(azimuth: float) -> tuple[Orientation, float]:
    """Return the orientation after which the sun is in the south-south-east, and its azimuth.

    Parameters
    ----------
    azimuth
        Of the sun, in degrees clockwise from the up direction of the image.

    Returns
    -------
    The orientation, and the azimuth in it: 135 … 180. The identity for azimuths in that range.
    """
    azimuth %= 360
    mirrored = azimuth > 180
    azimuth = 360 - azimuth if mirrored else azimuth
    inverted = azimuth < 90
    azimuth = 180 - azimuth if inverted else azimuth
    transposed = azimuth < 135
    azimuth = 270 - azimuth if transposed else azimuth
    # The flips above come before the transposition; those of an orientation come after it.
    rows, columns = (mirrored, inverted) if transposed else (inverted, mirrored)
    return Orientation(transposed, rows, columns), round(azimuth, _DECIMALS)


def unit_vector(azimuth: float, elevation: float) -> Values:
    """Return the unit vector (right, up the image, upward), float64 (3,), of angles in degrees."""
    flat, angle = math.cos(math.radians(elevation)), math.radians(azimuth)
    high = math.sin(math.radians(elevation))
    return np.array([flat * math.sin(angle), flat * math.cos(angle), high])
