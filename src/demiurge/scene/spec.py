"""``scene.yaml``: what a scene folder says of itself, checked by pydantic."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from demiurge import layers
from demiurge.errors import ConfigError, DemiurgeError, ResourceError

SPEC_NAME = "scene.yaml"


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


def first_fault(error: ValidationError) -> str:
    """Return pydantic's first complaint as ``key: what``."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "is not a known key"
    return f"{key}: {message}" if key else message


#: libyaml's loader, many times faster, where PyYAML was built with it.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    ResourceError, ConfigError
        If the file is missing, or holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _SafeLoader)
    except FileNotFoundError:
        raise ResourceError(f"{path}: there is no such {what}", "check the path") from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" at line {line + 1}" if line is not None else ""
        raise ConfigError(f"{path}: is not valid YAML{where}", "mend it or make it anew") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no keys", f"see the documentation of a {what}")
    return content


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
