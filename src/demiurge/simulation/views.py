"""Two views of a surface, with occlusions, as a coarse elevation model projects them to a map.

Geometry: parallel rays in the plane of the rows. A point at column x and height h (metres) is
seen in the raw image at column u = x + slant · h, where slant is the tangent of the incidence
over the pixel size. Both images are then brought to the map by a coarse height h0 (as stereo
pipelines do with a public DEM, to keep the search short): pixel x shows what lies on the ray
through (x, h0(x)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """An image on the map of the coarse heights.

    Attributes
    ----------
    image
        float32 (rows, columns) brightness, NaN where nothing was seen.
    slant
        Columns in the raw image per metre of height.
    """

    image: Array
    slant: float


def coarse_heights(dtm: Array, gsd: float, rng: np.random.Generator) -> Array:
    """Return what a public 30 m DEM knows of a terrain: smoothed, a metre or two off."""
    # Far coarser than the scene, so it is made on a coarser grid.
    step = max(1, round(8 / gsd))
    rows, columns = (-(-n // step) for n in dtm.shape)
    pad = ((0, rows * step - dtm.shape[0]), (0, columns * step - dtm.shape[1]))
    means = np.pad(dtm, pad, mode="edge").reshape(rows, step, columns, step).mean(axis=(1, 3))
    sigma = 30 / (gsd * step)
    smooth = ndimage.gaussian_filter(means, sigma, mode="nearest")
    error = ndimage.gaussian_filter(rng.standard_normal(means.shape), 2 * sigma, mode="nearest")
    known = smooth + 1.5 * error / max(float(error.std()), 1e-9)
    fine = ndimage.zoom(known, step, order=1, grid_mode=True, mode="nearest")
    return np.asarray(fine[: dtm.shape[0], : dtm.shape[1]], np.float32)


def render(surface: Array, brightness: Array, coarse: Array, slant: float) -> View:
    """Render a view; what lies behind something higher along the ray is hidden.

    Parameters
    ----------
    surface, brightness, coarse
        float32 (rows, columns): heights in metres, brightness, coarse heights in metres.
    slant
        Columns per metre of height.
    """
    image = np.full(surface.shape, np.nan, np.float32)
    _splat(surface, brightness, coarse, slant, image)
    return View(image, slant)


@njit(cache=True)
def _splat(surface, brightness, coarse, slant, image):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Draw the surface as strips between neighbours; the highest on a ray is the nearest."""
    rows, columns = surface.shape
    depth = np.empty(columns, np.float32)
    place = np.empty(columns)
    for r in range(rows):
        depth[:] = -1e9
        for c in range(columns):
            x = float(c)
            for _ in range(4):  # x + slant h0(x) = c + slant h
                i = min(max(int(x), 0), columns - 2)
                f = min(max(x - i, 0.0), 1.0)
                h0 = coarse[r, i] * (1 - f) + coarse[r, i + 1] * f
                x = c + slant * (surface[r, c] - h0)
            place[c] = x
        for c in range(columns - 1):
            a, b = place[c], place[c + 1]
            low, high = min(a, b), max(a, b)
            for k in range(max(int(np.ceil(low)), 0), min(int(np.floor(high)), columns - 1) + 1):
                f = 0.5 if b == a else (k - a) / (b - a)
                h = surface[r, c] * (1 - f) + surface[r, c + 1] * f
                if h > depth[k]:
                    depth[k] = h
                    image[r, k] = brightness[r, c] * (1 - f) + brightness[r, c + 1] * f


def expose(
    image: Array, blur: float, noise: float, jitter: float, rng: np.random.Generator
) -> Array:
    """Return what a sensor makes of a view: rows out of place, blur, noise, twelve bits.

    Parameters
    ----------
    blur
        Standard deviation of the point spread in pixels.
    noise
        As a share of full scale; half of it grows with the square root of the signal.
    jitter
        Largest smooth displacement of rows, in pixels, across the rows and along them.
    """
    filled = np.where(np.isfinite(image), image, np.float32(np.nanmean(image)))
    wobble = ndimage.gaussian_filter1d(rng.standard_normal((2, image.shape[0])), 40, axis=1)
    wobble *= jitter / max(float(np.abs(wobble).max()), 1e-9)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    moved = ndimage.map_coordinates(
        filled,
        [rows + wobble[0][:, None], columns + 0.3 * wobble[1][:, None]],
        order=1,
        mode="nearest",
    )
    seen = ndimage.gaussian_filter(moved, blur) if blur else moved
    spread = noise * (0.5 + 0.5 * np.sqrt(np.clip(seen, 0, 1)))
    seen = seen + spread * rng.standard_normal(seen.shape)
    exposure = 3200 * rng.uniform(0.9, 1.1)
    counts = np.clip(np.rint(seen * exposure + 60), 1, 4095).astype(np.float32)
    return np.where(np.isfinite(image), counts, np.float32(np.nan))
