"""Position of the sun by latitude, day of the year and hour."""

from __future__ import annotations

import math


def sun_position(latitude: float, day: float, hour: float) -> tuple[float, float]:
    """Return the sun's azimuth and elevation in degrees.

    The declination is the series of Spencer (1971), Search 2 (5), 172; the angles follow from
    the spherical triangle of pole, zenith and sun (Iqbal 1983, An Introduction to Solar
    Radiation, chapter 1). Refraction is not included.

    Parameters
    ----------
    latitude
        Degrees, positive north of the equator.
    day
        Day of the year; 1 is the first of January.
    hour
        True solar time in hours; 12 is when the sun crosses the meridian.

    Returns
    -------
    Azimuth clockwise from north, 0 … 360, and elevation above the horizon, negative at night.
    """
    year = 2 * math.pi * (day - 1) / 365
    declination = (
        0.006918
        - 0.399912 * math.cos(year)
        + 0.070257 * math.sin(year)
        - 0.006758 * math.cos(2 * year)
        + 0.000907 * math.sin(2 * year)
        - 0.002697 * math.cos(3 * year)
        + 0.00148 * math.sin(3 * year)
    )
    north, turned = math.radians(latitude), math.radians(15 * (hour - 12))
    up = math.sin(north) * math.sin(declination)
    up += math.cos(north) * math.cos(declination) * math.cos(turned)
    eastward = -math.cos(declination) * math.sin(turned)
    northward = math.cos(north) * math.sin(declination)
    northward -= math.sin(north) * math.cos(declination) * math.cos(turned)
    azimuth = math.degrees(math.atan2(eastward, northward)) % 360
    return azimuth, math.degrees(math.asin(min(1.0, max(-1.0, up))))


def equation_of_time(day: float) -> float:
    """Return true less mean solar time in minutes at a day of the year (Spencer 1971)."""
    year = 2 * math.pi * (day - 1) / 365
    return 229.18 * (
        0.000075
        + 0.001868 * math.cos(year)
        - 0.032077 * math.sin(year)
        - 0.014615 * math.cos(2 * year)
        - 0.040849 * math.sin(2 * year)
    )
