"""What decides a simulated scene. Every random choice follows from the seed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from demiurge.errors import ConfigError
from demiurge.scene.spec import Strict, first_fault

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class TerrainSettings(Strict):
    """Bare earth, where no file gives it."""

    steepness: Positive = Field(0.2, le=1.5, description="height range over the scene's side")
    roughness: float = Field(
        0.95, ge=0.3, le=1.2, description="Hurst exponent of the fractal; larger is smoother"
    )
    erosion: int = Field(30, ge=0, le=200, description="steps of river incision and creep")


class CoverSettings(Strict):
    """What stands on the terrain, as shares of the area."""

    forest: Share = Field(0.3, description="closed stands of trees")
    town: Share = Field(0.15, description="blocks of buildings with roads between")
    water: Share = Field(0.02, description="lakes in the lowest places")
    trees_per_hectare: float = Field(300.0, gt=0, le=2000, description="within stands")
    tree_height: tuple[Positive, Positive] = Field((8.0, 28.0), description="range in metres")
    building_height: tuple[Positive, Positive] = Field((4.0, 18.0), description="to the eaves")


class LightSettings(Strict):
    """The sun at the first take; the second is a little later."""

    azimuth: float = Field(155.0, ge=0, le=360, description="degrees clockwise from north")
    elevation: float = Field(48.0, gt=5, le=90, description="degrees above the horizon")
    later: float = Field(4.0, ge=0, le=60, description="degrees of azimuth until the second take")


class SensorSettings(Strict):
    """Two pushbroom cameras that look along the rows."""

    incidence: tuple[float, float] = Field(
        (-12.0, 10.0), description="degrees from the vertical of left and right view"
    )
    blur: float = Field(0.5, ge=0, le=3, description="standard deviation of the PSF in pixels")
    noise: float = Field(0.012, ge=0, le=0.2, description="noise as a share of full scale")
    jitter: float = Field(0.15, ge=0, le=1, description="pixels that rows are off, smoothly")
    misregistration: float = Field(
        0.3, ge=0, le=1, description="pixels that the right ortho is shifted"
    )


class MatcherSettings(Strict):
    """Semi-global matching."""

    disparities: int = Field(64, ge=16, le=512, multiple_of=16, description="search range")
    block: int = Field(5, ge=3, le=11, description="side of the matched block in pixels")
    uniqueness: int = Field(6, ge=0, le=50, description="per cent by which the best must win")


class Settings(Strict):
    """A simulated stereo scene."""

    size: int = Field(512, ge=64, le=8192, description="pixels a side")
    gsd: float = Field(0.5, ge=0.25, le=2, description="pixel size in metres")
    terrain: TerrainSettings = TerrainSettings()
    cover: CoverSettings = CoverSettings()
    light: LightSettings = LightSettings()
    sensor: SensorSettings = SensorSettings()
    matcher: MatcherSettings = MatcherSettings()


def make_settings(content: dict[str, Any], where: str) -> Settings:
    """Check settings; raises ConfigError that names the key."""
    try:
        found = Settings.model_validate(content)
    except ValidationError as error:
        fault = f"{where}: {first_fault(error)}"
        raise ConfigError(fault, "see: demiurge simulate --help") from None
    left, right = found.sensor.incidence
    if not 5 <= right - left <= 50:
        raise ConfigError(
            f"{where}: sensor.incidence: the views converge by {right - left:g} degrees",
            "choose left below right by 5 to 50 degrees",
        )
    if found.cover.forest + found.cover.town + found.cover.water > 1:
        raise ConfigError(f"{where}: cover: the shares sum to more than 1", "lower them")
    return found


Style = Literal["plain", "hills", "forest", "town", "alpine"]

#: Ready-made landscapes.
STYLES: dict[str, dict[str, Any]] = {
    "plain": {
        "terrain": {"steepness": 0.03, "roughness": 1.1},
        "cover": {"forest": 0.1, "town": 0.05, "water": 0.03},
    },
    "hills": {},
    "forest": {"cover": {"forest": 0.8, "town": 0.0}, "terrain": {"steepness": 0.25}},
    "town": {
        "cover": {"forest": 0.1, "town": 0.7},
        "terrain": {"steepness": 0.05, "roughness": 1.1},
    },
    "alpine": {
        "terrain": {"steepness": 0.7, "roughness": 0.9, "erosion": 60},
        "cover": {"forest": 0.15, "town": 0.0, "water": 0.0},
    },
}
