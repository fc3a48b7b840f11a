"""Worlds to take stereo pairs of, cut from real surfaces at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from demiurge.simulation.cover import StereoWorld, draw_reflectance
from demiurge.simulation.land import make_heights
from demiurge.simulation.objects import Canvas
from demiurge.simulation.stereo import MARGIN
from places import PLACES
from scene_file import SIZE
from surfaces import Surface

Array = np.ndarray
Random = np.random.Generator

#: Pixel sizes of the scenes in metres.
PIXEL_SIZES = (0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 2.0)
#: Pixels a side, with the margin that the simulation cuts away.
SIDE = SIZE + 2 * MARGIN
#: Pixels a side of a forest plot, its spacing on the sheet, and the sheet's rows and columns.
_PLOT, _SPACING, _SHEET = 80, 88, (4, 5)


def real_world(
    surfaces: Mapping[str, Surface], weights: Mapping[str, float], rng: Random
) -> tuple[str, float, StereoWorld, Array]:
    """Draw a place by its weight, and a piece of it.

    Returns
    -------
    The place, the pixel size in metres, the world (SIDE pixels a side), and bool (SIDE, SIDE):
    where the surface has no data.
    """
    names = list(surfaces)
    shares = np.array([weights[name] for name in names])
    name = str(rng.choice(names, p=shares / shares.sum()))
    make = _plots if PLACES[name].plots else _piece
    return name, *make(surfaces[name], rng)


def _plots(surface: Surface, rng: Random) -> tuple[float, StereoWorld, Array]:
    """Lay forest plots side by side, turned and mirrored, on made terrain."""
    gsd = float(rng.choice((0.4, 0.5, 0.5, 0.6)))
    tall, albedo = np.zeros((2, SIDE, SIDE), np.float32)
    for row in range(0, SIDE, _PLOT):
        for column in range(0, SIDE, _PLOT):
            i, j = (_SPACING * int(rng.integers(n)) for n in _SHEET)
            cut = (slice(i, i + _PLOT), slice(j, j + _PLOT))
            turns, mirrored = int(rng.integers(4)), int(rng.integers(2))
            rows, columns = slice(row, row + _PLOT), slice(column, column + _PLOT)
            plots = (surface.dsm[cut] - surface.dtm[cut], surface.albedo[cut])
            for target, plot in zip((tall, albedo), plots, strict=True):
                laid = np.rot90(plot, turns)
                laid = laid[:, ::-1] if mirrored else laid
                target[rows, columns] = laid[: SIDE - row, : SIDE - column]
    dtm = make_heights((SIDE, SIDE), float(rng.uniform(5, 130)), 0.95, 8, rng).astype(np.float32)
    dsm = dtm + np.float32(gsd / surface.gsd) * tall
    return gsd, _world(dtm, dsm, np.clip(albedo, 0.02, 0.9)), np.zeros(dsm.shape, bool)


def _piece(surface: Surface, rng: Random) -> tuple[float, StereoWorld, Array]:
    """Cut a piece at another pixel size, turned, mirrored, and scaled with its heights."""
    step = 1
    if min(surface.dsm.shape) / 2 > 150:
        step = int(rng.choice((1, 2, 3), p=(0.74, 0.2, 0.06)))
    base = surface.gsd * step
    near = [g for g in PIXEL_SIZES if 0.62 <= g / base <= 1.6]
    shares = np.array([np.exp(-abs(np.log(g / base)) * 2.5) for g in near])
    gsd = float(rng.choice(near, p=shares / shares.sum()))
    # Shapes keep their proportions, within 20 %.
    scale = np.float32(gsd / base * rng.uniform(0.85, 1.2))
    coarse = _coarsening(surface, step, rng)
    dsm, dtm = coarse(surface.dsm), coarse(surface.dtm)
    void = coarse(surface.void.astype(np.uint8))
    albedo = None if surface.albedo is None else coarse(surface.albedo)
    warp = _warping(dsm.shape, rng)
    kind = cv2.INTER_NEAREST if rng.random() < 0.7 else cv2.INTER_LINEAR
    dsm, dtm = warp(dsm, kind) * scale, warp(dtm, cv2.INTER_LINEAR) * scale
    dtm = np.minimum(dtm, dsm)
    void = warp(void, cv2.INTER_NEAREST) > 0
    if rng.random() < 0.12:
        relief = _gentle_relief(gsd, rng)
        dsm, dtm = dsm + relief, dtm + relief
    if albedo is not None and rng.random() < 0.8:
        albedo = _sharpened(warp(albedo, cv2.INTER_CUBIC), rng)
    else:
        albedo = _made_albedo(dsm, dtm, gsd, rng)
    return gsd, _world(dtm, dsm, albedo.astype(np.float32)), void


def _coarsening(surface: Surface, step: int, rng: Random) -> Callable[[Array], Array]:
    """Return a function that thins a raster to every ``step``-th pixel, or averages blocks."""
    i, j = (int(rng.integers(step)) for _ in range(2))
    if step > 1 and rng.random() < 0.4:
        rows, columns = (n // step for n in surface.dsm.shape)

        def average(raster: Array) -> Array:
            cropped = raster[: rows * step, : columns * step]
            return cv2.resize(cropped, (columns, rows), interpolation=cv2.INTER_AREA)

        return average
    return lambda raster: np.ascontiguousarray(raster[i::step, j::step])


def _warping(shape: tuple[int, int], rng: Random) -> Callable[[Array, int], Array]:
    """Return a function that cuts SIDE² pixels from a raster: rotated, mirrored, edges reflected.

    Half of the pieces are rotated by multiples of 90°, so that their pixels are not resampled.
    """
    turned = rng.random() < 0.5
    angle = float(rng.uniform(0, 360)) if turned else 90.0 * int(rng.integers(4))
    centre = []
    for n in shape:
        half = min(SIZE * 0.5, n / 2)
        at = rng.uniform(half, n - half) if n > 2 * half else n / 2
        centre.append(float(np.floor(at)))
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    if not turned:
        cosine, sine = float(np.rint(cosine)), float(np.rint(sine))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    middle = SIDE / 2 if not turned else (SIDE - 1) / 2
    offset = np.array([centre[1], centre[0]]) - turn @ np.full(2, float(int(middle)))
    matrix = np.concatenate([turn, offset[:, None]], 1)

    def warp(raster: Array, kind: int) -> Array:
        flags = kind | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(
            raster, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )

    return warp


def _gentle_relief(gsd: float, rng: Random) -> Array:
    """Return smooth made terrain to lay under real cover."""
    relief = make_heights((SIDE, SIDE), float(rng.uniform(5, 60)) * gsd / 0.5, 1.1, 0, rng)
    return cv2.GaussianBlur(relief.astype(np.float32), (0, 0), 20)


def _sharpened(albedo: Array, rng: Random) -> Array:
    """Return a real albedo at another brightness, with fine texture added."""
    fine = cv2.GaussianBlur(rng.standard_normal(albedo.shape, np.float32), (0, 0), 0.6)
    bright = albedo * np.float32(rng.uniform(0.6, 1.3))
    return np.clip(bright + np.float32(rng.uniform(0.0, 0.05)) * fine, 0.02, 0.9)


def _made_albedo(dsm: Array, dtm: Array, gsd: float, rng: Random) -> Array:
    """Return a made albedo, on which objects are brighter or darker than the ground."""
    albedo, _ = draw_reflectance(Canvas.grass(dsm, gsd), rng)
    objects = np.clip((dsm - dtm) / 3, 0, 1)
    return np.clip(albedo * (1 + np.float32(rng.uniform(-0.5, 0.5)) * objects), 0.02, 0.9)


def _world(dtm: Array, dsm: Array, albedo: Array) -> StereoWorld:
    return StereoWorld(dtm, dsm, np.zeros(dsm.shape, np.uint8), albedo, None)
