"""Camera models of satellite images: rational polynomials (RPC) and viewing directions.

Image coordinates are ``(row, col)`` in pixels from the outer corner of the first pixel, whose
centre is ``(0.5, 0.5)``. RPC metadata counts from pixel centres; GDAL's transformer, which
evaluates the polynomials, applies the same shift of half a pixel.
Geographic coordinates are WGS 84 degrees; heights are metres above the WGS 84 ellipsoid.
Azimuths are degrees clockwise from grid north, from the ground to the sensor; elevations are
degrees above the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from odc.geo.geobox import GeoBox
from pydantic import ConfigDict, Field

from demiurge.arrays import Values
from demiurge.errors import DataError
from demiurge.scene.crs import transform
from demiurge.scene.ecef import CameraMotion

#: Half the height step in metres over which a line of sight is measured.
_STEP = 50.0
#: Error in pixels at which GDAL ends its search for the ground point of a pixel (default 0.1).
_PRECISION = {"RPC_PIXEL_ERROR_THRESHOLD": 1e-5, "RPC_MAX_ITERATIONS": 50}
_GEOGRAPHIC = "EPSG:4326"
#: Error in metres of heights at which the search for a point on a moved line of sight ends.
_HEIGHT_ERROR = 1e-4


class PixelShift(NamedTuple):
    """A shift in pixels of a raw image.

    Attributes
    ----------
    cols, rows
        Added to the column (to the right) and to the row (down) that a camera computes.
    """

    cols: float
    rows: float


@dataclass(frozen=True)
class Direction:
    """Direction from the ground to a sensor or to the sun.

    Attributes
    ----------
    azimuth
        Degrees clockwise from grid north.
    elevation
        Degrees above the horizon.
    """

    azimuth: Annotated[float, Field(ge=0, le=360, description="clockwise from grid north")]
    elevation: Annotated[float, Field(gt=0, le=90, description="above the horizon")]

    #: For models that have a direction as a field.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if not (math.isfinite(self.azimuth) and math.isfinite(self.elevation)):
            raise DataError("an angle of a direction is not finite", "correct the angles")
        if not 0 < self.elevation <= 90:
            raise DataError(
                f"the elevation of a direction is {self.elevation:g} degrees",
                "give degrees above the horizon, greater than 0 and at most 90",
            )
        object.__setattr__(self, "azimuth", self.azimuth % 360)

    def __str__(self) -> str:
        return f"azimuth {self.azimuth:.1f}, elevation {self.elevation:.1f} degrees"

    @property
    def incidence(self) -> float:
        """Return the angle from the vertical in degrees."""
        return 90 - self.elevation

    @property
    def displacement(self) -> tuple[float, float]:
        """Return metres (east, north) by which one metre of height displaces an orthoimage.

        The displacement is away from the sensor, by the tangent of the incidence.
        """
        length = math.tan(math.radians(self.incidence))
        angle = math.radians(self.azimuth)
        return -length * math.sin(angle), -length * math.cos(angle)

    @classmethod
    def from_displacement(cls, east: float, north: float) -> Direction:
        """Return the direction with a given :attr:`displacement`."""
        incidence = math.degrees(math.atan(math.hypot(east, north)))
        return cls(math.degrees(math.atan2(-east, -north)), 90 - incidence)

    def turned(self, degrees: float) -> Direction:
        """Return the direction with an angle added to its azimuth."""
        return Direction(self.azimuth + degrees, self.elevation)

    def angle_to(self, other: Direction) -> float:
        """Return the angle to another direction in degrees."""
        cosine = float(np.clip(self.unit @ other.unit, -1, 1))
        return math.degrees(math.acos(cosine))

    @property
    def unit(self) -> Values:
        """Return the unit vector (east, north, up), float64 (3,)."""
        flat = math.cos(math.radians(self.elevation))
        angle = math.radians(self.azimuth)
        up = math.sin(math.radians(self.elevation))
        return np.array([flat * math.sin(angle), flat * math.cos(angle), up])


@dataclass(frozen=True)
class Camera:
    """An RPC camera.

    Attributes
    ----------
    rpc
        Coefficients, rasterio's ``RPC``.
    shift
        Pixels ``(row, col)`` added to the result of the polynomials: a pointing correction.
    motion
        A motion of the camera, from a bundle adjustment.
    """

    rpc: Any
    shift: tuple[float, float] = (0.0, 0.0)
    motion: CameraMotion | None = None

    def shifted(self, row: float, col: float) -> Camera:
        """Return the camera with an additional pointing correction in pixels."""
        return replace(self, shift=(self.shift[0] + row, self.shift[1] + col))

    @property
    def height_range(self) -> tuple[float, float]:
        """Return the range of ellipsoidal heights in metres for which the polynomials are valid."""
        middle, half = float(self.rpc.height_off), abs(float(self.rpc.height_scale))
        return middle - half, middle + half

    def image_of(self, lon: Values, lat: Values, height: Values) -> tuple[Values, Values]:
        """Project ground points into the image.

        Parameters
        ----------
        lon, lat, height
            float64 arrays of one shape: degrees, and metres above the ellipsoid. NaN gives NaN.

        Returns
        -------
        Rows and columns, float64 of the same shape; not limited to the image.
        """
        shape = np.shape(lon)
        flat = [np.ravel(np.asarray(a, np.float64)) for a in (lon, lat, height)]
        known = np.isfinite(flat[0]) & np.isfinite(flat[1]) & np.isfinite(flat[2])
        rows, cols = np.full(known.size, np.nan), np.full(known.size, np.nan)
        if known.any():
            points = flat[0][known], flat[1][known], flat[2][known]
            if self.motion is not None:
                points = self.motion.undone(*points)
            with self._transformer() as transformer:
                pixels = transformer.rowcol(*points, op=np.positive)
            rows[known], cols[known] = pixels[0], pixels[1]
        return rows.reshape(shape) + self.shift[0], cols.reshape(shape) + self.shift[1]

    def ground_of(self, row: Values, col: Values, height: Values) -> tuple[Values, Values]:
        """Project pixels to the ground at given heights.

        Parameters
        ----------
        row, col, height
            float64 arrays of one shape: pixels, and metres above the ellipsoid.

        Returns
        -------
        Longitudes and latitudes in degrees, float64 of the same shape; infinite where the
        polynomials cannot be inverted.
        """
        shape = np.shape(row)
        rows = np.ravel(np.asarray(row, np.float64)) - self.shift[0]
        cols = np.ravel(np.asarray(col, np.float64)) - self.shift[1]
        heights = np.ravel(np.asarray(height, np.float64))
        with self._transformer() as transformer:
            if self.motion is None:
                lon, lat = transformer.xy(rows, cols, heights, offset="ul")
            else:
                lon, lat = _moved_ground(transformer, self.motion, rows, cols, heights)
        return np.asarray(lon).reshape(shape), np.asarray(lat).reshape(shape)

    def direction(self, grid: GeoBox, height: float) -> Direction:
        """Return the direction to the sensor at the centre of a grid.

        Parameters
        ----------
        grid
            A projected grid in metres; azimuths refer to its north.
        height
            Ellipsoidal height of the ground in metres.

        Raises
        ------
        DataError
            If the polynomials have no solution there.
        """
        x, y = centre_of(grid)
        east, north = self.displacement(grid, x, y, height)
        if not (math.isfinite(east) and math.isfinite(north)):
            raise DataError(
                "the RPCs have no solution at the centre of the DSM",
                "check that the RPCs belong to this image and this place",
            )
        return Direction.from_displacement(east, north)

    def displacement(self, grid: GeoBox, x: float, y: float, height: float) -> tuple[float, float]:
        """Return metres (east, north) by which one metre of height displaces an orthoimage.

        It is the slope of the line of sight through a map point, over 100 m of height.

        Parameters
        ----------
        x, y
            Map coordinates in the grid's CRS.
        height
            Ellipsoidal height in metres.
        """
        low, high = height - _STEP, height + _STEP
        lon, lat = to_geographic(grid, np.array([x]), np.array([y]))
        row, col = self.image_of(lon, lat, np.array([height]))
        here = np.repeat(row, 2), np.repeat(col, 2)
        seen = self.ground_of(*here, np.array([low, high]))
        xs, ys = from_geographic(grid, *seen)
        # A raised point appears at the intersection of its line of sight with the lower height.
        return float(xs[0] - xs[1]) / (high - low), float(ys[0] - ys[1]) / (high - low)

    @contextmanager
    def _transformer(self) -> Iterator[Any]:
        from rasterio.transform import RPCTransformer

        try:
            transformer = RPCTransformer(self.rpc, **_PRECISION)
        except Exception as error:  # rasterio's private classes of GDAL errors
            raise DataError(
                f"the RPCs are invalid ({error})", "check that they belong to this image"
            ) from None
        with transformer:
            yield transformer


def _moved_ground(
    transformer: Any, motion: CameraMotion, rows: Values, cols: Values, heights: Values
) -> tuple[Values, Values]:
    """Return where lines of sight of a moved camera meet heights.

    A motion moves points of the original line of sight; their original heights are searched.
    """
    original = heights
    for _ in range(10):
        lon, lat = map(np.asarray, transformer.xy(rows, cols, original, offset="ul"))
        lon, lat, height = motion.applied(lon, lat, original)
        error = np.where(np.isfinite(height), heights - height, 0)
        if not error.size or np.abs(error).max() < _HEIGHT_ERROR:
            break
        original = original + error
    return lon, lat


@dataclass(frozen=True)
class Pair:
    """Geometry of two views of the same place."""

    left: Direction
    right: Direction

    @property
    def convergence(self) -> float:
        """Return the angle between the two lines of sight in degrees."""
        return self.left.angle_to(self.right)

    @property
    def parallax(self) -> tuple[float, float]:
        """Return the parallax, right less left: metres (east, north) per metre of height."""
        (e0, n0), (e1, n1) = self.left.displacement, self.right.displacement
        return e1 - e0, n1 - n0

    @property
    def base_to_height(self) -> float:
        """Return the base-to-height ratio: the length of the parallax."""
        return math.hypot(*self.parallax)

    @property
    def epipolar_azimuth(self) -> float:
        """Return the direction of the parallax in degrees clockwise from grid north, 0 to 180."""
        east, north = self.parallax
        return math.degrees(math.atan2(east, north)) % 180


def in_pixels(displacement: tuple[float, float], grid: GeoBox) -> tuple[float, float]:
    """Return a displacement in metres (east, north) as pixels (row, col) of a grid."""
    inverse = ~grid.affine
    east, north = displacement
    return inverse.d * east + inverse.e * north, inverse.a * east + inverse.b * north


def centre_of(grid: GeoBox) -> tuple[float, float]:
    """Return the map coordinates of a grid's centre."""
    rows, cols = grid.shape
    a = grid.affine
    return (
        a.a * cols / 2 + a.b * rows / 2 + a.c,
        a.d * cols / 2 + a.e * rows / 2 + a.f,
    )


def to_geographic(grid: GeoBox, x: Values, y: Values) -> tuple[Values, Values]:
    """Return WGS 84 longitudes and latitudes of map coordinates in a grid's CRS."""
    return transform(x, y, _proj(grid), _GEOGRAPHIC)


def from_geographic(grid: GeoBox, lon: Values, lat: Values) -> tuple[Values, Values]:
    """Return map coordinates in a grid's CRS of WGS 84 longitudes and latitudes."""
    return transform(lon, lat, _GEOGRAPHIC, _proj(grid))


def _proj(grid: GeoBox) -> Any:
    """Return the horizontal CRS of a grid; a vertical part would transform the heights."""
    assert grid.crs is not None
    crs = grid.crs.proj
    return crs.sub_crs_list[0] if crs.is_compound else crs
