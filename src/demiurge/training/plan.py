"""Training plans: properties of the scenes, the split and the recipe, as readable YAML.

:func:`make_plan` opens, checks and splits scenes. :func:`follow_plan` opens the scenes of a plan.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from demiurge.config import Strict, first_fault, read_yaml
from demiurge.errors import ConfigError, ResourceError, UsageError
from demiurge.layers import Kind, layer, truth_of
from demiurge.outputs import atomic_file
from demiurge.paths import PathLike
from demiurge.progress import Advance, progress
from demiurge.scene.check import require_fit
from demiurge.scene.grid import Window
from demiurge.scene.open import open_scene
from demiurge.scene.scene import Scene
from demiurge.training.light import with_suns
from demiurge.training.recipe import Recipe, load_recipe
from demiurge.training.split import (
    PlaceSplit,
    Region,
    TooSmallError,
    places_of,
    require_apart,
    split_places,
)

#: Chips are not made smaller than this to fit the scenes. A network sees too little of the context.
_SMALLEST = 64


class SceneSummary(Strict):
    """Properties of one scene."""

    name: str
    path: str | None = Field(None, description="folder of the scene")
    place: int = Field(description="number of the place; overlapping scenes have the same")
    pixel_size: float = Field(description="pixel size in metres")
    rows: int
    columns: int
    layers: list[str] = Field(description="layers in the scene")
    relief: float | None = Field(
        description="difference in metres between the 99th and the 1st percentile of heights"
    )
    voids: float | None = Field(description="share of voids in the base heights")
    truth: dict[str, float] = Field(description="share of known pixels of each truth layer")


class PlannedWindow(Strict):
    """Window of a scene and its use."""

    scene: str
    use: Literal["training", "validating", "testing"]
    row: int
    column: int
    height: int
    width: int


class Cost(Strict):
    """Expected cost of the training, measured on this machine."""

    parameters: int = Field(description="number of trained weights, discriminator included")
    steps: int
    seconds_per_step: float
    hours: float = Field(description="duration without the validation after each epoch")
    memory_mb: float = Field(description="activations of the networks for one batch")


class TrainingPlan(Strict):
    """Scenes, their split, the recipe and the expected cost of a training."""

    format: Literal[1] = 1
    scenes: list[SceneSummary]
    notes: list[str] = Field(default_factory=list, description="decisions and warnings")
    parts: Annotated[list[PlannedWindow], Field(min_length=1)]
    recipe: dict[str, Any]
    cost: Cost | None = None

    def settings(self) -> Recipe:
        """Return the recipe."""
        return Recipe.model_validate(self.recipe)

    def split(self, scenes: Sequence[Scene]) -> PlaceSplit:
        """Return the regions of opened scenes.

        Raises
        ------
        ConfigError
            If a scene is missing, a window is outside its scene, or ground has two uses.
        """
        named = dict(zip(unique_names(scenes), scenes, strict=True))
        split = PlaceSplit([], [])
        for part in self.parts:
            scene = named.get(part.scene)
            if scene is None:
                raise ConfigError(f"the plan uses scene '{part.scene}', which is not given")
            window = Window(part.row, part.column, part.height, part.width)
            bottom, right = window.row + window.height, window.col + window.width
            inside = min(window) >= 0 and bottom <= scene.shape[0] and right <= scene.shape[1]
            if not inside:
                raise ConfigError(
                    f"the plan uses pixels outside scene '{part.scene}'", "make a new plan"
                )
            getattr(split, part.use).append(Region(scene, window))
        return require_apart(split)

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the plan as YAML."""
        content = self.model_dump(mode="json", exclude_none=True)
        with atomic_file(path, overwrite=overwrite) as partial:
            partial.write_text(
                yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100),
                encoding="utf-8",
            )


@dataclass(frozen=True)
class PreparedPlan:
    """A plan with its opened scenes and their split."""

    plan: TrainingPlan
    scenes: list[Scene]
    split: PlaceSplit


def load_plan(path: PathLike) -> TrainingPlan:
    """Read a plan.

    Raises
    ------
    ResourceError, ConfigError
        If the file is missing or invalid.
    """
    path = Path(os.fspath(path))
    if not path.exists():
        raise ResourceError(f"{path}: there is no such plan", "make one with demiurge plan")
    try:
        plan = TrainingPlan.model_validate(read_yaml(path, "plan"))
        plan.settings()
    except ValidationError as error:
        raise ConfigError(f"plan {path}: {first_fault(error)}") from None
    return plan


def make_plan(
    scenes: Sequence[PathLike | Scene],
    recipe: Recipe | str | Path,
    changes: Sequence[str] = (),
    *,
    shrink_chips: bool = False,
    quiet: bool = True,
) -> PreparedPlan:
    """Open and check scenes, split them and return the plan.

    Parameters
    ----------
    shrink_chips
        Reduce the chip size if the scenes are too small for it; otherwise that is an error.
    """
    opened = open_scenes(scenes, quiet=quiet)
    opened, settled, notes = check_scenes(opened, recipe, changes, quiet=quiet)
    size, places = settled.chips.size, places_of(opened)
    while True:
        try:
            split = split_places(opened, settled, places)
            break
        except TooSmallError:
            smaller = settled.chips.size - settled.network.multiple
            if not shrink_chips or smaller < _SMALLEST:
                raise
            settled = with_chips(settled, size=smaller)
    if settled.chips.size < size:
        text = f"chips of {settled.chips.size} px, not {size}: the scenes hold no larger ones"
        notes = [text, *notes]
    plan = plan_of(opened, split, settled, notes, places=places, quiet=quiet)
    return PreparedPlan(plan, opened, split)


def follow_plan(
    plan: TrainingPlan | PathLike,
    scenes: Sequence[PathLike | Scene] = (),
    *,
    quiet: bool = True,
) -> PreparedPlan:
    """Open and check the scenes of a plan, or those given, and return its split."""
    plan = plan if isinstance(plan, TrainingPlan) else load_plan(plan)
    opened = open_scenes(scenes or [s.path for s in plan.scenes if s.path], quiet=quiet)
    opened, _, notes = check_scenes(opened, plan.settings(), quiet=quiet)
    new = [text for text in notes if text not in plan.notes]
    plan = plan.model_copy(update={"notes": [*plan.notes, *new]})
    return PreparedPlan(plan, opened, plan.split(opened))


def plan_of(
    scenes: Sequence[Scene],
    split: PlaceSplit,
    recipe: Recipe,
    notes: Sequence[str] = (),
    *,
    places: Sequence[int],
    quiet: bool = True,
) -> TrainingPlan:
    """Return the plan of a split; ``places`` is the result of :func:`places_of`."""
    names = unique_names(scenes)
    summaries = []
    with progress("describe", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for scene, name, place in zip(scenes, names, places, strict=True):
            summaries.append(_summary(scene, name, place, recipe))
            advance()
    name_of = {id(scene): name for scene, name in zip(scenes, names, strict=True)}
    parts = [
        PlannedWindow(
            scene=name_of[id(region.scene)],
            use=use,
            row=region.window.row,
            column=region.window.col,
            height=region.window.height,
            width=region.window.width,
        )
        for use in ("training", "validating", "testing")
        for region in getattr(split, use)
    ]
    unused = sorted(set(names) - {p.scene for p in parts})
    return TrainingPlan(
        scenes=summaries,
        notes=[*notes, *(f"scene '{name}' is too small for any chip" for name in unused)],
        parts=parts,
        recipe=recipe.model_dump(mode="json"),
    )


def unique_names(scenes: Sequence[Scene]) -> list[str]:
    """Return a unique name per scene: its name, with as many parent folders as needed.

    Raises
    ------
    UsageError
        If a scene is given twice.
    """
    parts = [scene.folder.absolute().parts if scene.folder else (scene.name,) for scene in scenes]
    names = [scene.name for scene in scenes]
    depth = 1
    while twice := {name for name, count in Counter(names).items() if count > 1}:
        depth += 1
        longest = max(len(p) for p, name in zip(parts, names, strict=True) if name in twice)
        if depth > longest:
            raise UsageError(f"scene '{min(twice)}' is given twice", "name it once")
        names = [
            "/".join(p[-depth:]) if name in twice else name
            for p, name in zip(parts, names, strict=True)
        ]
    return names


def with_chips(recipe: Recipe, **changes: int) -> Recipe:
    """Return a recipe with changed chip settings."""
    chips = recipe.chips.model_copy(update=changes)
    return recipe.model_copy(update={"chips": chips})


def open_scenes(scenes: Sequence[PathLike | Scene], *, quiet: bool = True) -> list[Scene]:
    """Open the scenes that are paths.

    Raises
    ------
    UsageError
        If no scene is given.
    """
    if not scenes:
        raise UsageError("no scene is given", "name at least one prepared scene")
    opened = []
    with progress("open", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for scene in scenes:
            opened.append(scene if isinstance(scene, Scene) else open_scene(scene))
            advance()
    return opened


def check_scenes(
    scenes: Sequence[Scene],
    recipe: Recipe | str | Path,
    changes: Sequence[str] = (),
    *,
    quiet: bool = True,
) -> tuple[list[Scene], Recipe, list[str]]:
    """Check that scenes fit a recipe. Return the scenes, the recipe and the warnings.

    Targets whose truth no scene has are removed from the recipe if another target remains. For
    ``imagine``, the true ground is added to the scenes as an input. Where the recipe needs the sun,
    scenes that do not state it get the one of :func:`demiurge.scene.sunlight.find_sun`.

    Raises
    ------
    UsageError, DataError
        If a layer is missing or unusable.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, changes)
    if recipe.task == "imagine":
        scenes = [_with_ground(scene) for scene in scenes]
    known = [t for t in recipe.targets if any(truth_of(t) in s.layers for s in scenes)]
    if known and len(known) < len(recipe.targets):
        recipe = recipe.model_copy(update={"targets": known})
    with progress("check", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        warnings = _check_layers(scenes, recipe, advance)
    if recipe.sun:
        scenes, notes = with_suns(scenes)
        warnings += notes
    return list(scenes), recipe, warnings


def _with_ground(scene: Scene) -> Scene:
    """Return a scene with its true ground as input layer ``dtm``."""
    if "dtm" in scene.sources or "truth_dtm" not in scene.sources:
        return scene
    return replace(scene, sources={**scene.sources, "dtm": scene.sources["truth_dtm"]})


def _check_layers(scenes: Sequence[Scene], recipe: Recipe, advance: Advance) -> list[str]:
    """Raise if a layer is missing or unusable; return the warnings."""
    warnings = []
    for scene in scenes:
        needed = [n for n in recipe.layers if n not in recipe.optional]
        truths = [n for n in recipe.truths if n in scene.layers] or recipe.truths
        missing = [n for n in (*needed, *truths) if n not in scene.layers]
        if missing:
            raise UsageError(
                f"scene '{scene.name}' has no layer '{missing[0]}', which recipe "
                f"'{recipe.name}' needs",
                f"prepare the scene with {missing[0]}=FILE, or --set layers=[…]",
            )
        extra = [n for n in recipe.optional if n in scene.layers]
        remarks = require_fit(scene, (*needed, *extra, *truths))
        warnings += [f"scene '{scene.name}', layer '{r.layer}': {r.message}" for r in remarks]
        advance()
    return warnings


def _summary(scene: Scene, name: str, place: int, recipe: Recipe) -> SceneSummary:
    heights = [n for n in scene.layers if layer(n).kind is Kind.HEIGHT]
    base = recipe.base if recipe.base in heights else None
    about = base or next((n for n in recipe.truths if n in heights), None)
    statistics = scene.statistics(about) if about else None
    relief = None
    if statistics and statistics["measured"]:
        relief = round(statistics["p99"] - statistics["p01"], 2)
    return SceneSummary(
        name=name,
        path=str(scene.folder.absolute()) if scene.folder else None,
        place=place,
        pixel_size=scene.pixel_size,
        rows=scene.shape[0],
        columns=scene.shape[1],
        layers=list(scene.layers),
        relief=relief,
        voids=round(scene.statistics(base)["voids"], 4) if base else None,
        truth={
            n: round(1 - scene.statistics(n)["voids"], 4) for n in recipe.truths if n in heights
        },
    )
