"""Trees: stands, single ones, hedges; cones for conifers, half ellipsoids for the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from demiurge.arrays import Mask
from demiurge.simulation.canvas import GRASS, ROCK, Canvas
from demiurge.simulation.fields import fractal
from demiurge.simulation.settings import CoverSettings


def plant(canvas: Canvas, forest: Mask, settings: CoverSettings, rng: np.random.Generator) -> None:
    """Plant stands, and single trees elsewhere but on roads, roofs, crops, snow and water."""
    rows, columns = canvas.shape
    hectares = rows * columns * canvas.gsd**2 / 1e4
    count = int(hectares * settings.trees_per_hectare)
    place = rng.uniform(0, 1, (count, 2)) * (rows - 1, columns - 1)
    at = place.astype(np.int64)
    stand = forest[at[:, 0], at[:, 1]]
    free = np.isin(canvas.landcover[at[:, 0], at[:, 1]], (GRASS, ROCK))
    keep = free & (stand | (rng.random(count) < settings.single_trees))
    place, at = place[keep], at[keep]
    low, high = settings.tree_height
    # Stands differ in age: heights follow a slow field, with a spread of their own.
    age = _slow(canvas.shape, 0.7, at, rng)
    share = np.clip(0.5 + 0.2 * age + rng.normal(0, 0.13, len(place)), 0.05, 1)
    height = low + (high - low) * share
    conifer = _slow(canvas.shape, 0.6, at, rng) > 0.2
    radius = np.where(conifer, 0.10, 0.17) * height + rng.uniform(0.3, 1.0, len(place))
    _grow(canvas, place, height, radius, conifer, rng)


def plant_hedges(canvas: Canvas, line: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """Plant bushes, and here and there a tree, along boundaries of fields.

    Parameters
    ----------
    line
        Rows and columns of boundary pixels, (n, 2).
    """
    # A bush every metre or so, with gaps.
    kept = line[rng.random(len(line)) < min(1.0, 0.8 * canvas.gsd)]
    place = kept + rng.normal(0, 0.4 / canvas.gsd, kept.shape)
    place = np.clip(place, 0, np.array(canvas.shape) - 1)
    tree = rng.random(len(kept)) < 0.03
    height = np.where(tree, rng.uniform(6, 14, len(kept)), rng.uniform(1.5, 3.5, len(kept)))
    radius = np.where(tree, 0.2 * height, rng.uniform(0.8, 1.6, len(kept)))
    _grow(canvas, place, height, radius, np.zeros(len(kept), bool), rng)


def _slow(
    shape: tuple[int, int],
    hurst: float,
    at: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Look up a field that needs no detail, made at a quarter of the size."""
    field = fractal((shape[0] // 4 + 1, shape[1] // 4 + 1), hurst, rng)
    return np.asarray(field[at[:, 0] // 4, at[:, 1] // 4])


def _grow(
    canvas: Canvas,
    place: npt.NDArray[np.float64],
    height: npt.NDArray[np.float64],
    radius: npt.NDArray[np.float64],
    conifer: Mask,
    rng: np.random.Generator,
) -> None:
    tint = rng.normal(0, 0.10, len(place)) - 0.1 * conifer
    lumps = fractal((257, 251), 0.3, rng)
    _stamp(
        canvas.dsm, canvas.dtm, canvas.landcover, canvas.shade,
        place, height, radius, conifer, tint, lumps, canvas.gsd,
    )  # fmt: skip


@njit(cache=True)
def _stamp(  # type: ignore[no-untyped-def]  # pragma: no cover
    dsm, dtm, landcover, shade, place, height, radius, conifer, tint, lumps, gsd
):
    """Stamp crowns, the higher one wins: cones for conifers, half ellipsoids for the others."""
    rows, columns = dsm.shape
    high, wide = lumps.shape
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
                top = (
                    foot + height[k] * part + 0.25 * lumps[(r + 31 * k) % high, (c + 57 * k) % wide]
                )
                if top > dsm[r, c] and landcover[r, c] != 3:
                    dsm[r, c] = top
                    landcover[r, c] = 2
                    shade[r, c] = tint[k]
