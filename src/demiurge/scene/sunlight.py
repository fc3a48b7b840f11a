"""The direction to the sun of a scene: given, or found from shading, date and place."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from demiurge.arrays import Values
from demiurge.layers import PRIOR, Kind, layer
from demiurge.raster.orientation import unit_vector
from demiurge.raster.resample import block_means
from demiurge.raster.shading import ShadingFit, ShadingSums
from demiurge.raster.sun import equation_of_time, sun_position
from demiurge.scene.camera import Direction, centre_of
from demiurge.scene.crs import lonlat, on_earth, proj_of, true_north
from demiurge.scene.grid import LOCAL_NAME, Window
from demiurge.scene.scene import Scene

Origin = Literal["given", "estimated", "expected", "assumed"]

#: Sun of an image of which nothing is known.
ASSUMED = Direction(150.0, 45.0)
#: Mean local solar time in hours at which most imaging satellites pass.
_OVERPASS = 10.5
#: Hours of passes that an estimate may come from, and standard deviation of most of them.
_HOURS, _SPREAD = np.arange(8.5, 15.6, 0.25), 0.75
#: Elevation in degrees below which no optical image is taken.
_LOWEST = 5.0
#: Maximum difference in degrees of an estimated azimuth from the nearest that the place has, and
#: the error in degrees that is added to its standard error.
_IMPOSSIBLE, _ADDED_ERROR = 25.0, 6.0
#: Longest span in days of images that have one date.
_DAYS = 20
#: Windows along a side of a large scene, their side in coarse pixels, and the maximum number of
#: pixels that are read.
_WINDOWS, _SIDE, _MOST = 3, 192, 3 * 10**7


@dataclass(frozen=True)
class Sunlight:
    """Direction to the sun of a scene.

    Attributes
    ----------
    direction
        Azimuth from grid north.
    origin
        ``given`` by the user or the metadata, ``estimated`` from the shading, ``expected`` from
        place and date, or ``assumed``.
    note
        Sentence for the user; empty if the sun was given.
    """

    direction: Direction
    origin: Origin
    note: str = ""


def find_sun(scene: Scene) -> Sunlight:
    """Return the direction to the sun of a scene, from the best source there is.

    These are, in order: the scene's own; date and time of the images; the shading of the images on
    the prior, if it is clear; latitude and date, at 10:30 local time; the yearly mean of that; an
    assumption, for scenes without place.
    """
    if scene.sun is not None:
        return Sunlight(scene.sun, "given")
    place = _place(scene)
    when = None if place is None else _when(scene)
    if place is not None and when is not None and when[1] is not None:
        hour = when[1] + place.longitude / 15 + equation_of_time(when[0]) / 60
        azimuth, elevation = sun_position(place.latitude, when[0], hour % 24)
        if elevation > _LOWEST:
            exact = Direction(azimuth, elevation).turned(place.north)
            return _told(exact, "expected", "computed from the date and time of the image")
    day = None if when is None else when[0]
    estimated = _estimated(scene, place, day)
    if estimated is not None:
        return estimated
    if place is None:
        return _told(ASSUMED, "assumed", "assumed, because neither place nor shading tell it")
    direction = _mean(place, day, np.array([_OVERPASS]))
    if direction is None:
        return _told(ASSUMED, "assumed", "assumed, because it does not rise high enough here")
    known = "the mean of the year" if day is None else "the date of the image"
    how = f"expected from the latitude and {known} at 10:30 local time"
    return _told(direction, "expected", how)


def _told(direction: Direction, origin: Origin, how: str) -> Sunlight:
    note = f"the direction to the sun ({direction}) is {how}; the metadata state none"
    return Sunlight(direction, origin, note)


@dataclass(frozen=True)
class _Place:
    """Position in degrees, and the azimuth of true north from grid north."""

    longitude: float
    latitude: float
    north: float


def _place(scene: Scene) -> _Place | None:
    """Return the centre of a scene; None without a CRS that has a place on the Earth.

    The CRS of pictures without georeference is a projected one, but their place is unknown.
    """
    crs = scene.grid.crs
    if crs is None or not on_earth(crs) or proj_of(crs).geodetic_crs is None:
        return None
    if proj_of(crs).name == LOCAL_NAME:
        return None
    centre = centre_of(scene.grid)
    longitude, latitude = lonlat(*centre, crs)
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        return None
    return _Place(longitude, latitude, true_north(*centre, crs))


def _when(scene: Scene) -> tuple[float, float | None] | None:
    """Return day of the year and hour, UTC, of the images; None where unknown."""
    span = scene.acquired()
    if span is None or span[1] - span[0] > dt.timedelta(days=_DAYS):
        return None
    middle = span[0] + (span[1] - span[0]) / 2
    day = float(middle.timetuple().tm_yday)
    exact = span[1] - span[0] < dt.timedelta(hours=1)
    return day, middle.hour + middle.minute / 60 if exact else None


def _suns(place: _Place, day: float | None, hours: Values) -> Values:
    """Return azimuth, elevation and hour of the suns of a day or a year: float64 (suns, 3).

    Azimuths are from grid north.
    """
    days = range(1, 366, 5) if day is None else [day]
    suns = [(*sun_position(place.latitude, d, h), h) for d in days for h in hours.tolist()]
    high = [(azimuth + place.north, e, h) for azimuth, e, h in suns if e > _LOWEST]
    return np.array(high).reshape(-1, 3)


def _mean(place: _Place, day: float | None, hours: Values) -> Direction | None:
    """Return the mean direction to the suns of a day or a year."""
    suns = _suns(place, day, hours)
    if not len(suns):
        return None
    right, up, high = np.mean([unit_vector(a, e) for a, e, _ in suns], axis=0)
    azimuth = math.degrees(math.atan2(right, up))
    return Direction(azimuth, math.degrees(math.atan2(high, math.hypot(right, up))))


def _estimated(scene: Scene, place: _Place | None, day: float | None) -> Sunlight | None:
    """Return the sun that explains the shading of the images; None unless it is clear.

    The shading tells the azimuth. Haze and offsets of the images change its strength, so the
    elevation is that of suns of this azimuth at the place, if that is known.
    """
    fit = _shading(scene)
    if fit is None or not fit.clear:
        return None
    elevation: float | None = float(np.clip(fit.elevation, 20, 70))
    if place is not None:
        elevation = _elevation(fit, _suns(place, day, _HOURS))
    if elevation is None:
        return None
    how = (
        f"estimated from the shading of the images on the prior (azimuth ± "
        f"{fit.azimuth_error:.0f} degrees)"
    )
    return _told(Direction(fit.azimuth, elevation), "estimated", how)


def _elevation(fit: ShadingFit, suns: Values) -> float | None:
    """Return the mean elevation of the suns near an azimuth; None if there is none near."""
    if not len(suns):
        return None
    apart = np.abs((suns[:, 0] - fit.azimuth + 180) % 360 - 180)
    if apart.min() > _IMPOSSIBLE:
        return None
    error = math.hypot(fit.azimuth_error, _ADDED_ERROR)
    # Relative to the nearest, so that the weights do not vanish.
    nearness = np.exp(-((apart**2 - apart.min() ** 2) / (2 * error**2)))
    usual = np.exp(-(((suns[:, 2] - _OVERPASS) / _SPREAD) ** 2) / 2) + 0.05
    return float(np.average(suns[:, 1], weights=nearness * usual))


def _shading(scene: Scene) -> ShadingFit | None:
    """Fit the sun to the shading of a scene, at pixels that both images and prior resolve."""
    images = [n for n in scene.sources if layer(n).kind is Kind.IMAGE]
    if PRIOR not in scene.sources or not images:
        return None
    sums, factor = ShadingSums(), _coarseness(scene)
    for window in _windows(scene.shape, factor):
        planes = np.stack([block_means(p, factor) for p in scene.read(window, [PRIOR, *images])])
        sums.add(planes[1:], planes[0], scene.pixel_size * factor)
        scene.release()
    return sums.fit()


def _coarseness(scene: Scene) -> int:
    """Return the pixel size of the prior in pixels, rounded."""
    source = scene.sources[PRIOR]
    native = source.native or source.grid
    centre = centre_of(native)
    step = math.sqrt(abs(native.affine.determinant))
    if native.crs is not None and native.crs.geographic:
        step *= 111_320 * math.sqrt(max(math.cos(math.radians(centre[1])), 0.01))
    return max(1, round(step / scene.pixel_size))


def _windows(shape: tuple[int, int], factor: int) -> list[Window]:
    """Return evenly spaced windows of a scene; all of it if it is small."""
    if shape[0] * shape[1] <= (_WINDOWS * _SIDE * factor) ** 2 and math.prod(shape) <= _MOST:
        return [Window(0, 0, *shape)]
    side = max(1, min(_SIDE, math.isqrt(_MOST) // (_WINDOWS * factor))) * factor
    sides = [min(side, n) for n in shape]
    rows, columns = (
        sorted({(n - s) * k // (_WINDOWS - 1) for k in range(_WINDOWS)})
        for n, s in zip(shape, sides, strict=True)
    )
    return [Window(row, col, *sides) for row in rows for col in columns]
