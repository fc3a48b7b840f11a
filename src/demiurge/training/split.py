"""Which places train and which validate: never pixels of one place in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demiurge.errors import ConfigError
from demiurge.scene.grid import Window, full_window
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe

#: From this many scenes on, whole scenes validate.
MANY = 4


@dataclass(frozen=True)
class Region:
    """Part of a scene that chips may be taken from."""

    scene: Scene
    window: Window


def split_places(
    scenes: Sequence[Scene], recipe: Recipe
) -> tuple[list[Region], list[Region]]:
    """Return the regions for training and those for validation.

    Whole scenes where there are at least four; else the eastern (or southern) stripe of each
    scene, with a buffer between the two.

    Raises
    ------
    ConfigError
        If a scene is too small for the chips.
    """
    if len(scenes) >= MANY:
        count = max(1, round(len(scenes) * recipe.split.validation))
        held = set(np.random.default_rng(recipe.seed).permutation(len(scenes))[:count].tolist())
        training = [Region(s, full_window(s.grid)) for i, s in enumerate(scenes) if i not in held]
        validating = [Region(scenes[i], full_window(scenes[i].grid)) for i in sorted(held)]
    else:
        pairs = [_stripes(scene, recipe) for scene in scenes]
        training, validating = [a for a, _ in pairs], [b for _, b in pairs]
    for region in (*training, *validating):
        _require_room(region, recipe)
    return training, validating


def _stripes(scene: Scene, recipe: Recipe) -> tuple[Region, Region]:
    rows, columns = scene.shape
    length = columns if recipe.split.axis == "x" else rows
    buffer = recipe.chips.size if recipe.split.buffer is None else recipe.split.buffer
    held = round(length * recipe.split.validation)
    kept = max(length - held - buffer, 0)
    if recipe.split.axis == "x":
        parts = Window(0, 0, rows, kept), Window(0, columns - held, rows, held)
    else:
        parts = Window(0, 0, kept, columns), Window(rows - held, 0, held, columns)
    return Region(scene, parts[0]), Region(scene, parts[1])


def _require_room(region: Region, recipe: Recipe) -> None:
    size = recipe.chips.size
    if region.window.height < size or region.window.width < size:
        rows, columns = region.scene.shape
        raise ConfigError(
            f"scene '{region.scene.name}' of {rows} × {columns} px is too small to hold chips of "
            f"{size} px in both its training and its validation part",
            "set a smaller chips.size or split.buffer, or give more scenes",
        )
