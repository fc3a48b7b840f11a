"""Which places train and which validate: never pixels of one place in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demiurge.errors import ConfigError
from demiurge.scene.grid import Window, bounds_in, full_window, intersection, window_grid
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe

#: From this many scenes on, whole scenes validate.
MANY = 4


@dataclass(frozen=True)
class Region:
    """Part of a scene that chips may be taken from."""

    scene: Scene
    window: Window


def split_places(scenes: Sequence[Scene], recipe: Recipe) -> tuple[list[Region], list[Region]]:
    """Return the regions for training and those for validation.

    Either whole scenes, or the eastern (or southern) stripe of each scene with a buffer between
    the two; ``split.by`` decides.

    Raises
    ------
    ConfigError
        If a scene is too small for the chips, or one place would both train and validate.
    """
    by = recipe.split.by
    if by == "auto":
        by = "scenes" if len(scenes) >= MANY and not _any_overlap(scenes) else "stripes"
    if by == "scenes":
        if len(scenes) < 2:
            raise ConfigError("split.by is 'scenes' but there is one scene", "use stripes")
        count = max(1, round(len(scenes) * recipe.split.validation))
        held = set(np.random.default_rng(recipe.seed).permutation(len(scenes))[:count].tolist())
        training = [Region(s, full_window(s.grid)) for i, s in enumerate(scenes) if i not in held]
        validating = [Region(scenes[i], full_window(scenes[i].grid)) for i in sorted(held)]
    else:
        pairs = [_stripes(scene, recipe) for scene in scenes]
        training, validating = [a for a, _ in pairs], [b for _, b in pairs]
    for region in (*training, *validating):
        _require_room(region, recipe)
    _require_apart(training, validating)
    return training, validating


def _any_overlap(scenes: Sequence[Scene]) -> bool:
    regions = [Region(scene, full_window(scene.grid)) for scene in scenes]
    return any(_shared(a, b) for i, a in enumerate(regions) for b in regions[i + 1 :])


def _shared(a: Region, b: Region) -> bool:
    """Tell whether two regions hold some of the same ground."""
    crs = a.scene.grid.crs
    boxes = [bounds_in(window_grid(r.scene.grid, r.window), crs) for r in (a, b)]
    both = intersection(boxes)
    # Neighbours that touch, up to the rounding of a reprojection, share nothing.
    slack = 0.01 * a.scene.pixel_size
    return both is not None and both[2] - both[0] > slack and both[3] - both[1] > slack


def _require_apart(training: Sequence[Region], validating: Sequence[Region]) -> None:
    for a in training:
        for b in validating:
            if _shared(a, b):
                raise ConfigError(
                    f"scene '{a.scene.name}' trains on ground that scene '{b.scene.name}' "
                    "validates on",
                    "use split.by=stripes for scenes of one place, or leave one out",
                )


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
