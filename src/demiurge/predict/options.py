"""What a user can decide about how a bundle is applied."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from demiurge.config import Strict
from demiurge.errors import UsageError
from demiurge.model.backend.choose import PrecisionChoice, RuntimeChoice

Target = Literal["dsm", "dtm", "both"]

#: The options of the command line by which a layer is given.
OPTION_OF = {
    "ortho_left": "--left",
    "ortho_right": "--right",
    "triangulation_error": "--triangulation-error",
    "ndvi": "--ndvi",
    "dem_prior": "--prior",
}

#: What the command line calls a field, where that is not its name.
_FLAGS = {"in_flight": "--batch", "reconcile": "--no-reconcile"}
#: What to do about a value that a field refuses.
_CURES = {
    "target": "choose dsm, dtm or both",
    "window": "choose a multiple of 32 from 64 to 4096",
    "overlap": "choose a share from 0 to 0.9",
    "in_flight": "choose 1 or more",
    "runtime": "choose auto, openvino, onnxruntime or torch",
    "precision": "choose auto, f32 or bf16",
    "tta": "choose 1, 2, 4 or 8",
    "prior_accuracy": "choose 0 or more metres, or inf",
    "detail": "choose a share from 0 to 1",
}


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("is no number")
    return value


Number = Annotated[float, AfterValidator(_not_nan)]


class Options(Strict):
    """How a bundle is applied; the command line and Python share its checks.

    Raises
    ------
    UsageError
        For a value that makes no sense, or a name that is no option.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    target: Target | None = Field(
        None, description="heights to write; None for all that the bundle predicts"
    )
    window: int | None = Field(
        None, ge=64, le=4096, multiple_of=32, description="side of a window in pixels"
    )
    overlap: Number | None = Field(
        None, ge=0, le=0.9, description="share of a window that neighbours have in common"
    )
    in_flight: int = Field(
        4, ge=1, description="windows worked on at a time; does not change the result"
    )
    runtime: RuntimeChoice = Field(
        "auto", description="what runs the network; auto takes the fastest installed"
    )
    precision: PrecisionChoice = Field(
        "auto", description="auto takes what the bundle was checked for"
    )
    tta: Literal[1, 2, 4, 8] = Field(
        1, description="orientations of each window to average, of those that the bundle learned"
    )
    keep_voids: bool = Field(False, description="leave voids of the initial heights void")
    reconcile: bool = Field(
        True, description="bring windows of relative heights to one level before blending"
    )
    any_pixel_size: bool = Field(
        False, description="go on where the pixel size is outside the bundle's range"
    )
    any_input: bool = Field(
        False, description="go on where the DSM is cleaner than those the bundle is made for"
    )
    prior_accuracy: Number | None = Field(
        None,
        ge=0,
        description="standard deviation in metres of a prior's errors at its own pixels. "
        "0: the prior is exact. inf: the prior is ignored. None: what the bundle measured on the "
        "real priors it learned from, else as 0",
    )
    detail: Number | None = Field(
        None,
        ge=0,
        le=1,
        description="share that is kept of what the bundle adds within a prior's pixels; judged on "
        "the scene at reduced resolution if None",
    )
    points: str | Path | None = Field(
        None, description="file of ground points that the heights are fitted to"
    )
    points_crs: str | None = Field(None, description="CRS of the points, if the file has none")
    cluster: str | None = Field(
        None, description="local:N or the address of a Dask scheduler; None: this process alone"
    )
    stac: bool = Field(False, description="write a STAC item beside the result")
    overwrite: bool = Field(False, description="replace what is there")
    quiet: bool = Field(True, description="show no progress")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _sentence(error) from None


def _sentence(error: ValidationError) -> UsageError:
    """Return pydantic's first complaint as a sentence with its cure."""
    fault = error.errors()[0]
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        names = ", ".join(Options.model_fields)
        return UsageError(f"'{name}' is no option", f"choose among {names}")
    value = fault["input"]
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    default = Options.model_fields[name].default
    kind = "true or false" if isinstance(default, bool) else "a text"
    return UsageError(f"{flag} is {shown}", _CURES.get(name, f"give {kind}"))
