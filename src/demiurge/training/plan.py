"""Plans: what the scenes are like, and the training that follows from it, as readable YAML."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from demiurge.config import Strict, first_fault, read_yaml
from demiurge.errors import ConfigError, ResourceError, UsageError
from demiurge.layers import Kind, layer
from demiurge.outputs import atomic_file
from demiurge.progress import progress
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe
from demiurge.training.split import (
    Region,
    Split,
    TooSmallError,
    places_of,
    require_apart,
    split_places,
)

#: Chips are not planned smaller than this; below it a network sees too little.
_SMALLEST = 64


class ScenePrint(Strict):
    """What one scene is like."""

    name: str
    path: str | None = Field(None, description="its folder")
    place: int = Field(description="scenes that share ground share the number")
    pixel_size: float = Field(description="metres")
    rows: int
    columns: int
    layers: list[str] = Field(description="all that can be read")
    relief: float | None = Field(description="metres between the 1 % and 99 % lowest heights")
    voids: float | None = Field(description="share of the base heights that is void")
    truth: dict[str, float] = Field(description="share known of each truth layer")


class Part(Strict):
    """A window of a scene and what it is for."""

    scene: str
    use: Literal["training", "validating", "testing"]
    row: int
    column: int
    height: int
    width: int


class Cost(Strict):
    """What the training is expected to take, measured by a few steps on this machine."""

    parameters: int = Field(description="that are trained, a discriminator's among them")
    steps: int
    seconds_per_step: float
    hours: float = Field(description="without the validation at the end of each epoch")
    memory_mb: float = Field(description="of the networks' activations for one batch")


class TrainingPlan(Strict):
    """Which places train and validate, with which settings, and what it will cost."""

    format: Literal[1] = 1
    scenes: list[ScenePrint]
    notes: list[str] = Field(default_factory=list, description="what was settled, and why")
    parts: Annotated[list[Part], Field(min_length=1)]
    recipe: dict[str, Any]
    cost: Cost | None = None

    def settings(self) -> Recipe:
        """Return the recipe that is to be followed."""
        return Recipe.model_validate(self.recipe)

    def split(self, scenes: Sequence[Scene]) -> Split:
        """Return the regions of opened scenes.

        Raises
        ------
        ConfigError
            If a part names a scene that is not there or pixels outside it, or if ground that
            judges is learned from.
        """
        named = dict(zip(labels(scenes), scenes, strict=True))
        split = Split([], [])
        for part in self.parts:
            scene = named.get(part.scene)
            if scene is None:
                raise ConfigError(f"the plan uses scene '{part.scene}', which is not given")
            window = Window(part.row, part.column, part.height, part.width)
            bottom, right = window.row + window.height, window.col + window.width
            inside = min(window) >= 0 and bottom <= scene.shape[0] and right <= scene.shape[1]
            if not inside:
                raise ConfigError(f"the plan uses pixels outside scene '{part.scene}'", "plan anew")
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


def load_plan(path: str | os.PathLike[str]) -> TrainingPlan:
    """Read a plan.

    Raises
    ------
    ResourceError, ConfigError
        If there is none, or it is not understood.
    """
    path = Path(path)
    if not path.exists():
        raise ResourceError(f"{path}: there is no such plan", "make one with demiurge plan")
    try:
        plan = TrainingPlan.model_validate(read_yaml(path, "plan"))
        plan.settings()
    except ValidationError as error:
        raise ConfigError(f"plan {path}: {first_fault(error)}") from None
    return plan


def make_plan(
    scenes: Sequence[Scene],
    recipe: Recipe,
    *,
    fit: bool = False,
    notes: Sequence[str] = (),
    quiet: bool = True,
) -> TrainingPlan:
    """Return the plan of a training.

    Parameters
    ----------
    fit
        Make chips smaller where the scenes are too small for them; otherwise that is an error.
    notes
        What is known of the scenes already.
    """
    found: list[str] = []
    size = recipe.chips.size
    places = places_of(scenes)
    while True:
        try:
            split = split_places(scenes, recipe, places)
            break
        except TooSmallError:
            smaller = recipe.chips.size - recipe.network.multiple
            if not fit or smaller < _SMALLEST:
                raise
            recipe = _with_chips(recipe, size=smaller)
    if recipe.chips.size < size:
        found.append(f"chips of {recipe.chips.size} px, not {size}: the scenes hold no larger ones")
    return of_split(scenes, split, recipe, [*found, *notes], places=places, quiet=quiet)


def of_split(
    scenes: Sequence[Scene],
    split: Split,
    recipe: Recipe,
    notes: Sequence[str] = (),
    *,
    places: Sequence[int],
    quiet: bool = True,
) -> TrainingPlan:
    """Write a split and a recipe down as a plan; ``places`` are those of :func:`places_of`."""
    names = labels(scenes)
    prints = []
    with progress("describe", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for scene, name, place in zip(scenes, names, places, strict=True):
            prints.append(_print(scene, name, place, recipe))
            advance()
    called = {id(scene): name for scene, name in zip(scenes, names, strict=True)}
    parts = [
        Part(
            scene=called[id(region.scene)],
            use=use,
            row=region.window.row,
            column=region.window.col,
            height=region.window.height,
            width=region.window.width,
        )
        for use in ("training", "validating", "testing")
        for region in getattr(split, use)
    ]
    unused = set(names) - {p.scene for p in parts}
    found = [*notes, *(f"scene '{name}' is too small for any chip" for name in sorted(unused))]
    return TrainingPlan(
        scenes=prints, notes=found, parts=parts, recipe=recipe.model_dump(mode="json")
    )


def labels(scenes: Sequence[Scene]) -> list[str]:
    """Return a name for each scene that no other has: with as much of its path as that takes.

    Raises
    ------
    UsageError
        If a scene is given twice.
    """
    parts = [scene.folder.absolute().parts if scene.folder else (scene.name,) for scene in scenes]
    found = [scene.name for scene in scenes]
    depth = 1
    while twice := {name for name, count in Counter(found).items() if count > 1}:
        depth += 1
        longest = max(len(p) for p, name in zip(parts, found, strict=True) if name in twice)
        if depth > longest:
            raise UsageError(f"scene '{min(twice)}' is given twice", "name it once")
        found = [
            "/".join(p[-depth:]) if name in twice else name
            for p, name in zip(parts, found, strict=True)
        ]
    return found


def _print(scene: Scene, name: str, place: int, recipe: Recipe) -> ScenePrint:
    heights = [n for n in scene.layers if layer(n).kind is Kind.HEIGHT]
    base = recipe.base if recipe.base in heights else None
    about = base or next((n for n in recipe.truths if n in heights), None)
    found = scene.statistics(about) if about else None
    relief = found["p99"] - found["p01"] if found and found["measured"] else None
    return ScenePrint(
        name=name,
        path=str(scene.folder.absolute()) if scene.folder else None,
        place=place,
        pixel_size=scene.pixel_size,
        rows=scene.shape[0],
        columns=scene.shape[1],
        layers=list(scene.layers),
        relief=None if relief is None else round(relief, 2),
        voids=round(scene.statistics(base)["voids"], 4) if base else None,
        truth={
            n: round(1 - scene.statistics(n)["voids"], 4) for n in recipe.truths if n in heights
        },
    )


def _with_chips(recipe: Recipe, **changes: int) -> Recipe:
    chips = recipe.chips.model_copy(update=changes)
    return recipe.model_copy(update={"chips": chips})


def priced(plan: TrainingPlan, scenes: Sequence[Scene], *, quiet: bool = True) -> TrainingPlan:
    """Return the plan with its cost, and with a batch that the memory holds.

    A few steps are trained to measure it.
    """
    from demiurge.training.cost import free_memory, try_out

    recipe = plan.settings()
    split = plan.split(scenes)
    trial = try_out(split.training, recipe, quiet=quiet)
    room = max(1, int(free_memory() / 2 / trial.bytes_per_chip))
    notes = list(plan.notes)
    if room < recipe.chips.batch:
        notes.append(
            f"{room} chips a step, not {recipe.chips.batch}: half of the memory holds no more"
        )
        recipe = _with_chips(recipe, batch=room)
    steps = recipe.epochs * -(-recipe.chips.per_epoch // recipe.chips.batch)
    seconds = trial.seconds_per_chip * recipe.chips.batch
    cost = Cost(
        parameters=trial.parameters,
        steps=steps,
        seconds_per_step=round(seconds, 4),
        hours=round(steps * seconds / 3600, 3),
        memory_mb=round(trial.bytes_per_chip * recipe.chips.batch / 1e6, 1),
    )
    return plan.model_copy(
        update={"recipe": recipe.model_dump(mode="json"), "notes": notes, "cost": cost}
    )
