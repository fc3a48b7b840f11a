"""The epipolar frame: the map turned by any angle, so that epipolar lines are rows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array


@dataclass(frozen=True)
class Frame:
    """A square raster turned against a square map about a common centre.

    Attributes
    ----------
    side
        Rows and columns of the frame.
    map_side
        Rows and columns of the map.
    turn
        Degrees from the map's north to the frame's first rows, clockwise.
    """

    side: int
    map_side: int
    turn: float

    @classmethod
    def around(cls, inner: int, margin: int, map_side: int, turn: float) -> Frame:
        """Return the smallest frame that holds a central square of the map and a margin."""
        cosine, sine = _direction(turn)
        side = int(np.ceil(inner * (abs(cosine) + abs(sine)))) + 2 * margin
        # The same parity as the map's: quarter turns then resample nothing.
        return cls(side + (side - map_side) % 2, map_side, turn)

    @property
    def _matrix(self) -> npt.NDArray[np.float64]:
        """Return the 2 × 3 matrix from (column, row) of the frame to those of the map."""
        cosine, sine = _direction(self.turn)
        turned = np.array([[cosine, -sine], [sine, cosine]])
        shift = (self.map_side - 1) / 2 - turned @ np.full(2, (self.side - 1) / 2)
        return np.concatenate([turned, shift[:, None]], axis=1)

    def from_map(self, plane: Array, *, smooth: bool = False) -> Array:
        """Resample a plane of the map; beyond the map's edge it is mirrored.

        Parameters
        ----------
        plane
            float32 (map_side, map_side), finite.
        smooth
            Cubic in place of linear interpolation, for textures.
        """
        kind = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
        found = cv2.warpAffine(
            plane,
            self._matrix,
            (self.side, self.side),
            flags=kind | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(found, np.float32)

    def to_map(self, columns: Array, rows: Array) -> tuple[Array, Array]:
        """Return columns and rows of the map for those of the frame."""
        (a, b, c), (d, e, f) = self._matrix.astype(np.float32)
        return a * columns + b * rows + c, d * columns + e * rows + f

    def of_map(self, first: int, count: int) -> tuple[Array, Array]:
        """Return the frame's columns and rows at a central square of the map's pixels.

        Parameters
        ----------
        first, count
            First row and column of the square, and its side.
        """
        inverse = cv2.invertAffineTransform(self._matrix)
        place = np.arange(first, first + count, dtype=np.float64)
        x, y = place[None, :], place[:, None]
        found = [row[0] * x + row[1] * y + row[2] for row in inverse]
        return found[0].astype(np.float32), found[1].astype(np.float32)


def look_up(plane: Array, columns: Array, rows: Array, beyond: float | None = None) -> Array:
    """Look up a plane at float places, linearly; the edge goes on unless ``beyond`` is given."""
    border = cv2.BORDER_REPLICATE if beyond is None else cv2.BORDER_CONSTANT
    value = 0.0 if beyond is None else beyond
    found = cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=border, borderValue=value)
    return np.asarray(found, np.float32)


def _direction(turn: float) -> tuple[float, float]:
    """Return cosine and sine, exact for quarter turns."""
    quarters, rest = divmod(turn, 90)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]
    return float(np.cos(np.radians(turn))), float(np.sin(np.radians(turn)))
