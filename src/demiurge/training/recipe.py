"""Recipes: all settings of a training, typed, with a help text for every field."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from demiurge import layers as vocabulary
from demiurge.config import SafeLoader, first_fault, read_yaml
from demiurge.errors import ConfigError, DemiurgeError, ResourceError
from demiurge.model.clean import CleanInput
from demiurge.model.contract import Width
from demiurge.model.settings import NetworkSettings
from demiurge.training.sections import (
    AugmentSettings,
    ChipSettings,
    HeightSettings,
    LossSettings,
    NonNegative,
    OptimiserSettings,
    Positive,
    Section,
    SplitSettings,
)


class Recipe(Section):
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
    sun: bool = Field(
        False,
        description="the direction to the sun and the incidence on the base are inputs of the "
        "network; every chip is turned and mirrored so that the sun is in the south-south-east, "
        "which needs augment.flip=false; only for generate",
    )
    images: Literal["bundle", "scene", "joint"] = Field(
        "scene",
        description="image statistics: of the training scenes; of each scene, band by band; joint: "
        "of each scene over its required bands together, so that colours keep their ratios",
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
        for check in (self._check_layers, self._check_base, self._check_targets, self._check_sizes,
                      self._check_sun):  # fmt: skip
            check()
        return self

    def _check_sun(self) -> None:
        if not self.sun:
            return
        if self.task != "generate":
            raise ValueError(f"sun is only for generate, not for {self.task}")
        for name in ("flip", "diagonal"):
            if getattr(self.augment, name):
                raise ValueError(
                    f"sun turns every chip towards the sun, so augment.{name} must be false"
                )

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
        value = yaml.load(text, SafeLoader)
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
