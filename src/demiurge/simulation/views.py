"""Two views of a surface, with occlusions, as a coarse elevation model projects them to a map.

Geometry: parallel rays in the plane of the rows. A point at column x and height h (metres) is
seen in the raw image at column u = x + slant · h, where slant is the tangent of the incidence
over the pixel size. Both images are then brought to the map by a coarse height h0 (as stereo
pipelines do with a public DEM, to keep the search short): pixel x shows what lies on the ray
through (x, h0(x)).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.simulation.fields import blur, resized


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
    wide = (columns * step, rows * step)
    border = cv2.BORDER_REPLICATE
    padded = cv2.copyMakeBorder(dtm, 0, wide[1] - dtm.shape[0], 0, wide[0] - dtm.shape[1], border)
    means = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
    sigma = 30 / (gsd * step)
    smooth = ndimage.gaussian_filter(means, sigma, mode="nearest")
    error = ndimage.gaussian_filter(rng.standard_normal(means.shape), 2 * sigma, mode="nearest")
    known = smooth + 1.5 * error / max(float(error.std()), 1e-9)
    fine = resized(known.astype(np.float32), (wide[1], wide[0]))
    return np.ascontiguousarray(fine[: dtm.shape[0], : dtm.shape[1]])


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
    image: Array, blur_sigma: float, noise: float, jitter: float, rng: np.random.Generator
) -> Array:
    """Return what a sensor makes of a view: rows out of place, blur, noise, twelve bits.

    Parameters
    ----------
    blur_sigma
        Standard deviation of the point spread in pixels.
    noise
        As a share of full scale; half of it grows with the square root of the signal.
    jitter
        Largest smooth displacement of rows, in pixels, across the rows and along them.
    """
    unseen = np.isnan(image)
    seen = np.where(unseen, np.float32(np.nanmean(image)), image)
    if jitter:
        wobble = ndimage.gaussian_filter1d(rng.standard_normal((2, image.shape[0])), 40, axis=1)
        wobble *= jitter / max(float(np.abs(wobble).max()), 1e-9)
        seen = _displaced(seen, wobble[0], 0.3 * wobble[1])
    seen = blur(seen, blur_sigma)
    spread = np.clip(seen, 0, 1)
    np.sqrt(spread, out=spread)
    spread += 1
    spread *= np.float32(0.5 * noise)
    spread *= rng.standard_normal(seen.shape, np.float32)
    seen += spread
    seen *= np.float32(3200 * rng.uniform(0.9, 1.1))
    seen += 60
    np.rint(seen, out=seen)
    np.clip(seen, 1, 4095, out=seen)
    seen[unseen] = np.nan
    return seen


@njit(cache=True)
def _displaced(image, across, along):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return rows that lie where ``r + across[r]`` does, moved along themselves; linearly."""
    rows, columns = image.shape
    out = np.empty((rows, columns), np.float32)
    line = np.empty(columns, np.float32)
    for r in range(rows):
        y = min(max(r + across[r], 0.0), float(rows - 1))
        i = min(int(y), rows - 2)
        f = np.float32(y - i)
        for c in range(columns):
            line[c] = image[i, c] * (1 - f) + image[i + 1, c] * f
        for c in range(columns):
            x = min(max(c + along[r], 0.0), float(columns - 1))
            k = min(int(x), columns - 2)
            g = np.float32(x - k)
            out[r, c] = line[k] * (1 - g) + line[k + 1] * g
    return out
