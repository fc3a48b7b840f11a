"""What decides a simulated scene. Every random choice follows from the seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from demiurge.config import Strict, first_fault
from demiurge.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Model = TypeVar("Model", bound=BaseModel)


class TerrainSettings(Strict):
    """Bare earth, where no file gives it."""

    steepness: Positive = Field(0.2, le=1.5, description="height range over the scene's side")
    roughness: float = Field(
        0.95, ge=0.3, le=1.2, description="Hurst exponent of the fractal; larger is smoother"
    )
    relief: float | None = Field(
        None, gt=0, le=6000, description="height range in metres, in place of steepness"
    )
    erosion: int = Field(16, ge=0, le=200, description="steps of river incision and creep")
    cliffs: Share = Field(0.0, description="share of the land that breaks off in cliffs")
    terraces: Share = Field(0.0, description="share that is terraced")
    terrace_height: float = Field(2.5, gt=0, le=30, description="of one step, in metres")
    river: float = Field(
        0.0, ge=0, le=2000, description="width in metres of the largest river's bed; 0 for none"
    )
    snow: Share = Field(0.0, description="share under smooth snow, the highest")
    detail: float = Field(
        1.0, ge=0, le=3, description="relief finer than the pixels of --terrain, as a factor"
    )

    def relief_over(self, side: float) -> float:
        """Return the height range in metres over a side in metres."""
        return self.steepness * side if self.relief is None else self.relief


class CoverSettings(Strict):
    """What stands on the terrain, as shares of the area."""

    forest: Share = Field(0.3, description="closed stands of trees")
    town: Share = Field(0.15, description="blocks of buildings with roads between")
    water: Share = Field(0.02, description="lakes in the lowest places")
    crops: Share = Field(0.0, description="fields, where it is not too steep")
    hedges: bool = Field(True, description="whether some fields are bounded by hedges")
    single_trees: Share = Field(0.01, description="of the trees that would stand in the open")
    trees_per_hectare: float = Field(300.0, gt=0, le=2000, description="within stands")
    tree_height: tuple[Positive, Positive] = Field((8.0, 28.0), description="range in metres")
    building_height: tuple[Positive, Positive] = Field((4.0, 18.0), description="to the eaves")


class SunSettings(Strict):
    """Where the sun stands."""

    azimuth: float = Field(155.0, ge=0, le=360, description="degrees clockwise from north")
    elevation: float = Field(48.0, gt=5, le=90, description="degrees above the horizon")


class LightSettings(SunSettings):
    """The sun at the first take, and what differs at the second, minutes to weeks later."""

    later: float = Field(
        4.0, ge=-180, le=180, description="degrees of azimuth until the second take"
    )
    higher: float = Field(
        0.0, ge=-60, le=60, description="degrees of elevation until the second take"
    )
    change: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how much reflectances differ at the second take: standard deviation of "
        "their logarithm",
    )


class SensorSettings(Strict):
    """Two pushbroom cameras that look along epipolar lines."""

    turn: float | None = Field(
        None,
        ge=0,
        lt=360,
        description="degrees between the epipolar lines and the map's rows; drawn if empty: a "
        "quarter turn or any angle",
    )

    incidence: tuple[float, float] = Field(
        (-12.0, 10.0), description="degrees from the vertical of left and right view"
    )
    blur: float = Field(0.5, ge=0, le=3, description="standard deviation of the PSF in pixels")
    noise: float = Field(0.012, ge=0, le=0.2, description="noise as a share of full scale")
    jitter: float = Field(0.15, ge=0, le=1, description="pixels that rows are off, smoothly")
    misregistration: float = Field(
        0.3, ge=0, le=1, description="pixels that the right ortho is shifted"
    )
    multispectral: float = Field(
        4.0, ge=1, le=8, description="pixel of the bands behind NDVI, in pixels of the images"
    )


class MatcherSettings(Strict):
    """Semi-global matching."""

    kind: Literal["sgbm", "census"] = Field(
        "sgbm", description="OpenCV's StereoSGBM, or Hamming distances of census codes"
    )
    disparities: int | None = Field(
        None,
        ge=16,
        le=512,
        multiple_of=16,
        description="search range about the coarse heights; from the scene's heights if empty",
    )
    slack: int = Field(
        6, ge=0, le=64, description="pixels searched beyond the scene's heights, each way"
    )
    block: int = Field(5, ge=1, le=11, description="side of the matched block of sgbm in pixels")
    smoothness: float = Field(1.0, ge=0.1, le=4, description="factor on the penalties of steps")
    uniqueness: int = Field(6, ge=0, le=50, description="per cent by which the best must win")
    consistency: int = Field(
        1, ge=-1, le=8, description="most pixels between both directions; -1 checks none"
    )
    speckle: int = Field(60, ge=0, le=1000, description="pixels of the smallest kept patch")


class GriddingSettings(Strict):
    """From matched points to pixels."""

    way: Literal["mean", "gaussian", "nearest", "highest"] = Field(
        "mean", description="of the points around a pixel"
    )
    radius: float = Field(
        1.0, ge=0.5, le=3, description="reach in pixels; of mean, always one pixel"
    )
    outliers: float = Field(
        0.0,
        ge=0,
        description="heights so many typical distances from the median around are removed; "
        "0 removes none",
    )
    median: Literal[0, 3, 5] = Field(0, description="side of a median filter; 0 for none")
    fill: int = Field(0, ge=0, le=16, description="holes up to twice so many pixels are filled")


class Settings(Strict):
    """A simulated stereo scene."""

    family: Literal["stereo"] = "stereo"
    size: int = Field(512, ge=64, le=8192, description="pixels a side")
    gsd: float = Field(0.5, ge=0.25, le=2, description="pixel size in metres")
    terrain: TerrainSettings = TerrainSettings()
    cover: CoverSettings = CoverSettings()
    light: LightSettings = LightSettings()
    sensor: SensorSettings = SensorSettings()
    matcher: MatcherSettings = MatcherSettings()
    gridding: GriddingSettings = GriddingSettings()


def make_settings(content: Mapping[str, Any], where: str) -> Settings:
    """Check settings of a stereo scene; raises ConfigError that names the key."""
    found = validated(Settings, content, where)
    left, right = found.sensor.incidence
    if not 5 <= right - left <= 50:
        raise ConfigError(
            f"{where}: sensor.incidence: the views converge by {right - left:g} degrees",
            "choose left below right by 5 to 50 degrees",
        )
    if found.matcher.block % 2 == 0:
        raise ConfigError(f"{where}: matcher.block is {found.matcher.block}", "choose an odd one")
    check_relief(found.terrain, found.size * found.gsd, where)
    cover = found.cover
    check_shares(where, "cover", cover.forest, cover.town, cover.water, cover.crops)
    return found


def validated(model: type[Model], content: Mapping[str, Any], where: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = f"{where}: {first_fault(error)}"
        raise ConfigError(fault, "see: demiurge simulate --help") from None


def check_relief(terrain: TerrainSettings, side: float, where: str) -> None:
    """Raise ConfigError if the land would be steeper than a scene can be made of."""
    if terrain.relief_over(side) > 1.5 * side:
        raise ConfigError(
            f"{where}: terrain.relief is {terrain.relief:g} m over a side of {side:g} m",
            f"choose at most {1.5 * side:g}, or a larger --size or --gsd",
        )


def check_shares(where: str, key: str, *shares: float) -> None:
    """Raise ConfigError if shares of one area exceed it."""
    if sum(shares) > 1:
        raise ConfigError(f"{where}: {key}: the shares sum to more than 1", "lower them")
