"""Recipes: everything that decides a training, typed, with help in every field."""

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
from demiurge.model.contract import Width
from demiurge.model.settings import NetworkSettings

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Settings(Strict):
    """Settings whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class ChipSettings(_Settings):
    """Pieces of scenes that the network is trained on."""

    size: int = Field(256, ge=32, le=1024, multiple_of=32, description="side in pixels")
    per_epoch: int = Field(2000, gt=0, description="chips that make an epoch")
    batch: int = Field(8, gt=0, description="chips per step")
    min_truth: Share = Field(0.2, description="least share of a chip with known truth")


class AugmentSettings(_Settings):
    """Changes to training chips that keep the truth true."""

    flip: bool = Field(True, description="mirror and turn by quarters")
    diagonal: bool = Field(
        False,
        description="mirror across the line from north-west to south-east, which keeps light "
        "that comes along it",
    )
    swap_images: bool = Field(False, description="exchange left and right image")
    voids: Share = Field(0.0, description="share of chips that lose a patch of the base heights")
    drop_layers: Share = Field(
        0.0, description="chance for each optional layer to be left out of a chip"
    )
    brightness: Share = Field(0.0, description="spread of random gain and offset of images")
    texture: Share = Field(
        0.0, description="most noise and patchiness that images are given, over their spread"
    )
    margins: Share = Field(
        0.0, description="share of chips that lack a margin, as at the end of a raster"
    )
    good_inputs: Share = Field(
        0.0,
        description="share of chips whose DSM is the true surface or near it, where it is known: "
        "accurate heights stay as they are",
    )
    waves: Share = Field(
        0.0,
        description="share of the other chips whose DSM is given smooth, correlated errors",
    )
    foreign_images: Share = Field(
        0.0,
        description="share of chips whose images are of another place, so that images are doubted "
        "that do not go with the base",
    )
    made_priors: Share = Field(
        0.0, description="share of chips whose coarse prior is made anew from the truth"
    )


class SplitSettings(_Settings):
    """Which places validate."""

    by: Literal["auto", "scenes", "stripes"] = Field(
        "auto",
        description="whole places, or a stripe of each scene; auto takes places where there are "
        "at least four (scenes that overlap are one)",
    )

    validation: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.2, description="share of the places"
    )
    axis: Literal["x", "y"] = Field("x", description="stripes from west to east, or north to south")
    buffer: int | None = Field(
        None, ge=0, description="pixels between training and validation; a chip's side if empty"
    )


class LossSettings(_Settings):
    """Weights of the parts of the loss."""

    absolute: Annotated[float, Field(ge=0)] = Field(1.0, description="mean absolute error")
    gradient: Annotated[float, Field(ge=0)] = Field(0.0, description="error of height differences")
    uncertainty: Annotated[float, Field(ge=0)] = Field(
        0.1, description="Laplace likelihood of the error; 0 trains no uncertainty"
    )
    adversarial: Annotated[float, Field(ge=0)] = Field(
        0.0, description="that a second network takes the result for the truth; 0 trains none"
    )
    judge_width: int = Field(64, gt=0, description="of the second network's first layer")


class OptimiserSettings(_Settings):
    """How the weights move."""

    name: Literal["adam", "adamw"] = Field("adamw", description="which optimiser")
    rate: Positive = Field(1e-3, description="highest learning rate")
    decay: Annotated[float, Field(ge=0)] = Field(1e-2, description="weight decay")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="beta 1 of Adam; onecycle moves it between .85 and .95"
    )
    schedule: Literal["onecycle", "plateau", "constant"] = Field(
        "onecycle", description="up and down over the training, lower when stuck, or constant"
    )


class HeightSettings(_Settings):
    """How metres become numbers of about unit size."""

    unit: Literal["metres", "pixels"] = Field("metres", description="unit of `scale`")
    scale: Positive | None = Field(
        None, description="one unit of the network; found from the chips if empty"
    )
    relative: bool = Field(False, description="learn heights up to an offset (no base)")
    scaled: bool = Field(
        False, description="each chip's relative heights in units of their own spread"
    )


class Recipe(_Settings):
    """A training, written down."""

    name: str = Field("custom", description="what the bundle is called")
    about: str = Field("", description="one line for people")
    task: Literal["refine", "generate", "imagine"] = Field(
        description="the command that uses the bundle"
    )
    layers: list[str] = Field(min_length=1, description="what the network sees")
    optional: list[str] = Field(
        default_factory=list,
        description="layers it can do without; without an optional base, heights are relative",
    )
    base: str | None = Field(None, description="height layer whose correction is learned")
    targets: list[vocabulary.Target] = Field(min_length=1, description="what is learned")
    ground: list[Positive] = Field(
        default_factory=list,
        description="sides in metres of openings of the base that the network sees; the bare "
        "earth is a correction of the last",
    )
    relief: list[Width] = Field(
        default_factory=list,
        description="widths in pixels, powers of two: the network also sees the base less its mean "
        "over so wide a surrounding, so that small forms are not lost among large ones",
    )
    local: Width | None = Field(
        None,
        description="width in pixels, a power of two: the base is seen about its mean over so "
        "wide a surrounding; about its window's mean if empty",
    )
    images: Literal["bundle", "scene"] = Field(
        "scene", description="image statistics from the training scenes or from each scene"
    )
    heights: HeightSettings = HeightSettings()
    network: NetworkSettings = NetworkSettings()
    chips: ChipSettings = ChipSettings()
    augment: AugmentSettings = AugmentSettings()
    split: SplitSettings = SplitSettings()
    losses: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    epochs: int = Field(30, gt=0, description="passes of `chips.per_epoch` chips")
    patience: int | None = Field(None, gt=0, description="epochs without gain before stopping")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay of the running mean of weights that is kept, reached step by step; "
        "0 keeps none",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of chips, augmentation and first weights")
    precision: Literal["auto", "f32", "bf16"] = Field(
        "auto", description="of training; auto takes bf16 where the hardware has it"
    )
    window: int | None = Field(
        None, ge=64, le=4096, multiple_of=32, description="window when applied; a chip if empty"
    )
    shrink: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="soft threshold of the change of the base when applied, in predicted standard "
        "deviations; none without uncertainty, or where the base is no target",
    )
    clean_below: float | None = Field(
        None, description="smoothness of a base that is too clean for the bundle when applied"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        for check in (self._name_layers, self._fit_base, self._fit_targets, self._fit_chips):
            check()
        return self

    def _name_layers(self) -> None:
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
        lost = [n for n in self.optional if n not in self.layers]
        if lost:
            raise ValueError(f"optional '{lost[0]}' is not among the layers")

    def _fit_base(self) -> None:
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

    def _fit_targets(self) -> None:
        both = [n for n in self.truths if n in self.layers]
        if both:
            raise ValueError(f"'{both[0]}' is both an input and a target")
        able = vocabulary.PAINTED if self.task == "imagine" else tuple(vocabulary.TARGETS)
        strange = [n for n in self.targets if n not in able]
        if strange:
            raise ValueError(
                f"{self.task} cannot have target '{strange[0]}', only {', '.join(able)}"
            )
        if not (self.losses.absolute or self.losses.gradient or self.losses.adversarial):
            raise ValueError("one of losses.absolute, gradient and adversarial must be above 0")

    def _fit_chips(self) -> None:
        chips, multiple = self.chips, self.network.multiple
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
        single = chips.batch == 1 or chips.per_epoch % chips.batch == 1
        # Batch norms have no spread over one pixel of one chip; pix2pix has none that deep, and
        # encoders may go to a 32nd whatever the depth.
        own = self.network.architecture == "resdepth"
        deepest = 1 << self.network.depth if own else multiple
        if single and chips.size == deepest and self.network.architecture != "pix2pix":
            raise ValueError(
                f"steps of one chip of {chips.size} px leave one pixel at the network's depth; "
                "choose larger chips, or per_epoch a multiple of batch"
            )

    @property
    def truths(self) -> list[str]:
        """Return the truth layer of each target."""
        return [vocabulary.truth_of(target) for target in self.targets]


def reduced(recipe: Recipe) -> bool:
    """Tell whether a recipe trains in bf16 on this machine."""
    if recipe.precision == "auto":
        import torch

        from demiurge.model.backend.openvino import has_bf16

        return torch.cuda.is_available() or has_bf16()
    return recipe.precision == "bf16"


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with demiurge, by name."""
    folder = Path(str(resources.files("demiurge") / "training" / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by shipped name or from a file.

    Parameters
    ----------
    changes
        ``a.b=value`` settings, values as YAML, applied over the file.

    Raises
    ------
    ResourceError
        If there is no such recipe.
    ConfigError
        If a key is unknown or a value does not fit; names it.
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
    """Return a recipe from its content with changes applied; ``name`` is for errors.

    Raises
    ------
    ConfigError
        If a key is unknown or a value does not fit; names it.
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
