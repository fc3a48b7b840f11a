"""What decides a simulated scene of one image of 10 to 30 m."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from demiurge.config import Strict
from demiurge.simulation.settings import (
    Share,
    SunSettings,
    TerrainSettings,
    check_relief,
    check_shares,
    validated,
)

#: Bands that can be asked for besides blue, green, red and nir.
ExtraBand = Literal[
    "coastal", "red_edge1", "red_edge2", "red_edge3", "nir_narrow", "swir1", "swir2"
]


class WideTerrainSettings(TerrainSettings):
    """Bare earth over tens of kilometres."""

    steepness: float = Field(0.06, gt=0, le=1.5, description="height range over the scene's side")
    river: float = Field(60.0, ge=0, le=2000, description="width of the largest river in metres")


class LandscapeSettings(Strict):
    """What covers the land, and by what rules."""

    lowest: float = Field(250.0, ge=-400, le=6000, description="height of the lowest ground, m")
    treeline: float = Field(1900.0, ge=0, le=6000, description="height that forest reaches, m")
    snowline: float = Field(2700.0, ge=0, le=7000, description="height where snow lies, m")
    forest: Share = Field(0.35, description="share of the scene under trees, where they can grow")
    crops: Share = Field(0.25, description="share under crops, where it is flat")
    town: Share = Field(0.03, description="share built up, on flat land near water")
    water: Share = Field(0.015, description="lakes in the lowest places")
    moisture: Share = Field(0.6, description="0 is a desert, 1 a rain forest")


class SkySettings(Strict):
    """The air between."""

    haze: float = Field(0.3, ge=0, le=1, description="0 is clear, 1 hides most; thicker in valleys")


class OpticalSensorSettings(Strict):
    """A multispectral camera that looks straight down."""

    blur: float = Field(0.5, ge=0, le=3, description="standard deviation of the PSF in pixels")
    noise: float = Field(0.0015, ge=0, le=0.1, description="of reflectance, standard deviation")
    bands: tuple[ExtraBand, ...] = Field(
        (), description="besides blue, green, red, nir; coarser than 10 m as Sentinel-2 has them"
    )


class PriorSettings(Strict):
    """The coarse elevation model that a user would have."""

    gsd: float = Field(30.0, ge=20, le=120, description="its pixel size in metres")
    noise: float = Field(1.5, ge=0, le=50, description="metres on flat land; more on slopes")
    shift: float = Field(0.25, ge=0, le=2, description="largest shift in its own pixels")
    canopy: Share = Field(0.5, description="share of the trees' height that it takes for ground")


class OpticalSettings(Strict):
    """A simulated scene of one multispectral image."""

    family: Literal["optical"] = "optical"
    size: int = Field(512, ge=64, le=12288, description="pixels a side")
    gsd: float = Field(10.0, ge=10, le=30, description="pixel size in metres")
    terrain: WideTerrainSettings = WideTerrainSettings()
    landscape: LandscapeSettings = LandscapeSettings()
    light: SunSettings = SunSettings()
    sky: SkySettings = SkySettings()
    sensor: OpticalSensorSettings = OpticalSensorSettings()
    prior: PriorSettings = PriorSettings()


def make_optical_settings(content: Mapping[str, Any], where: str) -> OpticalSettings:
    """Check settings of an optical scene; raises ConfigError that names the key."""
    found = validated(OpticalSettings, content, where)
    check_relief(found.terrain, found.size * found.gsd, where)
    land = found.landscape
    check_shares(where, "landscape", land.forest, land.crops, land.town, land.water)
    return found
