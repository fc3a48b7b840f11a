"""Settings of simulated scenes, with units and limits. All random choices follow from the seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from demiurge.config import Strict, first_fault
from demiurge.errors import ConfigError
from demiurge.simulation.landscape_settings import LandscapeSettings, ProductSettings, Share

Positive = Annotated[float, Field(gt=0)]
#: Multispectral bands in addition to blue, green, red and nir.
ExtraBand = Literal[
    "coastal", "red_edge1", "red_edge2", "red_edge3", "nir_narrow", "swir1", "swir2"
]
_Model = TypeVar("_Model", bound=BaseModel)


class TerrainSettings(Strict):
    """Bare earth.

    With ``--terrain``, only ``snow`` and ``detail`` apply, and ``river`` to optical scenes: rivers
    are drawn where the land drains, and its heights stay.
    """

    steepness: Positive = Field(
        0.2, le=1.5, description="range of heights over the side of the scene"
    )
    roughness: float = Field(
        0.95, ge=0.3, le=1.2, description="Hurst exponent of the fractal; larger is smoother"
    )
    relief: float | None = Field(
        None, gt=0, le=6000, description="range of heights in metres; replaces steepness"
    )
    erosion: int = Field(
        16, ge=0, le=200, description="number of steps of river incision and soil creep"
    )
    cliffs: Share = Field(0.0, description="share of the area with cliffs")
    valleys: float = Field(
        1.0,
        ge=0.5,
        le=3,
        description="exponent of the heights: above 1, valleys are wide and flat and summits steep",
    )
    terraces: Share = Field(0.0, description="share of the area with terraces")
    terrace_height: float = Field(
        2.5, gt=0, le=30, description="height of one terrace step in metres"
    )
    river: float = Field(
        0.0, ge=0, le=2000, description="width of the largest river bed in metres; 0: no rivers"
    )
    snow: Share = Field(0.0, description="share of the area under snow, the highest ground first")
    detail: float = Field(
        1.0,
        ge=0,
        le=3,
        description="factor on the amplitude of the relief that is finer than the pixels of "
        "--terrain",
    )

    def relief_over(self, side: float) -> float:
        """Return the range of heights in metres over a side in metres."""
        return self.steepness * side if self.relief is None else self.relief


class WideTerrainSettings(TerrainSettings):
    """Bare earth over tens of kilometres."""

    steepness: float = Field(
        0.06, gt=0, le=1.5, description="range of heights over the side of the scene"
    )
    river: float = Field(
        60.0, ge=0, le=2000, description="width of the largest river bed in metres; 0: no rivers"
    )
    valleys: float = Field(
        1.3,
        ge=0.5,
        le=3,
        description="exponent of the heights: above 1, valleys are wide and flat and summits steep",
    )


class CoverSettings(Strict):
    """Land cover of a stereo scene, as shares of the area."""

    forest: Share = Field(0.3, description="share of the area with closed tree stands")
    town: Share = Field(0.15, description="share of the area with buildings and streets")
    water: Share = Field(0.02, description="share of the area under lakes, the lowest ground")
    crops: Share = Field(0.0, description="share of the area with crop fields, on gentle slopes")
    hedges: bool = Field(True, description="whether hedges grow along some field boundaries")
    single_trees: Share = Field(
        0.01, description="density of trees outside stands, as a share of the density inside"
    )
    trees_per_hectare: float = Field(
        300.0, gt=0, le=2000, description="trees per hectare in stands"
    )
    tree_height: tuple[Positive, Positive] = Field(
        (8.0, 28.0), description="lowest and highest trees in metres"
    )
    building_height: tuple[Positive, Positive] = Field(
        (4.0, 18.0), description="lowest and highest eaves in metres"
    )


class SunSettings(Strict):
    """Position of the sun."""

    azimuth: float = Field(
        155.0, ge=0, le=360, description="sun azimuth in degrees clockwise from north"
    )
    elevation: float = Field(
        48.0, gt=5, le=90, description="sun elevation in degrees above the horizon"
    )


class LightSettings(SunSettings):
    """Position of the sun at the left image, and its change until the right image."""

    later: float = Field(
        4.0, ge=-180, le=180, description="change of the sun azimuth at the right image in degrees"
    )
    higher: float = Field(
        0.0, ge=-60, le=60, description="change of the sun elevation at the right image in degrees"
    )
    change: float = Field(
        0.0,
        ge=0,
        le=1,
        description="change of reflectance at the right image: standard deviation of its logarithm",
    )


class SkySettings(Strict):
    """Atmosphere."""

    haze: float = Field(
        0.3, ge=0, le=1, description="haze: 0 is clear, 1 is thick; decreases with height"
    )
    clouds: Share = Field(0.0, description="share of the area under clouds")
    masked: bool = Field(
        True, description="whether clouds and their shadows are no data; thin edges stay"
    )


class SensorSettings(Strict):
    """Two pushbroom cameras with common epipolar lines."""

    turn: float | None = Field(
        None,
        ge=0,
        lt=360,
        description="angle between the epipolar lines and the rows of the map in degrees; empty: "
        "random, a quarter of the scenes at right angles",
    )
    incidence: tuple[float, float] = Field(
        (-12.0, 10.0), description="incidence angles of the left and right view in degrees"
    )
    blur: float = Field(
        0.5, ge=0, le=3, description="standard deviation of the point spread function in pixels"
    )
    noise: float = Field(
        0.012, ge=0, le=0.2, description="standard deviation of the noise as a share of full scale"
    )
    jitter: float = Field(
        0.15, ge=0, le=1, description="largest displacement of rows of the right image in pixels"
    )
    misregistration: float = Field(
        0.3, ge=0, le=1, description="shift of the right ortho and of NDVI in pixels"
    )
    multispectral: float = Field(
        4.0, ge=1, le=8, description="pixel size of the NDVI bands in pixels of the images"
    )
    saturated: Share = Field(
        0.0, description="share of the pixels of each image that are saturated, the brightest first"
    )


class OpticalSensorSettings(Strict):
    """A nadir-looking multispectral camera."""

    blur: float = Field(
        0.5, ge=0, le=3, description="standard deviation of the point spread function in pixels"
    )
    noise: float = Field(
        0.0015, ge=0, le=0.1, description="standard deviation of the noise in reflectance"
    )
    bands: tuple[ExtraBand, ...] = Field(
        (),
        description="bands in addition to blue, green, red and nir, at the pixel sizes of "
        "Sentinel-2",
    )


class MatcherSettings(Strict):
    """Semi-global matching."""

    kind: Literal["sgbm", "census"] = Field(
        "sgbm", description="cost: sgbm is OpenCV's StereoSGBM, census is census codes"
    )
    disparities: int | None = Field(
        None,
        ge=16,
        le=512,
        multiple_of=16,
        description="width of the disparity search range in pixels, centred on the coarse DEM; "
        "empty: the range of the scene",
    )
    slack: int = Field(
        6, ge=0, le=64, description="margin of the search range on each side in pixels"
    )
    block: int = Field(
        5, ge=1, le=11, description="side of the matching block of sgbm in pixels, odd"
    )
    smoothness: float = Field(
        1.0, ge=0.1, le=4, description="factor on the penalties of disparity changes"
    )
    uniqueness: int = Field(
        6, ge=0, le=50, description="least margin of the best cost over the second in per cent"
    )
    consistency: int = Field(
        1,
        ge=-1,
        le=8,
        description="largest left-right difference of disparities in pixels; -1: no check",
    )
    speckle: int = Field(
        60, ge=0, le=1000, description="size of the smallest kept patch in pixels; 0: no filter"
    )


class GriddingSettings(Strict):
    """From triangulated points to the raster of the DSM."""

    way: Literal["mean", "gaussian", "nearest", "highest"] = Field(
        "mean", description="how the points around a pixel are combined"
    )
    radius: float = Field(
        1.0, ge=0.5, le=3, description="search radius in pixels; mean always uses 1"
    )
    outliers: float = Field(
        0.0,
        ge=0,
        description="remove heights that differ from the 5 × 5 median by more than this number of "
        "typical differences; 0: remove none",
    )
    median: Literal[0, 3, 5] = Field(0, description="side of a median filter in pixels; 0: none")
    fill: int = Field(
        0, ge=0, le=16, description="fill holes up to twice this number of pixels wide"
    )


class PriorSettings(Strict):
    """The coarse elevation model of an optical scene."""

    gsd: float = Field(30.0, ge=20, le=120, description="pixel size in metres")
    noise: float = Field(
        1.5, ge=0, le=50, description="standard deviation of the noise on level ground in metres"
    )
    shift: float = Field(
        0.25, ge=0, le=2, description="largest horizontal shift in pixels of the prior"
    )
    canopy: Share = Field(0.5, description="share of the tree height that the prior contains")


class StereoSettings(Strict):
    """A simulated stereo scene."""

    family: Literal["stereo"] = "stereo"
    size: int = Field(512, ge=64, le=8192, description="side of the scene in pixels")
    gsd: float = Field(0.5, ge=0.25, le=2, description="pixel size in metres")
    terrain: TerrainSettings = TerrainSettings()
    cover: CoverSettings = CoverSettings()
    light: LightSettings = LightSettings()
    sensor: SensorSettings = SensorSettings()
    matcher: MatcherSettings = MatcherSettings()
    gridding: GriddingSettings = GriddingSettings()


class OpticalSettings(Strict):
    """A simulated scene with one multispectral image."""

    family: Literal["optical"] = "optical"
    size: int = Field(512, ge=64, le=12288, description="side of the scene in pixels")
    gsd: float = Field(10.0, ge=10, le=30, description="pixel size in metres")
    terrain: WideTerrainSettings = WideTerrainSettings()
    landscape: LandscapeSettings = LandscapeSettings()
    light: SunSettings = SunSettings()
    sky: SkySettings = SkySettings()
    sensor: OpticalSensorSettings = OpticalSensorSettings()
    product: ProductSettings = ProductSettings()
    prior: PriorSettings = PriorSettings()


def make_stereo_settings(content: Mapping[str, Any], where: str) -> StereoSettings:
    """Validate the settings of a stereo scene.

    Parameters
    ----------
    content
        Nested settings; defaults for the rest.
    where
        Name of the source, for messages.

    Raises
    ------
    ConfigError
        Names the key of the first fault.
    """
    settings = _validated(StereoSettings, content, where)
    left, right = settings.sensor.incidence
    if not 5 <= right - left <= 50:
        raise ConfigError(
            f"{where}: sensor.incidence: the convergence angle is {right - left:g} degrees",
            "choose left below right by 5 to 50 degrees",
        )
    if settings.matcher.block % 2 == 0:
        raise ConfigError(
            f"{where}: matcher.block is {settings.matcher.block}", "choose an odd number"
        )
    _check_relief(settings.terrain, settings.size * settings.gsd, where)
    cover = settings.cover
    _check_shares(where, "cover", cover.forest, cover.town, cover.water, cover.crops)
    return settings


def make_optical_settings(content: Mapping[str, Any], where: str) -> OpticalSettings:
    """Validate the settings of an optical scene; see :func:`make_stereo_settings`."""
    settings = _validated(OpticalSettings, content, where)
    _check_relief(settings.terrain, settings.size * settings.gsd, where)
    low, high = settings.product.stretch
    if not 0 <= low < high <= 100:
        raise ConfigError(
            f"{where}: product.stretch is {low:g} to {high:g}",
            "choose percentiles between 0 and 100, the lower first",
        )
    land = settings.landscape
    _check_shares(where, "landscape", land.forest, land.crops, land.town, land.water)
    return settings


def _validated(model: type[_Model], content: Mapping[str, Any], where: str) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = f"{where}: {first_fault(error)}"
        raise ConfigError(fault, "see: demiurge simulate --help") from None


def _check_relief(terrain: TerrainSettings, side: float, where: str) -> None:
    """Raise ConfigError if the range of heights exceeds 1.5 times the side of the scene."""
    if terrain.relief_over(side) > 1.5 * side:
        raise ConfigError(
            f"{where}: terrain.relief is {terrain.relief:g} m over a side of {side:g} m",
            f"choose at most {1.5 * side:g}, or a larger --size or --gsd",
        )


def _check_shares(where: str, key: str, *shares: float) -> None:
    """Raise ConfigError if the shares of the area sum to more than 1."""
    if sum(shares) > 1:
        raise ConfigError(f"{where}: {key}: the shares sum to more than 1", "lower them")
