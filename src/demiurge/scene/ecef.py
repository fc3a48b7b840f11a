"""Rigid motions of cameras in geocentric coordinates (ECEF, WGS 84)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demiurge.arrays import Values
from demiurge.scene.crs import transform_points

#: Geographic coordinates with ellipsoidal heights, and geocentric coordinates, of WGS 84.
_GEOGRAPHIC, _GEOCENTRIC = "EPSG:4979", "EPSG:4978"

#: A point or vector in metres.
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class CameraMotion:
    """A rotation of a camera about a point, followed by a translation.

    A point P of the space that moves with the camera becomes
    rotation · (P - centre) + centre + translation.

    Attributes
    ----------
    rotation
        Rows of the rotation matrix.
    centre, translation
        Metres in ECEF.
    """

    rotation: tuple[Vector, Vector, Vector]
    centre: Vector
    translation: Vector

    def applied(self, lon: Values, lat: Values, height: Values) -> tuple[Values, Values, Values]:
        """Return points that are moved with the camera.

        Parameters
        ----------
        lon, lat, height
            float64 (n,): WGS 84 degrees and ellipsoidal heights in metres, all finite.

        Returns
        -------
        The moved points, likewise.
        """
        matrix, centre = np.array(self.rotation), np.array(self.centre)
        points = to_ecef(lon, lat, height) - centre
        return from_ecef(points @ matrix.T + centre + np.array(self.translation))

    def undone(self, lon: Values, lat: Values, height: Values) -> tuple[Values, Values, Values]:
        """Return the points that :meth:`applied` moves to the given ones.

        The moved camera sees a point where the original camera sees this one.
        """
        matrix, centre = np.array(self.rotation), np.array(self.centre)
        points = to_ecef(lon, lat, height) - centre - np.array(self.translation)
        return from_ecef(points @ matrix + centre)


def rotation_of(w: float, x: float, y: float, z: float) -> tuple[Vector, Vector, Vector]:
    """Return the rotation matrix of a unit quaternion, which rotates v to q v q*."""
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def to_ecef(lon: Values, lat: Values, height: Values) -> Values:
    """Return geocentric coordinates in metres, float64 (n, 3), of geographic ones (n,)."""
    return np.stack(transform_points((lon, lat, height), _GEOGRAPHIC, _GEOCENTRIC), axis=-1)


def from_ecef(points: Values) -> tuple[Values, Values, Values]:
    """Return longitudes, latitudes and ellipsoidal heights (n,) of geocentric points (n, 3)."""
    x, y, z = points.T
    return transform_points((x, y, z), _GEOCENTRIC, _GEOGRAPHIC)
