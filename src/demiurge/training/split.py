"""Which places train and which validate: never pixels of one place in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from odc.geo.crs import CRS

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

    Either whole places (scenes that overlap are one place), or the eastern (or southern) stripe
    of each scene with a buffer between the two; ``split.by`` decides.

    Raises
    ------
    ConfigError
        If a scene is too small for the chips, or one place would both train and validate.
    """
    by = recipe.split.by
    groups = _places(scenes) if by != "stripes" else []
    if by == "auto":
        by = "scenes" if len(groups) >= MANY else "stripes"
    if by == "scenes":
        if len(groups) < 2:
            raise ConfigError("split.by is 'scenes' but all scenes lie in one place", "use stripes")
        held = _held(groups, len(scenes), recipe)
        training = [Region(s, full_window(s.grid)) for i, s in enumerate(scenes) if i not in held]
        validating = [Region(scenes[i], full_window(scenes[i].grid)) for i in sorted(held)]
    else:
        pairs = [_stripes(scene, recipe) for scene in scenes]
        training, validating = [a for a, _ in pairs], [b for _, b in pairs]
    for region in (*training, *validating):
        _require_room(region, recipe)
    _require_apart(training, validating)
    return training, validating


def _places(scenes: Sequence[Scene]) -> list[list[int]]:
    """Return the indices of scenes by place: those that overlap, also by way of others."""
    regions = [Region(scene, full_window(scene.grid)) for scene in scenes]
    rough = [bounds_in(scene.grid, CRS("EPSG:4326")) for scene in scenes]
    place = list(range(len(scenes)))
    for i, a in enumerate(regions):
        for j in range(i):
            # Boxes in degrees rule most pairs out without a transformation.
            near = place[i] != place[j] and intersection([rough[i], rough[j]]) is not None
            if near and _shared(a, regions[j]):
                old, new = place[i], place[j]
                place = [new if p == old else p for p in place]
    return [[i for i, p in enumerate(place) if p == number] for number in sorted(set(place))]


def _held(groups: list[list[int]], count: int, recipe: Recipe) -> set[int]:
    """Draw places that validate: about the share asked for, and at least one."""
    wanted = max(1.0, count * recipe.split.validation)
    held: set[int] = set()
    for index in np.random.default_rng(recipe.seed).permutation(len(groups)):
        group = groups[int(index)]
        if len(held) + len(group) <= 1.5 * wanted and len(held) < round(wanted):
            held |= set(group)
    return held or set(sorted(groups, key=len)[0])


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
