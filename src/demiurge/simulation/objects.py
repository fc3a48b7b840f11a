"""Objects on the bare earth: crop fields, hedges, towns and trees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from demiurge.arrays import Array, Indices, Mask, Values
from demiurge.simulation.classes import BUILDING, CROPS, FOREST, GRASS, ROAD, ROCK
from demiurge.simulation.fractal import fractal
from demiurge.simulation.settings import CoverSettings


@dataclass
class Canvas:
    """Rasters into which objects are drawn, all (rows, columns).

    Attributes
    ----------
    dtm, dsm
        float32 bare-earth and surface heights in metres.
    landcover
        uint8 class numbers.
    shade
        float32 relative brightness of a pixel against the mean of its class.
    gsd
        Pixel size in metres.
    """

    dtm: Array
    dsm: Array
    landcover: npt.NDArray[np.uint8]
    shade: Array
    gsd: float

    @classmethod
    def grass(cls, dtm: Array, gsd: float) -> Canvas:
        """Return a canvas of grass without objects."""
        cover = np.full(dtm.shape, GRASS, np.uint8)
        return cls(dtm, dtm.copy(), cover, np.zeros(dtm.shape, np.float32), gsd)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.dtm.shape[0], self.dtm.shape[1]


def field_labels(
    shape: tuple[int, int], side: float, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Return the number of the crop field at each pixel, int32.

    Fields are the Voronoi cells of a jittered, rotated and stretched lattice.

    Parameters
    ----------
    shape
        Rows and columns.
    side
        Side of a field in pixels.
    """
    angle, stretch = rng.uniform(0, np.pi / 2), rng.uniform(1.3, 2.4)
    half = int(np.hypot(*shape) / side * stretch) + 2
    a, b = (g.ravel().astype(float) for g in np.mgrid[-half:half, -half:half])
    a += rng.uniform(-0.28, 0.28, a.size)
    b += rng.uniform(-0.28, 0.28, b.size)
    # Each row has a different shift, so that boundaries do not line up.
    a += rng.uniform(0, 1, 2 * half)[(np.rint(b).astype(int) + half) % (2 * half)]
    a *= side * stretch
    b *= side / stretch
    y = (a * np.sin(angle) + b * np.cos(angle) + shape[0] / 2).astype(int)
    x = (a * np.cos(angle) - b * np.sin(angle) + shape[1] / 2).astype(int)
    keep = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    empty = np.ones(shape, np.uint8)
    empty[y[keep], x[keep]] = 0
    if empty.all():
        return np.zeros(shape, np.int32)
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return np.asarray(labels, np.int32)


def draw_fields(
    canvas: Canvas, area: Mask, rng: np.random.Generator, side: float = 70.0
) -> Indices:
    """Draw crop fields of different brightness.

    Parameters
    ----------
    area
        bool (rows, columns) of the cropland.
    side
        Side of a field in metres.

    Returns
    -------
    Rows and columns of boundary pixels where hedges may stand, (n, 2).
    """
    labels = field_labels(canvas.shape, side / canvas.gsd, rng)
    count = int(labels.max()) + 1
    tint = rng.normal(0, 0.25, count).astype(np.float32).clip(-0.5, 0.6)
    canvas.landcover[area] = CROPS
    np.copyto(canvas.shade, tint[labels], where=area)
    edge = np.zeros(canvas.shape, bool)
    edge[1:, 1:] = (labels[1:, 1:] != labels[:-1, 1:]) | (labels[1:, 1:] != labels[1:, :-1])
    edge &= area
    # The pair of fields decides whether their boundary has a hedge along its full length.
    position = np.argwhere(edge)
    here = labels[position[:, 0], position[:, 1]].astype(np.int64)
    other = labels[np.maximum(position[:, 0] - 1, 0), position[:, 1]].astype(np.int64)
    chosen = (here * 7919 + other * 104729) % 10 < 4
    return np.asarray(position[chosen])


def build_town(
    canvas: Canvas, area: Mask, settings: CoverSettings, rng: np.random.Generator
) -> None:
    """Draw a rotated street grid and buildings along the streets.

    Parameters
    ----------
    area
        bool (rows, columns) of the town.
    """
    gsd = canvas.gsd
    angle = rng.uniform(0, np.pi / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    frame = np.array([cos, sin, gsd])
    block = (rng.uniform(55, 90), rng.uniform(35, 60))
    _pave(canvas.landcover, area, frame, np.array(block))
    height, width = (n * gsd for n in canvas.shape)
    along, across = (0.0, width * cos + height * sin), (-width * sin, height * cos)
    lots = np.array(
        [lot for lot in _lots(along, across, block, rng) if _inside(lot, area, cos, sin, gsd)]
    )
    if lots.size == 0:
        return
    low, high = settings.building_height
    count = len(lots)
    # Most buildings are low; a few are tall.
    eaves = low + (high - low) * rng.beta(1.2, 3.5, count)
    roofs = rng.choice(3, count, p=(0.35, 0.45, 0.2))
    pitch = rng.uniform(0.35, 0.8, count)
    tint = rng.normal(0, 0.12, count)
    _draw_buildings(
        canvas.dsm, canvas.dtm, canvas.landcover, canvas.shade, lots, eaves, roofs, pitch, tint,
        frame,
    )  # fmt: skip


@njit(cache=True)
def _pave(landcover, area, frame, block):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Draw streets of 6 m between blocks."""
    cos, sin, gsd = frame
    rows, columns = landcover.shape
    for r in range(rows):
        for c in range(columns):
            if not area[r, c]:
                continue
            along = gsd * (c * cos + r * sin)
            across = gsd * (r * cos - c * sin)
            if min(along % block[0], across % block[1]) < 6:
                landcover[r, c] = ROAD


def _lots(
    along: tuple[float, float],
    across: tuple[float, float],
    block: tuple[float, float],
    rng: np.random.Generator,
) -> list[tuple[float, float, float, float]]:
    """Return centre and half sides of buildings in the axes of the street grid, in metres."""
    lots = []
    for i in range(int(along[0] // block[0]), int(along[1] // block[0]) + 1):
        for j in range(int(across[0] // block[1]), int(across[1] // block[1]) + 1):
            start = i * block[0] + 8.0
            while start < (i + 1) * block[0] - 8:
                width = rng.uniform(8, 22)
                for row in (0.28, 0.76):
                    depth = rng.uniform(7, 0.34 * block[1])
                    centre = (j + row) * block[1] + 2 + rng.uniform(-1.5, 1.5)
                    if rng.random() < 0.85:
                        lots.append((start + width / 2, centre, width / 2, depth / 2))
                start += width + rng.uniform(3, 10)
    return lots


def _inside(
    lot: tuple[float, float, float, float], area: Mask, cos: float, sin: float, gsd: float
) -> bool:
    """Return whether corners, edge centres and centre of a lot lie in an area."""
    a, b, half_a, half_b = lot
    for da in (-half_a, 0, half_a):
        for db in (-half_b, 0, half_b):
            x, y = (a + da) * cos - (b + db) * sin, (a + da) * sin + (b + db) * cos
            row, col = int(y / gsd), int(x / gsd)
            if not (0 <= row < area.shape[0] and 0 <= col < area.shape[1] and area[row, col]):
                return False
    return True


@njit(cache=True)
def _draw_buildings(  # type: ignore[no-untyped-def]  # pragma: no cover
    dsm, dtm, landcover, shade, lots, eaves, roofs, pitch, tint, frame
):
    """Draw buildings with flat, gabled or hipped roofs on a level floor."""
    cos, sin, gsd = frame
    rows, columns = dsm.shape
    for k in range(lots.shape[0]):
        a, b, half_a, half_b = lots[k]
        radius = np.hypot(half_a, half_b)
        x, y = a * cos - b * sin, a * sin + b * cos
        first_row, last_row = (
            max(int((y - radius) / gsd), 0),
            min(int((y + radius) / gsd) + 2, rows),
        )
        first_col = max(int((x - radius) / gsd), 0)
        last_col = min(int((x + radius) / gsd) + 2, columns)
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
                elif roofs[k] == 2:  # hipped
                    rise = min(half_b - abs(v), half_a - abs(u))
                top = floor + eaves[k] + pitch[k] * rise
                if top > dsm[r, c]:
                    dsm[r, c] = top
                    landcover[r, c] = BUILDING
                    shade[r, c] = tint[k]


def plant_trees(
    canvas: Canvas, forest: Mask, settings: CoverSettings, rng: np.random.Generator
) -> None:
    """Plant stands, and single trees on grass and rock elsewhere.

    Parameters
    ----------
    forest
        bool (rows, columns) of the stands.
    """
    rows, columns = canvas.shape
    hectares = rows * columns * canvas.gsd**2 / 1e4
    count = int(hectares * settings.trees_per_hectare)
    position = rng.uniform(0, 1, (count, 2)) * (rows - 1, columns - 1)
    pixel = position.astype(np.int64)
    stand = forest[pixel[:, 0], pixel[:, 1]]
    free = np.isin(canvas.landcover[pixel[:, 0], pixel[:, 1]], (GRASS, ROCK))
    keep = free & (stand | (rng.random(count) < settings.single_trees))
    position, pixel = position[keep], pixel[keep]
    low, high = settings.tree_height
    # Stands differ in age: heights follow a smooth field, with individual variation.
    age = _smooth_field(canvas.shape, 0.7, pixel, rng)
    share = np.clip(0.5 + 0.2 * age + rng.normal(0, 0.13, len(position)), 0.05, 1)
    height = low + (high - low) * share
    conifer = _smooth_field(canvas.shape, 0.6, pixel, rng) > 0.2
    radius = np.where(conifer, 0.10, 0.17) * height + rng.uniform(0.3, 1.0, len(position))
    _draw_trees(canvas, position, height, radius, conifer, rng)


def plant_hedges(canvas: Canvas, boundary: Indices, rng: np.random.Generator) -> None:
    """Plant bushes and some trees along boundaries of fields.

    Parameters
    ----------
    boundary
        Rows and columns of boundary pixels, (n, 2).
    """
    # About one bush per metre, with gaps.
    kept = boundary[rng.random(len(boundary)) < min(1.0, 0.8 * canvas.gsd)]
    position = kept + rng.normal(0, 0.4 / canvas.gsd, kept.shape)
    position = np.clip(position, 0, np.array(canvas.shape) - 1)
    tree = rng.random(len(kept)) < 0.03
    height = np.where(tree, rng.uniform(6, 14, len(kept)), rng.uniform(1.5, 3.5, len(kept)))
    radius = np.where(tree, 0.2 * height, rng.uniform(0.8, 1.6, len(kept)))
    _draw_trees(canvas, position, height, radius, np.zeros(len(kept), bool), rng)


def _smooth_field(
    shape: tuple[int, int], hurst: float, pixel: Indices, rng: np.random.Generator
) -> Array:
    """Return a fractal field at pixels, made at a quarter of the resolution."""
    field = fractal((shape[0] // 4 + 1, shape[1] // 4 + 1), hurst, rng)
    return np.asarray(field[pixel[:, 0] // 4, pixel[:, 1] // 4])


def _draw_trees(
    canvas: Canvas,
    position: Values,
    height: Values,
    radius: Values,
    conifer: Mask,
    rng: np.random.Generator,
) -> None:
    """Draw crowns at float rows and columns; heights and radii in metres."""
    tint = rng.normal(0, 0.10, len(position)) - 0.1 * conifer
    relief = fractal((257, 251), 0.3, rng)
    _draw_crowns(
        canvas.dsm, canvas.dtm, canvas.landcover, canvas.shade,
        position, height, radius, conifer, tint, relief, canvas.gsd,
    )  # fmt: skip


@njit(cache=True)
def _draw_crowns(  # type: ignore[no-untyped-def]  # pragma: no cover
    dsm, dtm, landcover, shade, position, height, radius, conifer, tint, relief, gsd
):
    """Draw cones (conifers) and half ellipsoids (broad-leaved); the highest crown is kept."""
    rows, columns = dsm.shape
    high, wide = relief.shape
    for k in range(position.shape[0]):
        y, x = position[k]
        reach = radius[k] / gsd
        foot = dtm[int(y), int(x)]
        for r in range(max(int(y - reach), 0), min(int(y + reach) + 2, rows)):
            for c in range(max(int(x - reach), 0), min(int(x + reach) + 2, columns)):
                d = np.hypot(r - y, c - x) / reach
                if d >= 1:
                    continue
                part = 1 - 0.85 * d if conifer[k] else 0.55 + 0.45 * np.sqrt(1 - d * d)
                lump = 0.25 * relief[(r + 31 * k) % high, (c + 57 * k) % wide]
                top = foot + height[k] * part + lump
                if top > dsm[r, c] and landcover[r, c] != BUILDING:
                    dsm[r, c] = top
                    landcover[r, c] = FOREST
                    shade[r, c] = tint[k]
