"""Which places train and which validate: never pixels of one place in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import ConfigError
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import Bounds, Window, full_window, union, window_grid
from demiurge.scene.scene import Scene
from demiurge.training.ground import groups_of, shared_ground
from demiurge.training.recipe import Recipe

#: From this many scenes on, whole scenes validate.
MANY = 4


class TooSmallError(ConfigError):
    """A scene holds no chip of the recipe's size."""


@dataclass(frozen=True)
class Region:
    """Part of a scene that chips may be taken from."""

    scene: Scene
    window: Window

    @property
    def grid(self) -> GeoBox:
        """Return the grid of the window."""
        return window_grid(self.scene.grid, self.window)


@dataclass(frozen=True)
class Split:
    """Who learns from what: places that train, that validate, and that test."""

    training: list[Region]
    validating: list[Region]
    testing: list[Region] = field(default_factory=list)


def split_places(
    scenes: Sequence[Scene], recipe: Recipe, places: Sequence[int] | None = None
) -> Split:
    """Return the regions for training and those for validation.

    Either whole places (scenes that overlap are one place), or the eastern (or southern) stripe
    of each place with a buffer between the two; ``split.by`` decides.

    Parameters
    ----------
    places
        Result of :func:`places_of`, if known already.

    Raises
    ------
    TooSmallError
        If no scene is large enough for the chips.
    ConfigError
        If one place would both train and validate.
    """
    by = recipe.split.by
    groups = _members(places_of(scenes) if places is None else places)
    if by == "auto":
        by = "scenes" if len(groups) >= MANY else "stripes"
    if by == "stripes":
        share = recipe.split.validation
        cuts = [(0.0, 1 - share, "training"), (1 - share, 1.0, "validating")]
        return _checked(_striped(scenes, groups, cuts, recipe), recipe)
    if len(groups) < 2:
        raise ConfigError("split.by is 'scenes' but all scenes lie in one place", "use stripes")
    held = _held(groups, len(scenes), recipe)
    training = [Region(s, full_window(s.grid)) for i, s in enumerate(scenes) if i not in held]
    validating = [Region(scenes[i], full_window(scenes[i].grid)) for i in sorted(held)]
    return _checked(Split(training, validating), recipe)


def split_folds(
    scenes: Sequence[Scene], recipe: Recipe, folds: int, places: Sequence[int] | None = None
) -> list[Split]:
    """Return one split for each fold: a stripe of every place tests, the next one validates.

    Each place is cut into as many stripes of equal width as there are folds, side by side along
    ``split.axis``; pixels near stripes of another use are left out (Stucker and Schindler 2022
    cut theirs in five).

    Parameters
    ----------
    places
        Result of :func:`places_of`, if known already.

    Raises
    ------
    TooSmallError
        If the stripes are too narrow for the chips.
    """
    groups = _members(places_of(scenes) if places is None else places)
    found = []
    for fold in range(folds):
        uses = {fold: "testing", (fold + 1) % folds: "validating"}
        cuts: list[tuple[float, float, str]] = []
        for stripe in range(folds):
            use, end = uses.get(stripe, "training"), (stripe + 1) / folds
            if cuts and cuts[-1][2] == use:
                cuts[-1] = (cuts[-1][0], end, use)
            else:
                cuts.append((stripe / folds, end, use))
        found.append(_checked(_striped(scenes, groups, cuts, recipe), recipe))
    return found


def _checked(split: Split, recipe: Recipe) -> Split:
    size = recipe.chips.size
    parts = {}
    for use in ("training", "validating", "testing"):
        regions: list[Region] = getattr(split, use)
        roomy = [r for r in regions if min(r.window.height, r.window.width) >= size]
        if regions and not roomy:
            raise _too_small(regions[0], recipe)
        parts[use] = roomy
    return require_apart(Split(**parts))


def places_of(scenes: Sequence[Scene]) -> list[int]:
    """Return the number of each scene's place: scenes that overlap, also by way of others."""
    return groups_of([scene.grid for scene in scenes])


def _members(places: Sequence[int]) -> list[list[int]]:
    """Return the indices of scenes by place."""
    found: dict[int, list[int]] = {}
    for index, place in enumerate(places):
        found.setdefault(place, []).append(index)
    return [found[place] for place in sorted(found)]


def _held(groups: list[list[int]], count: int, recipe: Recipe) -> set[int]:
    """Draw places that validate: about the share asked for, and at least one."""
    wanted = max(1.0, count * recipe.split.validation)
    held: set[int] = set()
    for index in np.random.default_rng(recipe.seed).permutation(len(groups)):
        group = groups[int(index)]
        if len(held) + len(group) <= 1.5 * wanted and len(held) < round(wanted):
            held |= set(group)
    return held or set(sorted(groups, key=len)[0])


def require_apart(split: Split) -> Split:
    """Return a split whose uses share no ground.

    Raises
    ------
    ConfigError
        If one place would have two uses.
    """
    _apart(split.training, split.validating, "validates on")
    _apart([*split.training, *split.validating], split.testing, "is tested on")
    return split


def _apart(learning: Sequence[Region], judging: Sequence[Region], what: str) -> None:
    pairs = shared_ground([r.grid for r in learning], [r.grid for r in judging])
    if len(pairs):
        a, b = (learning[pairs[0, 0]].scene, judging[pairs[0, 1]].scene)
        raise ConfigError(
            f"scene '{a.name}' trains on ground that scene '{b.name}' {what}",
            "use split.by=stripes for scenes of one place, or leave one out",
        )


def _striped(
    scenes: Sequence[Scene],
    groups: list[list[int]],
    cuts: Sequence[tuple[float, float, str]],
    recipe: Recipe,
) -> Split:
    """Cut places at shares of their extent, scenes of one place at the same lines."""
    split = Split([], [])
    for group in groups:
        members = [scenes[i] for i in group]
        systems = {str(scene.grid.crs): scene.grid.crs for scene in members}
        extents = {
            name: union([bounds_in(scene.grid, crs) for scene in members])
            for name, crs in systems.items()
        }
        for scene in members:
            box = extents[str(scene.grid.crs)]
            for number, (low, high, use) in enumerate(cuts):
                # The one that learns keeps away from the one it is judged by.
                before = number > 0 and use != "testing"
                after = number < len(cuts) - 1 and use != "testing"
                if use == "validating":
                    before = before and cuts[number - 1][2] == "testing"
                    after = after and cuts[number + 1][2] == "testing"
                window = _stripe(scene, box, (low, high), (before, after), recipe)
                if window is not None:
                    getattr(split, use).append(Region(scene, window))
    return split


def _stripe(
    scene: Scene,
    box: Bounds,
    share: tuple[float, float],
    buffered: tuple[bool, bool],
    recipe: Recipe,
) -> Window | None:
    """Return the part of a scene between two shares of its place's extent, less the buffers."""
    rows, columns = scene.shape
    affine, size = scene.grid.affine, scene.pixel_size
    buffer = recipe.chips.size if recipe.split.buffer is None else recipe.split.buffer
    across = recipe.split.axis == "x"
    extent = box[2] - box[0] if across else box[3] - box[1]
    # How far into the place the scene begins, in pixels; shares run east or south.
    ahead = (affine.c - box[0]) / size if across else (box[3] - affine.f) / size
    first, last = (round(part * extent / size - ahead) for part in share)
    first = max(first + buffer * buffered[0], 0)
    last = min(last - buffer * buffered[1], columns if across else rows)
    if last <= first:
        return None
    if across:
        return Window(0, first, rows, last - first)
    return Window(first, 0, last - first, columns)


def _too_small(region: Region, recipe: Recipe) -> TooSmallError:
    rows, columns = region.scene.shape
    return TooSmallError(
        f"scene '{region.scene.name}' of {rows} × {columns} px is too small to hold chips of "
        f"{recipe.chips.size} px in each of its parts (training, validation)",
        "set a smaller chips.size or split.buffer, or give more scenes",
    )
