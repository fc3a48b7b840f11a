"""Recipes: all settings of a training, typed, with a help text for every field."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from demiurge import layers as vocabulary
from demiurge.config import Strict, first_fault, read_yaml
from demiurge.errors import ConfigError, DemiurgeError, ResourceError
from demiurge.model.clean import CleanInput
from demiurge.model.contract import Width
from demiurge.model.settings import NetworkSettings

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class _Settings(Strict):
    """Settings whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class ChipSettings(_Settings):
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


class AugmentSettings(_Settings):
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


class SplitSettings(_Settings):
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


class LossSettings(_Settings):
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


class OptimiserSettings(_Settings):
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


class HeightSettings(_Settings):
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


class Recipe(_Settings):
    """All settings of a training."""

    name: str = Field("custom", description="name of the bundle")
    about: str = Field("", description="description in one line")
    task: Literal["refine", "generate", "imagine"] = Field(
        description="command that applies the bundle"
    )
    layers: list[str] = Field(min_length=1, description="input layers of the network")
    optional: list[str] = Field(
        default_factory=list,
        description="layers that may be missing; without an optional base, heights are relative",
    )
    base: str | None = Field(None, description="height layer that the network corrects")
    targets: list[vocabulary.Target] = Field(min_length=1, description="output layers")
    ground: list[Positive] = Field(
        default_factory=list,
        description="sides in metres of morphological openings of the base, each an input of the "
        "network; the DTM is a correction of the last",
    )
    relief: list[Width] = Field(
        default_factory=list,
        description="widths in pixels, powers of two; for each, the base less its mean over that "
        "width is an input of the network, so that small forms are visible among large ones",
    )
    local: Width | None = Field(
        None,
        description="width in pixels, a power of two: the network sees the base less its mean over "
        "that width; empty: less the mean of the window",
    )
    images: Literal["bundle", "scene"] = Field(
        "scene", description="image statistics of the training scenes or of each scene"
    )
    heights: HeightSettings = HeightSettings()
    network: NetworkSettings = NetworkSettings()
    chips: ChipSettings = ChipSettings()
    augment: AugmentSettings = AugmentSettings()
    split: SplitSettings = SplitSettings()
    losses: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    epochs: int = Field(30, gt=0, description="number of epochs of `chips.per_epoch` chips")
    patience: int | None = Field(
        None, gt=0, description="epochs without improvement before training stops early"
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay of the exponential moving average of weights; it rises to this value "
        "over the first steps; 0: no averaging",
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="seed of chips, augmentation and initial weights"
    )
    precision: Literal["auto", "f32", "bf16"] = Field(
        "auto", description="precision of training; auto: bf16 where the hardware supports it"
    )
    window: int | None = Field(
        None,
        ge=64,
        le=4096,
        multiple_of=32,
        description="side in pixels of the windows when the bundle is applied; empty: the chip "
        "size",
    )
    shrink: NonNegative = Field(
        0.0,
        description="soft threshold of the change of the base when the bundle is applied, in "
        "predicted standard deviations; no effect without uncertainty, or if the base is no target",
    )
    clean_input: CleanInput | None = Field(
        None, description="stronger shrinkage of the changes of a base as accurate as lidar"
    )
    clean_below: float | None = Field(
        None, description="a base smoother than this is too clean for the bundle"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        for check in (self._check_layers, self._check_base, self._check_targets, self._check_sizes):
            check()
        return self

    def _check_layers(self) -> None:
        for name in (*self.layers, *self.optional):
            try:
                vocabulary.layer(name)
            except DemiurgeError as error:
                raise ValueError(str(error).rstrip(".")) from None
        for key in ("layers", "targets"):
            names: list[str] = getattr(self, key)
            if twice := [n for i, n in enumerate(names) if n in names[:i]]:
                raise ValueError(f"{key} names '{twice[0]}' twice")
        truths = [n for n in self.layers if vocabulary.layer(n).role is vocabulary.Role.TRUTH]
        if truths:
            raise ValueError(f"'{truths[0]}' is truth and cannot be an input")
        unknown = [n for n in self.optional if n not in self.layers]
        if unknown:
            raise ValueError(f"optional '{unknown[0]}' is not among the layers")

    def _check_base(self) -> None:
        if self.base is None:
            if self.ground or self.relief:
                raise ValueError(f"{'ground' if self.ground else 'relief'} needs a base")
        elif self.base not in self.layers:
            raise ValueError(f"base '{self.base}' is not among the layers")
        elif vocabulary.layer(self.base).kind is not vocabulary.Kind.HEIGHT:
            raise ValueError(f"base '{self.base}' holds no heights")
        if self.ground and self.base in self.optional:
            raise ValueError(f"ground needs base '{self.base}', which cannot be optional then")
        if self.local is not None and (self.base is None or self.base in self.optional):
            raise ValueError("local needs a base that is not optional")
        if self.heights.relative and self.base is not None:
            raise ValueError("heights over a base are not relative")
        if self.heights.scaled and not self.heights.relative:
            raise ValueError("heights.scaled needs heights.relative")

    def _check_targets(self) -> None:
        if vocabulary.ABOVE_GROUND in self.targets:
            if self.task != "generate" or len(self.targets) > 1:
                raise ValueError("target 'height' is the only one of a recipe for generate")
            if self.base is not None or self.heights.relative:
                raise ValueError("target 'height' is metres above ground: no base, not relative")
        both = [n for n in self.truths if n in self.layers]
        if both:
            raise ValueError(f"'{both[0]}' is both an input and a target")
        allowed = vocabulary.PAINTED if self.task == "imagine" else tuple(vocabulary.TARGETS)
        refused = [n for n in self.targets if n not in allowed]
        if refused:
            raise ValueError(
                f"{self.task} cannot have target '{refused[0]}', only {', '.join(allowed)}"
            )
        if not (self.losses.absolute or self.losses.gradient or self.losses.adversarial):
            raise ValueError("one of losses.absolute, gradient and adversarial must be above 0")

    def _check_sizes(self) -> None:
        chips, multiple = self.chips, self.network.multiple
        if max(self.losses.strides) >= chips.size:
            raise ValueError("losses.strides must be below chips.size")
        if chips.size % multiple:
            raise ValueError(
                f"chips.size is {chips.size}; a network of depth {self.network.depth} needs a "
                f"multiple of {multiple}"
            )
        if self.window is not None and self.window % multiple:
            raise ValueError(
                f"window is {self.window}; a network of depth {self.network.depth} needs a "
                f"multiple of {multiple}"
            )
        # Batch normalisation needs more than one value per channel. pix2pix does not normalise
        # its deepest level. Encoders may reduce to 1/32 at any depth.
        single = chips.batch == 1 or chips.per_epoch % chips.batch == 1
        plain = self.network.architecture == "resdepth"
        deepest = 1 << self.network.depth if plain else multiple
        if single and chips.size == deepest and self.network.architecture != "pix2pix":
            raise ValueError(
                f"steps of one chip of {chips.size} px leave one pixel at the network's depth; "
                "choose larger chips, or per_epoch a multiple of batch"
            )

    @property
    def truths(self) -> list[str]:
        """Return the truth layer of each target."""
        return [vocabulary.truth_of(target) for target in self.targets]


def shipped_recipes() -> dict[str, Path]:
    """Return the YAML files of the recipes in the package, by name, baselines included."""
    package = Path(str(resources.files("demiurge")))
    files = [
        path
        for part in ("training", "baselines")
        for path in (package / part / "recipes").glob("*.yaml")
    ]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by shipped name or from a file.

    Parameters
    ----------
    changes
        ``a.b=value`` settings, values as YAML; they override those of the file.

    Raises
    ------
    ResourceError
        If there is no such recipe.
    ConfigError
        If a key is unknown or a value is invalid. The message names the key.
    """
    shipped = shipped_recipes()
    path = shipped.get(str(name), Path(name))
    if not path.exists():
        raise ResourceError(
            f"{name}: there is no such recipe",
            f"name a YAML file or one of: {', '.join(shipped)}",
        )
    return changed(read_yaml(path, "recipe"), changes, str(name))


def changed(content: dict[str, Any], changes: Sequence[str], name: str) -> Recipe:
    """Return the recipe of a mapping with changes applied; ``name`` is for error messages.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is invalid. The message names the key.
    """
    content = copy.deepcopy(content)
    for change in changes:
        _apply(content, change)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise ConfigError(
            f"recipe {name}: {first_fault(error)}", "see: demiurge recipes --keys"
        ) from None


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {change}: is no setting", "write it as epochs=10")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {change}: the value is not valid YAML") from None
    *path, last = key.split(".")
    place = content
    for part in path:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {change}: '{part}' has no keys below it")
        place = inner
    place[last] = value
