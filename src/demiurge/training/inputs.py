"""The scenes of a training, opened and held against the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from demiurge.errors import UsageError
from demiurge.layers import truth_of
from demiurge.paths import PathLike
from demiurge.progress import Advance, progress
from demiurge.scene.check import require_fit
from demiurge.scene.open import open_scene
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe, load_recipe


def open_all(scenes: Sequence[PathLike | Scene], *, quiet: bool = True) -> list[Scene]:
    """Open scenes that are not open; at least one must be given."""
    if not scenes:
        raise UsageError("no scene is given", "name at least one prepared scene")
    found = []
    with progress("open", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        for scene in scenes:
            found.append(scene if isinstance(scene, Scene) else open_scene(scene))
            advance()
    return found


def fitted(
    scenes: Sequence[Scene],
    recipe: Recipe | str | Path,
    changes: Sequence[str] = (),
    *,
    quiet: bool = True,
) -> tuple[list[Scene], Recipe, list[str]]:
    """Return scenes and recipe as they fit together, and what the check warns of.

    Raises
    ------
    UsageError, DataError
        If a layer is missing or cannot be used.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, changes)
    if recipe.task == "imagine":
        scenes = [_with_ground(scene) for scene in scenes]
    recipe = _known_targets(scenes, recipe)
    with progress("check", len(scenes), quiet=quiet, unit="scenes", passing=True) as advance:
        return list(scenes), recipe, _require_layers(scenes, recipe, advance)


def _with_ground(scene: Scene) -> Scene:
    """Let the true ground be an input as well, for what begins from it; not its own truth."""
    if "dtm" in scene.sources or "truth_dtm" not in scene.sources:
        return scene
    return replace(scene, sources={**scene.sources, "dtm": scene.sources["truth_dtm"]})


def _known_targets(scenes: Sequence[Scene], recipe: Recipe) -> Recipe:
    """Leave out a target whose truth no scene has, if the truth of another is there."""
    known = [t for t in recipe.targets if any(truth_of(t) in s.layers for s in scenes)]
    if known and len(known) < len(recipe.targets):
        return recipe.model_copy(update={"targets": known})
    return recipe


def _require_layers(scenes: Sequence[Scene], recipe: Recipe, advance: Advance) -> list[str]:
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
        found = require_fit(scene, (*needed, *extra, *truths))
        warnings += [f"scene '{scene.name}', layer '{f.layer}': {f.message}" for f in found]
        advance()
    return warnings
