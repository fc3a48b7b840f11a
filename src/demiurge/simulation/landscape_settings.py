"""Settings of the land cover and the product of an optical scene."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from demiurge.config import Strict

Share = Annotated[float, Field(ge=0, le=1)]


class LandscapeSettings(Strict):
    """Land cover of an optical scene, and the limits that place it."""

    latitude: float = Field(
        45.0,
        ge=-90,
        le=90,
        description="degrees north: snow and forest prefer slopes that face the nearer pole; "
        "--vary draws the sun from it",
    )
    lowest: float = Field(
        250.0, ge=-400, le=6000, description="height of the lowest ground in metres"
    )
    treeline: float | None = Field(
        None,
        ge=0,
        le=6000,
        description="upper limit of forest in metres above sea level; empty: bare decides",
    )
    snowline: float | None = Field(
        None,
        ge=0,
        le=7000,
        description="lower limit of snow on level ground in metres above sea level; empty: snow "
        "decides",
    )
    bare: Share = Field(
        0.0, description="share of the area above the treeline, if that is not given"
    )
    snow: Share = Field(
        0.0, description="share of the area above the snow line, if that is not given"
    )
    forest: Share = Field(0.35, description="share of the area with forest, below the treeline")
    crops: Share = Field(0.25, description="share of the area with crops, on low, gentle ground")
    town: Share = Field(0.01, description="built-up share of the area, on low, gentle ground")
    water: Share = Field(0.01, description="share of the area under lakes, the lowest ground")
    dry: Share = Field(0.2, description="share of the river beds without water, bright gravel")
    moisture: Share = Field(0.6, description="climate: 0 is desert, 1 is rain forest")
    field: float = Field(200.0, ge=30, le=2000, description="side of a crop field in metres, about")
    conifers: Share = Field(0.3, description="share of dark conifers in forest below the treeline")
    roads: int = Field(3, ge=0, le=100, description="number of roads along valleys")
    contrast: float = Field(
        0.2,
        ge=0,
        le=1,
        description="variation of the brightness within classes by soil, rock and plants: standard "
        "deviation of its logarithm",
    )
    minnaert: float = Field(
        0.75,
        gt=0,
        le=1,
        description="exponent k of Minnaert's law of reflection: 1 is Lambert's, lower values "
        "shade less, as rough plant cover does",
    )


class ProductSettings(Strict):
    """What the pixels of an optical image are."""

    kind: Literal["surface", "toa", "dn16", "dn8", "picture"] = Field(
        "surface",
        description="surface, toa: 10,000 times the reflectance of the surface or at the top of "
        "the atmosphere. dn16, dn8: digital numbers as of Landsat 8 and of Landsat 5 and 7. "
        "picture: 8 bits, each band stretched between two percentiles",
    )
    stretch: tuple[float, float] = Field(
        (2.0, 98.0), description="percentiles of the stretch of pictures"
    )
    jpeg: int | None = Field(
        None, ge=20, le=100, description="JPEG quality of pictures; empty: not compressed"
    )
