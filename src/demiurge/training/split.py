"""Split of scenes into training, validation and test. No ground is in two of them.

Footprints are compared with one spatial index and one transform per grid and CRS, so that the cost
grows linearly with the number of scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from demiurge.arrays import Mask, Values
from demiurge.errors import ConfigError
from demiurge.scene.footprint import bounds_in
from demiurge.scene.grid import Bounds, Window, full_window, pixel_size, union, window_grid
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe

Pairs = npt.NDArray[np.int64]

#: Minimum number of places for validation on entire places.
MANY = 4
#: Share of its extent by which a box in degrees is enlarged. The edges of a footprint are curved
#: and may bulge between the sampled points.
_MARGIN = 1e-3


class TooSmallError(ConfigError):
    """No part of a split holds a chip of the recipe's size."""


@dataclass(frozen=True)
class Region:
    """Window of a scene that chips are taken from."""

    scene: Scene
    window: Window

    @property
    def grid(self) -> GeoBox:
        """Return the grid of the window."""
        return window_grid(self.scene.grid, self.window)


@dataclass(frozen=True)
class PlaceSplit:
    """Regions for training, validation and test."""

    training: list[Region]
    validating: list[Region]
    testing: list[Region] = field(default_factory=list)


def split_places(
    scenes: Sequence[Scene], recipe: Recipe, places: Sequence[int] | None = None
) -> PlaceSplit:
    """Split scenes into training and validation, as the recipe's ``split`` says.

    Scenes whose ``scene.yaml`` states a use keep it. Otherwise validation takes entire places
    (overlapping scenes are one place), or the eastern (southern)
    stripe of each place, with a buffer between the stripes.

    Parameters
    ----------
    places
        Result of :func:`places_of`, if known.

    Raises
    ------
    TooSmallError
        If no scene is large enough for the chips.
    ConfigError
        If training and validation would share ground.
    """
    by = recipe.split.by
    marked = _marked(scenes) if by != "stripes" else None
    if marked is not None:
        return _checked(marked, recipe)
    groups = _members(places_of(scenes) if places is None else places)
    if by == "auto":
        by = "scenes" if len(groups) >= MANY else "stripes"
    if by == "stripes":
        share = recipe.split.validation
        cuts = [(0.0, 1 - share, "training"), (1 - share, 1.0, "validating")]
        return _checked(_striped(scenes, groups, cuts, recipe), recipe)
    if len(groups) < 2:
        raise ConfigError("split.by is 'scenes' but all scenes lie in one place", "use stripes")
    held_out = _draw_validation(groups, len(scenes), recipe)
    training = [Region(s, full_window(s.grid)) for i, s in enumerate(scenes) if i not in held_out]
    validating = [Region(scenes[i], full_window(scenes[i].grid)) for i in sorted(held_out)]
    return _checked(PlaceSplit(training, validating), recipe)


def split_folds(
    scenes: Sequence[Scene], recipe: Recipe, folds: int, places: Sequence[int] | None = None
) -> list[PlaceSplit]:
    """Return one split per fold: one stripe of every place tests, the next one validates.

    Each place is cut along ``split.axis`` into as many stripes of equal width as there are folds.
    Pixels near stripes of another use are left out. Stucker and Schindler 2022 use five stripes.

    Parameters
    ----------
    places
        Result of :func:`places_of`, if known.

    Raises
    ------
    TooSmallError
        If the stripes are too narrow for the chips.
    """
    groups = _members(places_of(scenes) if places is None else places)
    splits = []
    for fold in range(folds):
        uses = {fold: "testing", (fold + 1) % folds: "validating"}
        cuts: list[tuple[float, float, str]] = []
        for stripe in range(folds):
            use, end = uses.get(stripe, "training"), (stripe + 1) / folds
            if cuts and cuts[-1][2] == use:
                cuts[-1] = (cuts[-1][0], end, use)
            else:
                cuts.append((stripe / folds, end, use))
        splits.append(_checked(_striped(scenes, groups, cuts, recipe), recipe))
    return splits


def _checked(split: PlaceSplit, recipe: Recipe) -> PlaceSplit:
    """Return a split without regions that are smaller than a chip."""
    size = recipe.chips.size
    kept = {}
    for use in ("training", "validating", "testing"):
        regions: list[Region] = getattr(split, use)
        kept[use] = [r for r in regions if min(r.window.height, r.window.width) >= size]
        if regions and not kept[use]:
            raise _too_small(regions[0], recipe)
    return require_apart(PlaceSplit(**kept))


def places_of(scenes: Sequence[Scene]) -> list[int]:
    """Return the number of each scene's place. Overlapping scenes have the same number."""
    return overlapping_groups([scene.grid for scene in scenes])


def _marked(scenes: Sequence[Scene]) -> PlaceSplit | None:
    """Return the split that scenes state in ``scene.yaml``; None unless all do, for both uses."""
    uses = [None if scene.spec is None else scene.spec.use for scene in scenes]
    if None in uses or len(set(uses)) < 2:
        return None
    split = PlaceSplit([], [])
    for scene, use in zip(scenes, uses, strict=True):
        getattr(split, str(use)).append(Region(scene, full_window(scene.grid)))
    return split


def _members(places: Sequence[int]) -> list[list[int]]:
    """Return the indices of the scenes of each place."""
    members: dict[int, list[int]] = {}
    for index, place in enumerate(places):
        members.setdefault(place, []).append(index)
    return [members[place] for place in sorted(members)]


def _draw_validation(groups: list[list[int]], count: int, recipe: Recipe) -> set[int]:
    """Draw the scenes that validate: about the recipe's share, at least one place."""
    target = max(1.0, count * recipe.split.validation)
    drawn: set[int] = set()
    for index in np.random.default_rng(recipe.seed).permutation(len(groups)):
        group = groups[int(index)]
        if len(drawn) + len(group) <= 1.5 * target and len(drawn) < round(target):
            drawn |= set(group)
    return drawn or set(sorted(groups, key=len)[0])


def require_apart(split: PlaceSplit) -> PlaceSplit:
    """Return a split whose uses share no ground.

    Raises
    ------
    ConfigError
        If some ground has two uses.
    """
    _require_disjoint(split.training, split.validating, "validates on")
    _require_disjoint([*split.training, *split.validating], split.testing, "is tested on")
    return split


def _require_disjoint(first: Sequence[Region], second: Sequence[Region], use: str) -> None:
    pairs = overlapping_pairs([r.grid for r in first], [r.grid for r in second])
    if len(pairs):
        a, b = (first[pairs[0, 0]].scene, second[pairs[0, 1]].scene)
        raise ConfigError(
            f"scene '{a.name}' trains on ground that scene '{b.name}' {use}",
            "use split.by=stripes for scenes of one place, or leave one out",
        )


def _striped(
    scenes: Sequence[Scene],
    groups: list[list[int]],
    cuts: Sequence[tuple[float, float, str]],
    recipe: Recipe,
) -> PlaceSplit:
    """Cut places at shares of their extent. Scenes of one place are cut at the same lines."""
    split = PlaceSplit([], [])
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
                # Training keeps a buffer to both other uses, validation to the test stripe.
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
    # Offset in pixels of the scene within its place. Shares run to the east or south.
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


def overlapping_pairs(first: Sequence[GeoBox], second: Sequence[GeoBox]) -> Pairs:
    """Return the pairs of grids that overlap. Grids that touch within 1 % of a pixel do not.

    Parameters
    ----------
    first, second
        Metric grids in any CRS, at any longitude. Footprints are compared in the CRS of ``first``.

    Returns
    -------
    int64 (pairs, 2): indices into ``first`` and ``second``, in ascending order.

    Raises
    ------
    DataError
        If a footprint cannot be transformed to degrees.
    """
    if not first or not second:
        return np.empty((0, 2), np.int64)
    # Several acquisitions of one place often have the same grid.
    grids: dict[tuple[object, ...], GeoBox] = {}
    keys = [_key(grid) for grid in (*first, *second)]
    for key, grid in zip(keys, (*first, *second), strict=True):
        grids.setdefault(key, grid)
    number = {key: i for i, key in enumerate(grids)}
    which = np.array([number[key] for key in keys], np.int64)
    a, b = which[: len(first)], which[len(first) :]
    unique = list(grids.values())
    boxes = _boxes_in_degrees(unique)
    pairs = _candidates(boxes[a], boxes[b])
    left, right = a[pairs[:, 0]], b[pairs[:, 1]]
    return pairs[_overlap(unique, left, right)]


def overlapping_groups(grids: Sequence[GeoBox]) -> list[int]:
    """Return a number per grid, equal for grids that overlap directly or through others.

    Numbers start at 0 and ascend in the order in which they first occur.
    """
    pairs = overlapping_pairs(grids, grids)
    later, earlier = pairs[pairs[:, 0] > pairs[:, 1]].T
    links = coo_array((np.ones(len(later), bool), (later, earlier)), shape=(len(grids),) * 2)
    _, labels = connected_components(links, directed=False)
    seen: dict[int, int] = {}
    return [seen.setdefault(int(label), len(seen)) for label in labels]


def _key(grid: GeoBox) -> tuple[object, ...]:
    return str(grid.crs), tuple(grid.affine)[:6], tuple(grid.shape)


def _boxes_in_degrees(grids: Sequence[GeoBox]) -> Values:
    """Return slightly enlarged bounds in degrees (grids, 4), within one turn of ±180°."""
    degrees = CRS("EPSG:4326")
    boxes = np.array([bounds_in(grid, degrees) for grid in grids])
    margin = _MARGIN * (boxes[:, 2:] - boxes[:, :2])
    return np.hstack([boxes[:, :2] - margin, boxes[:, 2:] + margin])


def _candidates(first: Values, second: Values) -> Pairs:
    """Return the pairs (pairs, 2) of boxes in degrees that intersect, also across 180°."""
    shifted = np.concatenate([first + np.array([turn, 0, turn, 0]) for turn in (-360, 0, 360)])
    tree = shapely.STRtree(shapely.box(*second.T))
    i, j = tree.query(shapely.box(*shifted.T))
    codes = np.unique(i % len(first) * len(second) + j)
    return np.stack(np.divmod(codes, len(second)), axis=1)


def _overlap(grids: Sequence[GeoBox], left: Pairs, right: Pairs) -> Mask:
    """Return for each pair of grids whether footprints overlap in the CRS of the left one."""
    names = [str(grid.crs) for grid in grids]
    systems = {name: i for i, name in enumerate(dict.fromkeys(names))}
    crs_of = np.array([systems[name] for name in names], np.int64)
    count = len(grids)
    codes = np.concatenate([crs_of[left] * count + left, crs_of[left] * count + right])
    needed, place = np.unique(codes, return_inverse=True)
    crs = {systems[name]: grid.crs for name, grid in zip(names, grids, strict=True)}
    boxes = np.array(
        [bounds_in(grids[code % count], crs[code // count]) for code in needed.tolist()]
    ).reshape(-1, 4)
    a, b = boxes[place[: len(left)]], boxes[place[len(left) :]]
    sizes = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    slack = 0.01 * np.array([pixel_size(grid) for grid in grids])[left]
    return np.asarray((sizes > slack[:, None]).all(axis=1))
