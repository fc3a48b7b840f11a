"""``scene.yaml``: what a scene folder says of itself, checked by pydantic."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from demiurge import layers
from demiurge.config import Strict, first_fault, read_yaml
from demiurge.errors import ConfigError, DemiurgeError

SPEC_NAME = "scene.yaml"


class GridSpec(Strict):
    """The scene's grid: CRS, affine and shape."""

    crs: str = Field(description="CRS as EPSG code or WKT")
    transform: tuple[float, float, float, float, float, float] = Field(
        description="affine as a, b, c, d, e, f: x = a·col + b·row + c, y = d·col + e·row + f"
    )
    height: Annotated[int, Field(gt=0, description="rows")]
    width: Annotated[int, Field(gt=0, description="columns")]


class LayerSpec(Strict):
    """Where one layer lies."""

    file: str = Field(description="path relative to scene.yaml, or a GDAL URL")
    band: Annotated[int, Field(gt=0)] | None = Field(
        None, description="counted from 1; left out: the band that its description tells"
    )
    equalised: bool = Field(False, description="contrast already equalised to 0 … 1")
    nodata: list[float] | None = Field(
        None, description="no data besides what the file declares; empty: nothing else is"
    )
    native: GridSpec | None = Field(
        None, description="grid of the coarser file that it was warped from"
    )


class Vertical(Strict):
    """What the heights are above."""

    reference: Literal["ellipsoidal", "orthometric", "unknown"] = "unknown"
    datum: str = Field("", description="name of the vertical datum or geoid, if known")

    def __str__(self) -> str:
        return f"{self.reference} ({self.datum})" if self.datum else self.reference


class Angles(Strict):
    """Direction to the sun or to a sensor, in degrees."""

    azimuth: Annotated[float, Field(ge=0, le=360, description="clockwise from north")]
    elevation: Annotated[float, Field(ge=-90, le=90, description="above the horizon")]


class SceneSpec(Strict):
    """The content of ``scene.yaml``."""

    format: Literal[1] = 1
    name: str = ""
    grid: GridSpec | None = Field(None, description="left out: the grid of the first height layer")
    vertical: Vertical = Vertical()
    acquired: list[dt.date] = Field(default_factory=list, description="dates of the images")
    sun: Angles | None = None
    views: list[Angles] = Field(default_factory=list)
    layers: dict[str, LayerSpec]
    sources: dict[str, str] = Field(
        default_factory=dict, description="file name each layer was prepared from"
    )

    @field_validator("layers")
    @classmethod
    def _known(cls, value: dict[str, LayerSpec]) -> dict[str, LayerSpec]:
        if not value:
            raise ValueError("names no layer")
        for name in value:
            try:
                layers.layer(name)
            except DemiurgeError as error:
                raise ValueError(str(error).rstrip(".")) from None
        return value


def load_spec(path: Path) -> SceneSpec:
    """Read and check ``scene.yaml``."""
    content = read_yaml(path, "scene")
    try:
        return SceneSpec.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_fault(error)}", "correct the scene file") from None


def dump_spec(spec: SceneSpec) -> str:
    """Return a spec as YAML text, without what was never set."""
    content = spec.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump({"format": spec.format, **content}, sort_keys=False, allow_unicode=True)
