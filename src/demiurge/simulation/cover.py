"""What stands on the terrain: trees, buildings, roads, water. Heights, classes and albedo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage

from demiurge.simulation.settings import CoverSettings
from demiurge.simulation.terrain import fractal

Array = npt.NDArray[np.float32]

#: Land-cover class numbers.
GRASS, FOREST, BUILDING, ROAD, WATER, ROCK = 1, 2, 3, 4, 5, 6
CLASSES = {
    GRASS: "grass and soil",
    FOREST: "trees",
    BUILDING: "buildings",
    ROAD: "roads",
    WATER: "water",
    ROCK: "rock",
}
#: Mean panchromatic reflectance, spread of its texture, and NDVI by class.
_MATTER = {
    GRASS: (0.30, 0.05, 0.45),
    FOREST: (0.22, 0.05, 0.75),
    BUILDING: (0.40, 0.03, 0.05),
    ROAD: (0.22, 0.015, 0.05),
    WATER: (0.06, 0.004, -0.2),
    ROCK: (0.42, 0.06, 0.08),
}


@dataclass(frozen=True)
class World:
    """A place in full: what the views see and what the truth is.

    Attributes
    ----------
    dtm, dsm
        float32 bare-earth and surface heights in metres.
    landcover
        uint8 class numbers.
    albedo, ndvi
        float32 panchromatic reflectance 0 … 1, and vegetation index.
    """

    dtm: Array
    dsm: Array
    landcover: npt.NDArray[np.uint8]
    albedo: Array
    ndvi: Array


def build_world(dtm: Array, gsd: float, settings: CoverSettings, rng: np.random.Generator) -> World:
    """Grow a cover on a terrain.

    Parameters
    ----------
    dtm
        float32 (rows, columns) in metres, finite.
    gsd
        Pixel size in metres.
    """
    dtm, water = _flood(dtm, settings.water, gsd)
    landcover = np.full(dtm.shape, GRASS, np.uint8)
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(dtm, 2 / gsd), gsd))
    landcover[slope > 0.9] = ROCK
    dsm = dtm.copy()
    town = _patch(dtm.shape, settings.town, gsd, rng, avoid=water | (slope > 0.25))
    shade = np.zeros(dtm.shape, np.float32)
    if town.any():
        _build_town(dsm, dtm, landcover, shade, town, gsd, settings, rng)
    forest = _patch(dtm.shape, settings.forest, gsd, rng, avoid=water | town | (slope > 1.2))
    _plant(dsm, dtm, landcover, shade, forest, gsd, settings, rng)
    landcover[water] = WATER
    dsm[water] = dtm[water]
    albedo, ndvi = _matter(landcover, shade, gsd, rng)
    return World(dtm, dsm, landcover, albedo, ndvi)


def _flood(dtm: Array, share: float, gsd: float) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Fill the lowest places to a level, as lakes of some size."""
    if share == 0:
        return dtm, np.zeros(dtm.shape, bool)
    level = float(np.quantile(dtm, share))
    wet = ndimage.binary_opening(dtm < level, iterations=max(1, int(3 / gsd)))
    flooded = np.where(wet, np.float32(level), dtm)
    return np.asarray(flooded, np.float32), np.asarray(wet)


def _patch(
    shape: tuple[int, int],
    share: float,
    gsd: float,
    rng: np.random.Generator,
    avoid: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Return ragged patches that cover a share of the area."""
    if share == 0:
        return np.zeros(shape, bool)
    field = fractal(shape, 0.6, rng)
    field = ndimage.gaussian_filter(field, 2 / gsd)
    return np.asarray((field > np.quantile(field, 1 - share)) & ~avoid)


def _build_town(
    dsm: Array,
    dtm: Array,
    landcover: npt.NDArray[np.uint8],
    shade: Array,
    town: npt.NDArray[np.bool_],
    gsd: float,
    settings: CoverSettings,
    rng: np.random.Generator,
) -> None:
    """Lay out streets at an angle and set buildings along them."""
    rows, columns = dsm.shape
    angle = rng.uniform(0, np.pi / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    y, x = (np.mgrid[:rows, :columns] * gsd).astype(np.float32)
    along, across = x * cos + y * sin, -x * sin + y * cos
    block = (rng.uniform(55, 90), rng.uniform(35, 60))
    street = np.minimum(along % block[0], across % block[1]) < 6
    landcover[street & town] = ROAD
    lots = _lots(along, across, block, rng)
    plan = np.array([lot for lot in lots if _inside(lot, town, cos, sin, gsd)])
    if plan.size == 0:
        return
    low, high = settings.building_height
    count = len(plan)
    # Most houses are low; a few are tall.
    eaves = low + (high - low) * rng.beta(1.2, 3.5, count)
    roofs = rng.choice(3, count, p=(0.35, 0.45, 0.2))
    pitch = rng.uniform(0.35, 0.8, count)
    tint = rng.normal(0, 0.12, count)
    _raise(
        dsm, dtm, landcover, shade, plan, eaves, roofs, pitch, tint,
        np.array([cos, sin, gsd]),
    )  # fmt: skip


def _lots(
    along: Array, across: Array, block: tuple[float, float], rng: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """Return centre and half sides of buildings in the town's own axes, in metres."""
    found = []
    for i in range(int(along.min() // block[0]), int(along.max() // block[0]) + 1):
        for j in range(int(across.min() // block[1]), int(across.max() // block[1]) + 1):
            place = i * block[0] + 8.0
            while place < (i + 1) * block[0] - 8:
                wide = rng.uniform(8, 22)
                for row in (0.28, 0.76):
                    deep = rng.uniform(7, 0.34 * block[1])
                    centre = (j + row) * block[1] + 2 + rng.uniform(-1.5, 1.5)
                    if rng.random() < 0.85:
                        found.append((place + wide / 2, centre, wide / 2, deep / 2))
                place += wide + rng.uniform(3, 10)
    return found


def _inside(
    lot: tuple[float, float, float, float],
    town: npt.NDArray[np.bool_],
    cos: float,
    sin: float,
    gsd: float,
) -> bool:
    """Tell whether all corners of a lot lie in the town."""
    a, b, half_a, half_b = lot
    for da in (-half_a, 0, half_a):
        for db in (-half_b, 0, half_b):
            x, y = (a + da) * cos - (b + db) * sin, (a + da) * sin + (b + db) * cos
            row, col = int(y / gsd), int(x / gsd)
            if not (0 <= row < town.shape[0] and 0 <= col < town.shape[1] and town[row, col]):
                return False
    return True


@njit(cache=True)
def _raise(  # type: ignore[no-untyped-def]  # pragma: no cover
    dsm, dtm, landcover, shade, plan, eaves, roofs, pitch, tint, frame
):
    """Raise buildings: flat, gabled and hipped roofs over a level floor."""
    cos, sin, gsd = frame
    rows, columns = dsm.shape
    for k in range(plan.shape[0]):
        a, b, half_a, half_b = plan[k]
        reach = np.hypot(half_a, half_b)
        x, y = a * cos - b * sin, a * sin + b * cos
        first_row, last_row = int((y - reach) / gsd), int((y + reach) / gsd) + 2
        first_col, last_col = int((x - reach) / gsd), int((x + reach) / gsd) + 2
        first_row, last_row = max(first_row, 0), min(last_row, rows)
        first_col, last_col = max(first_col, 0), min(last_col, columns)
        floor, n = 0.0, 0
        for r in range(first_row, last_row):
            for c in range(first_col, last_col):
                floor += dtm[r, c]
                n += 1
        if n == 0:
            continue
        floor /= n
        for r in range(first_row, last_row):
            for c in range(first_col, last_col):
                u = c * gsd * cos + r * gsd * sin - a
                v = -c * gsd * sin + r * gsd * cos - b
                if abs(u) > half_a or abs(v) > half_b:
                    continue
                rise = 0.0
                if roofs[k] == 1:  # gabled along the longer side
                    rise = half_b - abs(v) if half_a >= half_b else half_a - abs(u)
                elif roofs[k] == 2:
                    rise = min(half_b - abs(v), half_a - abs(u))
                top = floor + eaves[k] + pitch[k] * rise
                if top > dsm[r, c]:
                    dsm[r, c] = top
                    landcover[r, c] = 3
                    shade[r, c] = tint[k]


def _plant(
    dsm: Array,
    dtm: Array,
    landcover: npt.NDArray[np.uint8],
    shade: Array,
    forest: npt.NDArray[np.bool_],
    gsd: float,
    settings: CoverSettings,
    rng: np.random.Generator,
) -> None:
    """Plant stands, and single trees elsewhere but on roads, roofs and water."""
    rows, columns = dsm.shape
    hectares = rows * columns * gsd**2 / 1e4
    count = int(hectares * settings.trees_per_hectare)
    place = rng.uniform(0, 1, (count, 2)) * (rows - 1, columns - 1)
    at = place.astype(np.int64)
    stand = forest[at[:, 0], at[:, 1]]
    free = np.isin(landcover[at[:, 0], at[:, 1]], (GRASS, ROCK))
    keep = free & (stand | (rng.random(count) < 0.01))
    place, at = place[keep], at[keep]
    low, high = settings.tree_height
    # Stands differ in age: heights follow a slow field, with a spread of their own.
    age = fractal(dsm.shape, 0.7, rng)[at[:, 0], at[:, 1]]
    share = np.clip(0.5 + 0.2 * age + rng.normal(0, 0.13, len(place)), 0.05, 1)
    height = low + (high - low) * share
    conifer = fractal(dsm.shape, 0.6, rng)[at[:, 0], at[:, 1]] > 0.2
    radius = np.where(conifer, 0.10, 0.17) * height + rng.uniform(0.3, 1.0, len(place))
    tint = rng.normal(0, 0.10, len(place)) - 0.1 * conifer
    lumps = fractal(dsm.shape, 0.3, rng)
    _stamp(dsm, dtm, landcover, shade, place, height, radius, conifer, tint, lumps, gsd)


@njit(cache=True)
def _stamp(  # type: ignore[no-untyped-def]  # pragma: no cover
    dsm, dtm, landcover, shade, place, height, radius, conifer, tint, lumps, gsd
):
    """Stamp crowns, the higher one wins: cones for conifers, half ellipsoids for the others."""
    rows, columns = dsm.shape
    for k in range(place.shape[0]):
        y, x = place[k]
        reach = radius[k] / gsd
        foot = dtm[int(y), int(x)]
        for r in range(max(int(y - reach), 0), min(int(y + reach) + 2, rows)):
            for c in range(max(int(x - reach), 0), min(int(x + reach) + 2, columns)):
                d = np.hypot(r - y, c - x) / reach
                if d >= 1:
                    continue
                part = 1 - 0.85 * d if conifer[k] else 0.55 + 0.45 * np.sqrt(1 - d * d)
                top = foot + height[k] * part + 0.25 * lumps[r, c]
                if top > dsm[r, c] and landcover[r, c] != 3:
                    dsm[r, c] = top
                    landcover[r, c] = 2
                    shade[r, c] = tint[k]


def _matter(
    landcover: npt.NDArray[np.uint8], shade: Array, gsd: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return albedo with texture, and NDVI, by class."""
    fine = rng.standard_normal(landcover.shape).astype(np.float32)
    fine = ndimage.gaussian_filter(fine, 0.6)
    middle = fractal(landcover.shape, 0.2, rng)
    broad = fractal(landcover.shape, 0.7, rng)
    texture = 1.2 * fine + 0.6 * middle
    albedo = np.zeros(landcover.shape, np.float32)
    ndvi = np.zeros(landcover.shape, np.float32)
    for number, (mean, spread, index) in _MATTER.items():
        here = landcover == number
        varied = mean * (1 + shade[here] + 0.12 * broad[here]) + spread * texture[here]
        albedo[here] = varied
        ndvi[here] = index + 0.06 * middle[here] + 0.03 * fine[here]
    return np.clip(albedo, 0.02, 0.9), np.clip(ndvi, -1, 1)
