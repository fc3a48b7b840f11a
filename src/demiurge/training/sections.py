"""Sections of a recipe: chips, augmentation, split, loss, optimiser, heights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from demiurge.config import Strict

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Section(Strict):
    """Settings whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class ChipSettings(Section):
    """Square windows of scenes that the network is trained on."""

    size: int = Field(256, ge=32, le=1024, multiple_of=32, description="side in pixels")
    per_epoch: int = Field(2000, gt=0, description="chips per epoch")
    batch: int = Field(8, gt=0, description="chips per step")
    min_truth: Share = Field(0.2, description="minimum share of a chip with known truth")
    scales: list[Annotated[int, Field(ge=1, le=16)]] = Field(
        [1],
        min_length=1,
        description="factors by which pixels are averaged: chips are also taken from the scenes at "
        "coarser resolutions, where they cover a wider area",
    )
    draw: Literal["area", "scenes"] = Field(
        "area",
        description="probability of a scene: by its area in pixels, or the same for all scenes and "
        "scales",
    )


class AugmentSettings(Section):
    """Random changes of training chips. The truth stays valid."""

    flip: bool = Field(True, description="random flips and rotations by 90 degrees")
    diagonal: bool = Field(
        False,
        description="random mirroring across the diagonal from north-west to south-east; light "
        "from the north-west keeps its direction",
    )
    swap_images: bool = Field(False, description="randomly exchange the left and the right image")
    voids: Share = Field(0.0, description="share of chips with a void cut into the base heights")
    drop_layers: Share = Field(
        0.0, description="probability that an optional layer is removed from a chip"
    )
    brightness: Share = Field(
        0.0, description="standard deviation of random gain and offset of images"
    )
    colours: Share = Field(
        0.0,
        description="share of chips whose red, green and blue get another tone curve, and partly "
        "other colours: exchanged, grey, or infrared false colour made from them",
    )
    texture: Share = Field(
        0.0,
        description="maximum noise and random albedo patches added to images, relative to their "
        "standard deviation",
    )
    margins: Share = Field(
        0.0, description="share of chips with a margin of no data, as at the edge of a raster"
    )
    good_inputs: Share = Field(
        0.0,
        description="share of chips whose DSM is replaced by the true surface or a slightly "
        "degraded one, so that the network learns to keep accurate heights",
    )
    waves: Share = Field(
        0.0, description="share of the other chips whose DSM gets smooth, correlated errors"
    )
    foreign_images: Share = Field(
        0.0,
        description="share of chips whose images are replaced by those of another place, so that "
        "the network learns to ignore images that disagree with the base",
    )
    made_priors: Share = Field(
        0.0, description="share of chips whose coarse prior is replaced by one made from the truth"
    )


class SplitSettings(Section):
    """Split of the places into training and validation."""

    by: Literal["auto", "scenes", "stripes"] = Field(
        "auto",
        description="validate on entire places, or on a stripe of each place; auto: entire places "
        "if there are at least four (overlapping scenes are one place)",
    )
    validation: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.2, description="share of the places that validates"
    )
    axis: Literal["x", "y"] = Field(
        "x", description="order of the stripes: x from west to east, y from north to south"
    )
    buffer: int | None = Field(
        None, ge=0, description="pixels between training and validation; empty: the chip size"
    )


class LossSettings(Section):
    """Weights of the terms of the loss."""

    absolute: NonNegative = Field(1.0, description="weight of the mean absolute error")
    gradient: NonNegative = Field(
        0.0, description="weight of the error of height differences between neighbours"
    )
    strides: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1], min_length=1, description="distances in pixels of the differences of the gradient term"
    )
    by_relief: bool = Field(
        False,
        description="divide the errors of relative heights by the standard deviation of the chip's "
        "truth, so that flat and steep places have the same weight",
    )
    uncertainty: NonNegative = Field(
        0.1, description="weight of the Laplace likelihood; 0: the network predicts no uncertainty"
    )
    adversarial: NonNegative = Field(
        0.0, description="weight of the adversarial loss; 0 disables the discriminator"
    )
    judge_width: int = Field(
        64, gt=0, description="number of channels of the discriminator's first layer"
    )


class OptimiserSettings(Section):
    """Optimiser and learning rate."""

    name: Literal["adam", "adamw"] = Field("adamw", description="optimiser")
    rate: Positive = Field(1e-3, description="maximum learning rate")
    decay: NonNegative = Field(1e-2, description="weight decay")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="beta 1 of Adam; onecycle varies it between 0.85 and 0.95"
    )
    schedule: Literal["onecycle", "plateau", "constant"] = Field(
        "onecycle", description="learning rate: one-cycle, reduce on plateau, or constant"
    )


class HeightSettings(Section):
    """Scaling of heights to about unit size."""

    unit: Literal["metres", "pixels"] = Field("metres", description="unit of `scale`")
    scale: Positive | None = Field(
        None, description="height of one unit of the network; empty: measured on the chips"
    )
    relative: bool = Field(
        False, description="learn heights up to an unknown offset (without a base)"
    )
    scaled: bool = Field(
        False,
        description="divide the relative heights of each chip by their standard deviation",
    )
