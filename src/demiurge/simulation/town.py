"""Towns: streets at an angle, lots along them, flat, gabled and hipped roofs."""

from __future__ import annotations

import numpy as np
from numba import njit

from demiurge.arrays import Mask
from demiurge.simulation.canvas import Canvas
from demiurge.simulation.settings import CoverSettings


def build_town(
    canvas: Canvas, town: Mask, settings: CoverSettings, rng: np.random.Generator
) -> None:
    """Lay out streets at an angle and set buildings along them, where ``town`` is true."""
    gsd = canvas.gsd
    angle = rng.uniform(0, np.pi / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    frame = np.array([cos, sin, gsd])
    block = (rng.uniform(55, 90), rng.uniform(35, 60))
    _pave(canvas.landcover, town, frame, np.array(block))
    high, wide = (n * gsd for n in canvas.shape)
    plan = np.array(
        [
            lot
            for lot in _lots((0.0, wide * cos + high * sin), (-wide * sin, high * cos), block, rng)
            if _inside(lot, town, cos, sin, gsd)
        ]
    )
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
        canvas.dsm, canvas.dtm, canvas.landcover, canvas.shade, plan, eaves, roofs, pitch, tint,
        frame,
    )  # fmt: skip


@njit(cache=True)
def _pave(landcover, town, frame, block):  # type: ignore[no-untyped-def]  # pragma: no cover
    cos, sin, gsd = frame
    rows, columns = landcover.shape
    for r in range(rows):
        for c in range(columns):
            if not town[r, c]:
                continue
            along = gsd * (c * cos + r * sin)
            across = gsd * (r * cos - c * sin)
            if min(along % block[0], across % block[1]) < 6:
                landcover[r, c] = 4


def _lots(
    along: tuple[float, float],
    across: tuple[float, float],
    block: tuple[float, float],
    rng: np.random.Generator,
) -> list[tuple[float, float, float, float]]:
    """Return centre and half sides of buildings in the town's own axes, in metres."""
    found = []
    for i in range(int(along[0] // block[0]), int(along[1] // block[0]) + 1):
        for j in range(int(across[0] // block[1]), int(across[1] // block[1]) + 1):
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
    town: Mask,
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
