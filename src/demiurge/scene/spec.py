"""Schema of ``scene.yaml``, the description of a scene folder."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

import yaml
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pydantic import Field, ValidationError, field_validator

from demiurge import layers
from demiurge.config import Strict, first_fault, read_yaml
from demiurge.errors import ConfigError, DemiurgeError, UsageError
from demiurge.scene.camera import Direction
from demiurge.scene.crs import parse_crs

SPEC_NAME = "scene.yaml"
#: Name of the reference of an alignment in ``--vertical``.
REFERENCE = "reference"


class GridSpec(Strict):
    """A grid: CRS, affine and shape."""

    crs: str = Field(description="CRS as EPSG code or WKT")
    transform: tuple[float, float, float, float, float, float] = Field(
        description="affine as a, b, c, d, e, f: x = a·col + b·row + c, y = d·col + e·row + f"
    )
    height: Annotated[int, Field(gt=0, description="rows")]
    width: Annotated[int, Field(gt=0, description="columns")]


def grid_of_spec(spec: GridSpec, where: str) -> GeoBox:
    """Return the grid that a spec describes.

    Parameters
    ----------
    where
        File and key of the spec, for error messages.

    Raises
    ------
    ConfigError
        If the CRS is invalid.
    """
    try:
        crs = CRS(parse_crs(spec.crs))
    except UsageError as error:
        raise ConfigError(f"{where}.crs: {error.what}", error.cure) from None
    return GeoBox((spec.height, spec.width), Affine(*spec.transform), crs)


class Vertical(Strict):
    """Vertical reference of heights."""

    reference: Literal["ellipsoidal", "orthometric", "unknown"] = "unknown"
    datum: str = Field("", description="name of the vertical datum or geoid, if known")

    def __str__(self) -> str:
        return f"{self.reference} ({self.datum})" if self.datum else self.reference


class GeoidStep(Strict):
    """One step of a transformation of heights, through heights above the ellipsoid."""

    operation: str = Field(description="name of the operation in PROJ")
    definition: str = Field(description="PROJ pipeline")
    grids: list[str] = Field(default_factory=list, description="names of the geoid grids")


class HeightTransformation(Strict):
    """Transformation of the heights of a layer between vertical references."""

    source: Vertical
    target: Vertical
    steps: list[GeoidStep] = Field(description="operations of PROJ, in order")
    least: float = Field(description="metres added, at least")
    most: float = Field(description="metres added, at most")

    def __str__(self) -> str:
        made = ", ".join(
            f"{step.operation} [{', '.join(step.grids)}]" if step.grids else step.operation
            for step in self.steps
        )
        return (
            f"heights transformed from {self.source} to {self.target} ({made}): "
            f"{self.least:+.3f} to {self.most:+.3f} m added"
        )


class LayerSpec(Strict):
    """File and band of one layer."""

    file: str = Field(description="path relative to scene.yaml, or a GDAL URL")
    band: Annotated[int, Field(gt=0)] | None = Field(
        None, description="counted from 1; if omitted, the band whose description names the layer"
    )
    equalised: bool = Field(False, description="contrast already equalised to 0 … 1")
    nodata: list[float] | None = Field(
        None, description="no-data values in addition to the declared one; empty: no others"
    )
    native: GridSpec | None = Field(
        None, description="grid of the coarser file that the layer was warped from"
    )
    vertical: Vertical | None = Field(
        None, description="vertical reference that its file or the user declares"
    )
    transformation: HeightTransformation | None = Field(
        None, description="transformation of its heights to that reference"
    )


class AlignmentSpec(Strict):
    """Translation that moved DSM, images and the other layers of a pair onto a reference."""

    east: float = Field(description="metres")
    north: float = Field(description="metres")
    up: float = Field(description="metres, of the heights only")
    nmad_before: float = Field(description="metres, on stable ground")
    nmad_after: float = Field(description="metres, on stable ground")
    pixels: int = Field(description="number of stable pixels")


class SceneSpec(Strict):
    """Content of ``scene.yaml``."""

    format: Literal[1] = 1
    name: str = ""
    grid: GridSpec | None = Field(None, description="if omitted, the grid of the leading layer")
    vertical: Vertical = Vertical()
    acquired: list[dt.date] = Field(default_factory=list, description="dates of the images")
    sun: Direction | None = Field(None, description="direction to the sun at the first image")
    views: list[Direction | None] = Field(
        default_factory=list,
        description="direction to the sensor by image, left first; null if unknown",
    )
    layers: dict[str, LayerSpec]
    sources: dict[str, str] = Field(
        default_factory=dict, description="name of the source file by layer"
    )
    items: list[str] = Field(
        default_factory=list, description="items of imagery services that the layers are made of"
    )
    credits: list[str] = Field(
        default_factory=list, description="attributions that the owners of the data require"
    )
    alignment: AlignmentSpec | None = Field(None, description="translation of the pair")
    use: Literal["training", "validating"] | None = Field(
        None, description="use in a training that splits by scenes"
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
    """Read and validate ``scene.yaml``.

    Raises
    ------
    ResourceError, ConfigError
        If the file does not exist or violates the schema.
    """
    content = read_yaml(path, "scene")
    try:
        return SceneSpec.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_fault(error)}", "correct the scene file") from None


def dump_spec(spec: SceneSpec) -> str:
    """Return a spec as YAML text, without fields that are not set."""
    content = spec.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump({"format": spec.format, **content}, sort_keys=False, allow_unicode=True)
