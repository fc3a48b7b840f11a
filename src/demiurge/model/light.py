"""Planes of the sun in the input of a network."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array
from demiurge.raster.orientation import canonical, unit_vector
from demiurge.raster.shading import incidence
from demiurge.scene.camera import Direction

#: Number of planes without the incidence on a base.
DIRECTION = 3


def encode_sun(planes: Array, base: Array | None, gsd: float, sun: Direction) -> None:
    """Write the planes of the sun for a window.

    The network sees windows in the orientation of :func:`demiurge.raster.orientation.canonical`.
    The first three planes are constants: the unit vector to the sun in that orientation (right,
    up the image, upward). The fourth belongs to the window as it lies: the cosine of incidence on
    the base, less that on level ground.

    Parameters
    ----------
    planes
        float32 (3 or 4, height, width) to write to.
    base
        float32 (height, width) in metres, finite; None writes 0.
    gsd
        Pixel size in metres.
    sun
        Direction to the sun; its azimuth is from the up direction of the window.
    """
    orientation, azimuth = canonical(sun.azimuth)
    unit = unit_vector(azimuth, sun.elevation)
    planes[:DIRECTION] = unit.astype(np.float32)[:, None, None]
    if base is None:
        planes[DIRECTION:] = 0
    elif len(planes) > DIRECTION:
        # Not computed from the azimuth itself, so that a turned window gives the same bits.
        light = orientation.undo_vector(unit)
        np.subtract(incidence(base, gsd, light), np.float32(unit[2]), out=planes[DIRECTION])
