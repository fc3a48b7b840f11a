"""Options of ``train`` and ``plan``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from demiurge.config import Flag, OptionModel, Overwrite, Quiet
from demiurge.paths import PathLike

Changes = Annotated[
    list[str],
    Flag(name="--set", metavar="KEY=VALUE"),
    Field(default_factory=list, description="Change a setting of the recipe: chips.size=128."),
]


class PlanOptions(OptionModel):
    """Options of ``plan``."""

    scenes: Annotated[list[PathLike], Flag(argument=True, path="folder")] = Field(
        min_length=1, description="Prepared scenes with truth layers."
    )
    output: Annotated[
        PathLike | None, Flag(short="-o", path="file", suffixes=(".yaml", ".yml"))
    ] = Field(None, description="YAML file to write, for train --plan; none if not given.")
    recipe: Annotated[str, Flag(metavar="RECIPE")] = Field(
        "demiurge", description="Shipped recipe or YAML file."
    )
    changes: Changes
    overwrite: Overwrite = False
    quiet: Quiet = True


class TrainOptions(OptionModel):
    """Options of ``train``."""

    scenes: Annotated[list[PathLike], Flag(argument=True, path="folder")] = Field(
        [], description="Prepared scenes with truth layers."
    )
    output: Annotated[PathLike, Flag(short="-o", path="file", suffixes=(".bundle",))] = Field(
        description="Bundle to write."
    )
    recipe: Annotated[str | None, Flag(metavar="RECIPE")] = Field(
        None,
        description="Shipped recipe or YAML file; that of the bundle given by --from, or demiurge, "
        "if not given.",
    )
    changes: Changes
    encoder: Annotated[str | None, Flag(metavar="NAME")] = Field(
        None,
        description="Encoder that starts from pretrained weights: resnet34, or tu-NAME for an "
        "encoder of timm.",
    )
    plan: Annotated[PathLike | None, Flag(path="file")] = Field(
        None, description="Plan of demiurge plan with scenes and settings; needs no scenes."
    )
    begin_from: Annotated[PathLike | None, Flag(name="--from", metavar="BUNDLE", path="bundle")] = (
        Field(None, description="Bundle to fine-tune; it must have the same layers and targets.")
    )
    folds: int | None = Field(
        None,
        ge=3,
        description="Cross-validate: divide each place into this many stripes and train a network "
        "per stripe.",
    )
    stripes: Literal["vertical", "horizontal"] = Field(
        "vertical",
        description="Stripes of --folds: vertical ones lie next to each other from west to east.",
    )
    credits: Annotated[list[str], Flag(name="--credit")] = Field(
        [], description="Credit of the data's owner, recorded in the bundle."
    )
    log: Annotated[PathLike | None, Flag(metavar="FOLDER", path="folder", suffixes=("/",))] = Field(
        None, description="Folder for metrics and pictures; OUTPUT.log if not given."
    )
    no_log: bool = Field(False, description="Write no such folder.")
    resume: bool = Field(False, description="Continue an interrupted training.")
    devices: Annotated[
        PositiveInt | Literal["auto"],
        Flag(metavar="N|auto", cure="give a number above 0, or auto", tier="expert"),
    ] = Field("auto", description="Number of devices (GPUs, or processes on the CPU).")
    nodes: Annotated[int, Flag(tier="expert")] = Field(1, ge=1, description="Number of machines.")
    overwrite: Overwrite = False
    quiet: Quiet = True
