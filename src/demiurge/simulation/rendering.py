"""Two views of a surface, with occlusions, projected to the map by a coarse elevation model.

Geometry: parallel rays in the plane of the rows. A point at column x and height h (metres)
appears in the raw image at column u = x + slant · h, where slant is the tangent of the incidence
angle over the pixel size. Both images are projected to the map with coarse heights h0, as stereo
pipelines do with a public DEM to shorten the disparity search: pixel x shows the point on the ray
through (x, h0(x)).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from scipy import ndimage

from demiurge.arrays import Array, Values
from demiurge.simulation.filters import blur, resize


@dataclass(frozen=True)
class EpipolarFrame:
    """A square raster rotated against a square map about a common centre; its rows are epipolar.

    Attributes
    ----------
    side
        Rows and columns of the frame.
    map_side
        Rows and columns of the map.
    turn
        Degrees clockwise from the map's north to the top of the frame.
    """

    side: int
    map_side: int
    turn: float

    @classmethod
    def around(cls, inner: int, margin: int, map_side: int, turn: float) -> EpipolarFrame:
        """Return the smallest frame that holds a central square of the map and a margin."""
        cosine, sine = _direction(turn)
        side = int(np.ceil(inner * (abs(cosine) + abs(sine)))) + 2 * margin
        # With the parity of the map, quarter turns need no interpolation.
        return cls(side + (side - map_side) % 2, map_side, turn)

    @property
    def _matrix(self) -> Values:
        """Return the 2 × 3 matrix from (column, row) of the frame to those of the map."""
        cosine, sine = _direction(self.turn)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        shift = (self.map_side - 1) / 2 - rotation @ np.full(2, (self.side - 1) / 2)
        return np.concatenate([rotation, shift[:, None]], axis=1)

    def from_map(self, raster: Array, *, cubic: bool = False) -> Array:
        """Resample a raster of the map; beyond its edge it is reflected.

        Parameters
        ----------
        raster
            float32 (map_side, map_side), finite.
        cubic
            Cubic instead of linear interpolation, for textures.
        """
        kind = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        resampled = cv2.warpAffine(
            raster,
            self._matrix,
            (self.side, self.side),
            flags=kind | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(resampled, np.float32)

    def to_map(self, columns: Array, rows: Array) -> tuple[Array, Array]:
        """Convert columns and rows of the frame to those of the map."""
        (a, b, c), (d, e, f) = self._matrix.astype(np.float32)
        return a * columns + b * rows + c, d * columns + e * rows + f

    def map_pixels(self, first: int, count: int) -> tuple[Array, Array]:
        """Return the frame's columns and rows at a central square of the map's pixels.

        Parameters
        ----------
        first, count
            First row and column of the square, and its side.
        """
        inverse = cv2.invertAffineTransform(self._matrix)
        index = np.arange(first, first + count, dtype=np.float64)
        x, y = index[None, :], index[:, None]
        columns, rows = (row[0] * x + row[1] * y + row[2] for row in inverse)
        return columns.astype(np.float32), rows.astype(np.float32)


def _direction(turn: float) -> tuple[float, float]:
    """Return cosine and sine, exact for quarter turns."""
    quarters, rest = divmod(turn, 90)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]
    return float(np.cos(np.radians(turn))), float(np.sin(np.radians(turn)))


def sample(raster: Array, columns: Array, rows: Array, outside: float | None = None) -> Array:
    """Interpolate a raster linearly at float positions.

    Parameters
    ----------
    outside
        Value beyond the raster; None replicates the edge.
    """
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = 0.0 if outside is None else outside
    sampled = cv2.remap(
        raster, columns, rows, cv2.INTER_LINEAR, borderMode=border, borderValue=value
    )
    return np.asarray(sampled, np.float32)


@dataclass(frozen=True)
class View:
    """An image projected to the map with the coarse heights.

    Attributes
    ----------
    image
        float32 (rows, columns) brightness, NaN where occluded.
    slant
        Columns in the raw image per metre of height.
    """

    image: Array
    slant: float


def coarse_heights(dtm: Array, gsd: float, rng: np.random.Generator) -> Array:
    """Return the heights of a public 30 m DEM of a terrain: smooth, with errors of 1.5 m.

    Parameters
    ----------
    dtm
        float32 (rows, columns) in metres.
    gsd
        Pixel size in metres.
    """
    # Computed on a grid of about 8 m for speed.
    step = max(1, round(8 / gsd))
    rows, columns = (-(-n // step) for n in dtm.shape)
    wide = (columns * step, rows * step)
    border = cv2.BORDER_REPLICATE
    padded = cv2.copyMakeBorder(dtm, 0, wide[1] - dtm.shape[0], 0, wide[0] - dtm.shape[1], border)
    means = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
    sigma = 30 / (gsd * step)
    smooth = ndimage.gaussian_filter(means, sigma, mode="nearest")
    error = ndimage.gaussian_filter(rng.standard_normal(means.shape), 2 * sigma, mode="nearest")
    coarse = smooth + 1.5 * error / max(float(error.std()), 1e-9)
    fine = resize(coarse.astype(np.float32), (wide[1], wide[0]))
    return np.ascontiguousarray(fine[: dtm.shape[0], : dtm.shape[1]])


def render(surface: Array, brightness: Array, coarse: Array, slant: float) -> View:
    """Render a view with occlusions: the highest point on a ray hides the others.

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
    """Draw segments between neighbours of a row into ``image``, by a z-buffer."""
    rows, columns = surface.shape
    depth = np.empty(columns, np.float32)
    position = np.empty(columns)
    for r in range(rows):
        depth[:] = -1e9
        for c in range(columns):
            x = float(c)
            for _ in range(4):  # fixed point of x + slant · h0(x) = c + slant · h
                i = min(max(int(x), 0), columns - 2)
                f = min(max(x - i, 0.0), 1.0)
                h0 = coarse[r, i] * (1 - f) + coarse[r, i + 1] * f
                x = c + slant * (surface[r, c] - h0)
            position[c] = x
        for c in range(columns - 1):
            a, b = position[c], position[c + 1]
            low, high = min(a, b), max(a, b)
            for k in range(max(int(np.ceil(low)), 0), min(int(np.floor(high)), columns - 1) + 1):
                f = 0.5 if b == a else (k - a) / (b - a)
                h = surface[r, c] * (1 - f) + surface[r, c + 1] * f
                if h > depth[k]:
                    depth[k] = h
                    image[r, k] = brightness[r, c] * (1 - f) + brightness[r, c + 1] * f


def expose(
    image: Array,
    blur_sigma: float,
    noise: float,
    jitter: float,
    rng: np.random.Generator,
    saturated: float = 0.0,
) -> Array:
    """Return the digital numbers of a view: row jitter, blur, noise, saturation, 12 bits.

    Parameters
    ----------
    image
        float32 (rows, columns) brightness 0 … 1, NaN where occluded.
    blur_sigma
        Standard deviation of the point spread function in pixels.
    noise
        Share of full scale; half of it grows with the square root of the signal.
    jitter
        Largest smooth displacement of rows in pixels, across the rows and along them.
    saturated
        Share of the pixels that have the largest number, the brightest first.

    Returns
    -------
    float32 integers 1 … 4095, NaN where occluded.
    """
    occluded = np.isnan(image)
    signal = np.where(occluded, np.float32(np.nanmean(image)), image)
    if jitter:
        wobble = ndimage.gaussian_filter1d(rng.standard_normal((2, image.shape[0])), 40, axis=1)
        wobble *= jitter / max(float(np.abs(wobble).max()), 1e-9)
        signal = _displaced(signal, wobble[0], 0.3 * wobble[1])
    signal = blur(signal, blur_sigma)
    deviation = np.clip(signal, 0, 1)
    np.sqrt(deviation, out=deviation)
    deviation += 1
    deviation *= np.float32(0.5 * noise)
    deviation *= rng.standard_normal(signal.shape, np.float32)
    signal += deviation
    signal *= np.float32(3200 * rng.uniform(0.9, 1.1))
    signal += 60
    np.rint(signal, out=signal)
    np.clip(signal, 1, 4095, out=signal)
    signal[occluded] = np.nan
    if saturated:
        np.minimum(signal, np.float32(np.nanquantile(signal, 1 - saturated)), out=signal)
    return signal


@njit(cache=True)
def _displaced(image, across, along):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sample row r at row r + across[r], shifted by along[r] columns, linearly."""
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


def orthorectify(
    view: View,
    heights: Array,
    coarse: Array,
    positions: tuple[Array, Array],
    shift: float = 0.0,
) -> Array:
    """Project a view to the map with heights; errors of the heights displace the image.

    Parameters
    ----------
    view
        Image in the epipolar frame.
    heights
        float32 (rows, columns) of the map in metres, finite.
    coarse
        float32 coarse heights of the frame in metres.
    positions
        Columns and rows of the frame at each of the map's pixels.
    shift
        Misregistration of the result in columns of the frame.

    Returns
    -------
    float32 (rows, columns) of the map; NaN where the view is occluded.
    """
    columns, rows = positions
    x = columns
    for _ in range(4):  # fixed point of x + slant · h0(x) = column + slant · h
        x = columns + np.float32(view.slant) * (heights - sample(coarse, x, rows))
    return sample(view.image, x + np.float32(shift), rows, np.nan)
