"""Predefined settings by family and landscape, and random settings for ``--vary``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from demiurge.raster.sun import sun_position

Family = Literal["stereo", "optical"]

#: Latitudes of land in degrees, south and north, from which optical scenes are drawn.
_LATITUDES = (-56.0, 72.0)
#: Lowest sun in degrees of the scenes that are drawn.
_LOWEST_SUN = 20.0

#: Settings of stereo scenes by style, where they differ from the defaults.
STEREO: dict[str, dict[str, Any]] = {
    "plain": {
        "terrain": {"steepness": 0.03, "roughness": 1.1, "river": 12},
        "cover": {"forest": 0.1, "town": 0.05, "water": 0.0, "crops": 0.6},
    },
    "hills": {
        "terrain": {"terraces": 0.15, "river": 4},
        "cover": {"crops": 0.2},
    },
    "forest": {
        "cover": {"forest": 0.8, "town": 0.0, "water": 0.0},
        "terrain": {"steepness": 0.25, "river": 5},
    },
    "town": {
        "cover": {"forest": 0.1, "town": 0.7, "crops": 0.05},
        "terrain": {"steepness": 0.05, "roughness": 1.1},
    },
    "alpine": {
        "terrain": {"steepness": 0.7, "roughness": 0.9, "erosion": 24, "snow": 0.15, "river": 3},
        "cover": {"forest": 0.15, "town": 0.0, "water": 0.0},
    },
    "canyon": {
        "terrain": {"steepness": 0.3, "cliffs": 0.7, "terraces": 0.2, "river": 9},
        "cover": {"forest": 0.04, "town": 0.0, "water": 0.0},
    },
    "snow": {
        "terrain": {"steepness": 0.25, "roughness": 1.0, "snow": 0.7},
        "cover": {"forest": 0.15, "town": 0.03, "water": 0.02},
    },
}

#: The same for optical scenes.
OPTICAL: dict[str, dict[str, Any]] = {
    "plain": {
        "terrain": {"steepness": 0.008, "roughness": 1.1, "river": 120},
        "landscape": {"lowest": 60, "forest": 0.15, "crops": 0.6, "town": 0.03, "roads": 5},
    },
    "hills": {},
    "forest": {
        "terrain": {"steepness": 0.05},
        "landscape": {"forest": 0.75, "crops": 0.05, "town": 0.005, "moisture": 0.8},
    },
    "alpine": {
        "terrain": {"steepness": 0.22, "roughness": 0.92, "erosion": 24, "river": 40},
        "landscape": {
            "lowest": 700, "forest": 0.4, "crops": 0.04, "town": 0.003, "bare": 0.35, "snow": 0.08
        },
    },
    "arid": {
        "terrain": {"steepness": 0.07, "cliffs": 0.25, "river": 60},
        "landscape": {
            "moisture": 0.12, "forest": 0.03, "crops": 0.03, "water": 0.0, "dry": 0.8, "roads": 2
        },
        "light": {"elevation": 55},
    },
}  # fmt: skip


def varied(
    family: Family,
    rng: np.random.Generator,
    latitude: float | None = None,
    style: str = "hills",
) -> dict[str, Any]:
    """Draw random settings of a scene, nested: light, views, sensor, matcher, prior.

    Of optical scenes also land cover, atmosphere and product, around those of the style.
    ``latitude`` in degrees decides their suns; drawn if None.
    """
    if family == "optical":
        return _varied_optical(rng, latitude, style)
    light = {"azimuth": _between(rng, 95, 265), "elevation": _between(rng, 24, 68)}
    return _varied_stereo(light, rng)


def draw_sun(rng: np.random.Generator, latitude: float) -> dict[str, float]:
    """Draw the sun at an overpass of an imaging satellite at a latitude in degrees.

    Most cross in the middle of the morning (Landsat, Sentinel-2), some after noon. Suns below
    20 degrees are drawn again; where the sun never stands so high, the highest draw is kept.
    """
    best = (180.0, 5.1)
    for _ in range(64):
        hour = rng.uniform(9.25, 11.25) if rng.random() < 0.75 else rng.uniform(12.75, 14.25)
        azimuth, elevation = sun_position(latitude, rng.uniform(1, 366), hour)
        best = max(best, (azimuth, elevation), key=lambda sun: sun[1])
        if elevation >= _LOWEST_SUN:
            best = azimuth, elevation
            break
    return {"azimuth": round(best[0], 4), "elevation": round(best[1], 4)}


def _varied_optical(rng: np.random.Generator, latitude: float | None, style: str) -> dict[str, Any]:
    if latitude is None:  # equal chances for equal areas
        low, high = np.sin(np.radians(_LATITUDES))
        latitude = round(float(np.degrees(np.arcsin(rng.uniform(low, high)))), 4)
    terrain = OPTICAL[style].get("terrain", {})
    steepness = terrain.get("steepness", 0.06) * np.exp(rng.uniform(-0.6, 0.6))
    return {
        "light": draw_sun(rng, latitude),
        "terrain": {
            "steepness": round(float(steepness), 4),
            "valleys": _between(rng, 1, 1.9),
            "river": 0.0 if rng.random() < 0.35 else _log_between(rng, 15, 250),
        },
        "landscape": {"latitude": latitude, **_varied_landscape(rng, style)},
        "sky": {
            "haze": _between(rng, 0, 0.5),
            "clouds": _log_between(rng, 0.003, 0.3) if rng.random() < 0.25 else 0.0,
            "masked": bool(rng.random() < 0.8),
        },
        "sensor": {"blur": _between(rng, 0.3, 0.8), "noise": _between(rng, 0.0005, 0.004)},
        "product": _product(rng),
        "prior": {
            "gsd": float(rng.choice([30, 30, 60, 90])),
            "noise": _between(rng, 0.7, 5),
            "shift": _between(rng, 0, 0.6),
            "canopy": _between(rng, 0, 1),
        },
    }


def _varied_landscape(rng: np.random.Generator, style: str) -> dict[str, Any]:
    """Draw shares of land cover around those of the style, climate, and contrasts."""
    own = {"forest": 0.35, "crops": 0.25, "town": 0.01, **OPTICAL[style].get("landscape", {})}
    shares = {name: own[name] * rng.uniform(0.4, 1.6) for name in ("forest", "crops", "town")}
    # Most scenes have little open water, a few a lake or the sea.
    shares["water"] = _log_between(rng, 1e-4, 0.02) if rng.random() < 0.85 else rng.uniform(0, 0.5)
    total = max(1.0, sum(shares.values()) / 0.95)
    bare = rng.uniform(0, 0.7) if style == "alpine" or rng.random() < 0.1 else 0.0
    snow = bare * rng.uniform(0, 1) ** 2 if rng.random() < 0.6 else 0.0
    return {
        **{name: round(float(share / total), 4) for name, share in shares.items()},
        "moisture": _between(rng, 0.05, 0.35) if style == "arid" else _between(rng, 0.2, 0.9),
        "bare": round(bare, 4),
        "snow": round(snow, 4),
        "dry": round(float(rng.choice([0.0, 1.0, rng.random()], p=[0.5, 0.2, 0.3])), 4),
        "field": _log_between(rng, 80, 600),
        "conifers": _between(rng, 0, 0.9),
        "roads": int(rng.integers(0, 7)),
        "contrast": _log_between(rng, 0.08, 0.35),
        "minnaert": _between(rng, 0.45, 1),
    }


def _product(rng: np.random.Generator) -> dict[str, Any]:
    """Draw what the pixels are: reflectances, digital numbers or stretched pictures."""
    kinds = ["surface", "toa", "dn16", "dn8", "picture"]
    kind = str(rng.choice(kinds, p=[0.25, 0.25, 0.1, 0.1, 0.3]))
    stretch = [_between(rng, 0, 3), _between(rng, 95, 99.9)]
    jpeg = int(rng.integers(60, 98)) if rng.random() < 0.4 else None
    return {"kind": kind} | ({"stretch": stretch, "jpeg": jpeg} if kind == "picture" else {})


def _varied_stereo(light: dict[str, float], rng: np.random.Generator) -> dict[str, Any]:
    left, apart = _between(rng, -25, 4), _between(rng, 8, 38)
    same_day = rng.random() < 0.5
    return {
        "light": {
            **light,
            "later": _between(rng, 0, 4) if same_day else _between(rng, -50, 50),
            "higher": 0.0 if same_day else _between(rng, -18, 18),
            "change": 0.0 if same_day else _between(rng, 0.02, 0.2),
        },
        "sensor": {
            "incidence": [left, round(left + apart, 3)],
            "blur": _between(rng, 0.3, 0.8),
            "noise": _between(rng, 0.005, 0.03),
            "jitter": _between(rng, 0, 0.35),
            "misregistration": _between(rng, 0, 0.7),
            "multispectral": _between(rng, 2, 5),
        },
        "matcher": _matcher(rng),
        "gridding": _gridding(rng),
    }


def _matcher(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the matcher within the usual settings of stereo pipelines."""
    kind = str(rng.choice(["sgbm", "census"], p=[0.6, 0.4]))
    return {
        "kind": kind,
        "block": int(rng.choice([3, 5, 7, 9])),
        "smoothness": _between(rng, 0.5, 2) if kind == "sgbm" else _between(rng, 0.7, 2.5),
        "uniqueness": int(rng.choice([0, 3, 5, 8, 12] if kind == "sgbm" else [0, 0, 1, 2, 4])),
        "consistency": int(rng.choice([-1, 0, 1, 2], p=[0.1, 0.2, 0.6, 0.1])),
        "speckle": int(rng.choice([0, 30, 60, 150])),
        "slack": int(rng.integers(2, 25)),
    }


def _gridding(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the gridding within the usual settings of stereo pipelines."""
    return {
        "way": str(
            rng.choice(["mean", "gaussian", "nearest", "highest"], p=[0.4, 0.35, 0.15, 0.1])
        ),
        "radius": _between(rng, 0.75, 2),
        "outliers": float(rng.choice([0, 0, 6, 12])),
        "median": int(rng.choice([0, 0, 3, 5])),
        "fill": int(rng.choice([0, 0, 2, 6])),
    }


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number, rounded for simulation.yaml."""
    return round(float(rng.uniform(low, high)), 4)


def _log_between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform, rounded."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 4)


#: Styles by family.
STYLES: Mapping[str, Mapping[str, dict[str, Any]]] = {"stereo": STEREO, "optical": OPTICAL}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested settings; those of ``over`` replace those of ``base``."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            result[key] = merged(inner, value)
        else:
            result[key] = value
    return result
