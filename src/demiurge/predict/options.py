"""Options of ``refine``, ``generate`` and ``imagine``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.errors import UsageError
from demiurge.layers import layer
from demiurge.model.backend.base import PrecisionName, RuntimeName
from demiurge.paths import PathLike, RasterLike
from demiurge.scene.options import DirectionValue, NoDataOption, RawOptions, direction_flag

if TYPE_CHECKING:
    from demiurge.model.bundle import Bundle
else:
    Bundle = Any  # help is shown without loading the modules of bundles

Target = Literal["dsm", "dtm", "both"]

#: Command-line options that name the file of a layer.
OPTION_OF = {
    "ortho_left": "--left",
    "ortho_right": "--right",
    "triangulation_error": "--triangulation-error",
    "ndvi": "--ndvi",
    "dem_prior": "--prior",
}

_SURFACES = ("refine", "generate")


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("is not a number")
    return value


RasterOption = Annotated[RasterLike | None, Flag(path="raster")]
Number = Annotated[float, AfterValidator(_not_nan)]


class Options(OptionModel):
    """How a bundle is applied."""

    target: Annotated[Target | None, Flag(only=_SURFACES)] = Field(
        None, description="Heights to write; all that the bundle predicts if not given."
    )
    window: Annotated[
        int | None, Flag(cure="choose a multiple of 32 from 64 to 4096", tier="expert")
    ] = Field(
        None,
        ge=64,
        le=4096,
        multiple_of=32,
        description="Side of a window in pixels; that of the bundle if not given.",
    )
    overlap: Annotated[Number | None, Flag(cure="choose a share from 0 to 0.9", tier="expert")] = (
        Field(
            None,
            ge=0,
            le=0.9,
            description="Share of a window that overlaps the next one; that of the bundle if not "
            "given.",
        )
    )
    in_flight: Annotated[int, Flag(name="--batch", tier="expert")] = Field(
        4, ge=1, description="Windows processed at the same time; does not change the result."
    )
    runtime: Annotated[Literal["auto", RuntimeName], Flag(tier="expert")] = Field(
        "auto",
        description="Inference runtime; auto is torch on a GPU, else openvino.",
    )
    precision: Annotated[Literal["auto", PrecisionName], Flag(tier="expert")] = Field(
        "auto", description="Precision of the network; auto is the one the bundle allows."
    )
    tta: Annotated[Literal[1, 2, 4, 8], Flag(only=_SURFACES)] = Field(
        1,
        description="Test-time augmentation: average this many orientations of each window.",
    )
    prior_accuracy: Annotated[
        Number | None, Flag(cure="choose 0 or more metres, or inf", only=("generate",))
    ] = Field(
        None,
        ge=0,
        description="Standard deviation in metres of the prior's errors at its own pixel size. "
        "0: the prior is exact. inf: the prior is ignored. If not given, the value that the bundle "
        "measured on its training priors; without one, errors of at most 3 m are assumed.",
    )
    detail: Annotated[
        Number | None,
        Flag(cure="choose a share from 0 to 1", tier="expert", only=("generate",)),
    ] = Field(
        None,
        ge=0,
        le=1,
        description="Share of the predicted detail within the prior's pixels that is kept; "
        "assessed on the scene at reduced resolution if not given.",
    )
    reconcile: Annotated[bool, Flag(tier="expert", only=("generate",))] = Field(
        True, description="Adjust windows of relative heights to each other before blending."
    )
    points: Annotated[str | Path | None, Flag(metavar="FILE", only=_SURFACES, path="points")] = (
        Field(
            None,
            description="Ground control points that the heights are fitted to: CSV, GeoPackage, "
            "LAS or LAZ.",
        )
    )
    points_crs: Annotated[str | None, Flag(metavar="CRS", only=_SURFACES)] = Field(
        None, description="CRS of the points, if the file has none."
    )
    keep_voids: Annotated[bool, Flag(only=_SURFACES)] = Field(
        False, description="Keep the voids of the input; they are filled otherwise."
    )
    ground: Annotated[Literal["wide", "network", "interpolated"], Flag(only=("refine",))] = Field(
        "wide",
        description="Bare earth under large roofs: lowered to what the network predicts at coarser "
        "pixels, where it sees further; that of the network alone; or interpolated from the "
        "reliable ground around them, which is better in some towns and worse in closed forest.",
    )
    any_pixel_size: Annotated[bool, Flag(tier="expert")] = Field(
        False, description="Accept pixel sizes outside the bundle's range."
    )
    any_input: Annotated[bool, Flag(tier="expert", only=("refine",))] = Field(
        False, description="Accept a DSM that is cleaner than those the bundle is made for."
    )
    cluster: Annotated[str | None, Flag(metavar="ADDRESS", tier="expert", only=_SURFACES)] = Field(
        None,
        description="Run on a Dask cluster: local:N, or tcp://host:port of a scheduler.",
    )
    stac: Annotated[bool, Flag(tier="expert", only=_SURFACES)] = Field(
        False, description="Write a STAC item next to the result."
    )
    overwrite: Overwrite = False
    quiet: Quiet = True

    def engine(self) -> Options:
        """Return the options without the inputs that a subclass adds."""
        return Options(**self.subset(Options))


class _Call(Options):
    """What both tasks take in addition to inputs."""

    nodata: NoDataOption = None
    bundle: Annotated[PathLike | Bundle | None, Flag(metavar="BUNDLE", path="bundle")] = Field(
        None, description="Bundle file, or name of a shipped bundle; the shipped one if not given."
    )
    options: Annotated[Options | None, Flag(only=("python",))] = Field(
        None, description="Ready options; keywords override its values."
    )


class RefineOptions(_Call, RawOptions):
    """Inputs and options of ``refine``."""

    left: RasterOption = Field(None, description="Left orthoimage, or raw image with RPCs.")
    right: RasterOption = Field(None, description="Right orthoimage, or raw image with RPCs.")
    left_rpc: Annotated[PathLike | None, Flag(metavar="FILE", path="file")] = Field(
        None,
        description="RPCs of the left raw image, if its tags have none: _RPC.TXT, .RPB, Maxar XML "
        "or DIMAP XML.",
    )
    right_rpc: Annotated[PathLike | None, Flag(metavar="FILE", path="file")] = Field(
        None, description="RPCs of the right raw image, as for --left-rpc."
    )
    triangulation_error: RasterOption = Field(None, description="Triangulation error in metres.")
    ndvi: RasterOption = Field(None, description="NDVI, -1 to 1.")


def read_bands(text: str) -> dict[str, int]:
    """Read ``red=1,green=2``: band numbers by layer."""
    bands = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if not number.strip().isdigit():
            raise UsageError(f"--bands {text}: '{part}' is no band", "write red=1,green=2,blue=3")
        bands[layer(name.strip()).name] = int(number)
    return bands


class GenerateOptions(_Call):
    """Inputs and options of ``generate``."""

    prior: RasterOption = Field(
        None,
        description="Coarse elevation model in metres; the result has its vertical reference.",
    )
    bands: Annotated[dict[str, int] | None, Flag(metavar="BANDS", parse=read_bands)] = Field(
        None,
        description="Band numbers by layer, such as red=1,green=2,blue=3, if the file does not "
        "describe its bands.",
    )
    gsd: Annotated[float | None, Flag(cure="choose a number of metres above 0")] = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Pixel size in metres of an image without georeference; the bundle's if not "
        "given.",
    )
    sun: Annotated[DirectionValue | None, direction_flag("--sun")] = Field(
        None,
        description="Direction to the sun when the image was taken: azimuth clockwise from grid "
        "north (of an image without georeference, from its upper edge) and elevation above the "
        "horizon, in degrees. It goes before that of the scene, the metadata files and the tags. "
        "Only bundles that take the sun use it.",
    )


class ImagineOptions(Options):
    """Options of ``imagine``."""

    bundle: Annotated[PathLike | Bundle, Flag(metavar="BUNDLE", path="bundle")] = Field(
        description="Bundle of a recipe whose task is imagine."
    )
    options: Annotated[Options | None, Flag(only=("python",))] = Field(
        None, description="Ready options; keywords override its values."
    )
