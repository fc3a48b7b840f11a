"""Orthorectification of a raw image with its camera and a surface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask, Values
from demiurge.raster.visibility import hidden
from demiurge.scene.camera import Camera, in_pixels, to_geographic
from demiurge.scene.grid import Window, grown, window_grid

#: Reads a window of the raw image as means of ``step`` × ``step`` pixels, float32, NaN for no data.
ReadImage = Callable[[Window, int], Array]
#: Reads a window of the surface as ellipsoidal heights in metres, without voids.
ReadHeights = Callable[[Window], Array]

#: Spacing in pixels of exact geographic coordinates; others are interpolated. Over 32 pixels of 2 m
#: a meridian bends by less than 0.1 mm.
_LATTICE = 32
#: Margin in pixels that cubic interpolation needs.
_MARGIN = 8
#: Largest length in pixels to which a line of sight is followed.
_FARTHEST = 512


@dataclass(frozen=True)
class Ortho:
    """Parameters of an orthoimage that do not depend on the window.

    Attributes
    ----------
    camera
        The image's camera.
    image_shape
        Rows and columns of the raw image.
    grid
        Grid of the surface and of the orthoimage, projected in metres.
    step
        Raw pixels along an axis that are averaged, if map pixels are larger.
    displacement
        Pixels (row, col) of the grid by which one metre of height displaces the orthoimage.
    highest
        Highest ellipsoidal height of the surface in metres; limits the range of occlusions.
    occlusions
        Whether pixels that the surface hides from the sensor become no data.
    """

    camera: Camera
    image_shape: tuple[int, int]
    grid: GeoBox
    step: int
    displacement: tuple[float, float]
    highest: float
    occlusions: bool = True

    @classmethod
    def plan(
        cls,
        camera: Camera,
        image_shape: tuple[int, int],
        grid: GeoBox,
        heights: tuple[float, float],
        *,
        occlusions: bool = True,
    ) -> Ortho:
        """Compute pixel size and line of sight at the centre of the grid.

        Parameters
        ----------
        heights
            Median and highest ellipsoidal height of the surface in metres.

        Raises
        ------
        DataError
            If the RPCs have no solution there.
        """
        median, highest = heights
        direction = camera.direction(grid, median)
        middle = window_grid(grid, Window(grid.shape[0] // 2, grid.shape[1] // 2, 1, 1))
        size = _size_of(raw_pixels(camera, middle, median))
        # The tolerance is for integers with a rounding error.
        step = max(1, math.floor(size + 1e-3))
        displacement = in_pixels(direction.displacement, grid)
        return cls(camera, image_shape, grid, step, displacement, highest, occlusions)

    def read(self, window: Window, read_image: ReadImage, read_heights: ReadHeights) -> Array:
        """Return a window of the orthoimage.

        Parameters
        ----------
        window
            Window of the grid.
        read_image, read_heights
            Readers of the raw image and of the surface.

        Returns
        -------
        float32 (height, width); NaN outside the image, at its no data and at hidden pixels.
        """
        heights = read_heights(window)
        rows, cols = image_coordinates(self.camera, window_grid(self.grid, window), heights)
        image = _sample(self.image_shape, read_image, rows, cols, self.step)
        if self.occlusions and np.isfinite(image).any():
            image[self._hidden(window, heights, read_heights)] = np.nan
        return image

    def _hidden(self, window: Window, heights: Array, read_heights: ReadHeights) -> Mask:
        """Return the pixels of a window that the surface hides."""
        length = math.hypot(*self.displacement)
        if length == 0:
            return np.zeros(heights.shape, bool)
        # Half a pixel of slack along the line of sight, so that a slope does not hide itself.
        slack = 0.5 / length
        rise = max(self.highest, float(heights.max())) - float(heights.min())
        wide = grown(window, min(_FARTHEST, math.ceil(rise * length) + 1), _shape(self.grid))
        mask = hidden(read_heights(wide), self.displacement, slack)
        row, col = window.row - wide.row, window.col - wide.col
        return mask[row : row + window.height, col : col + window.width]


def raw_pixels(camera: Camera, pixel: GeoBox, height: float) -> Values:
    """Return raw pixels (row, col) per map pixel (row, col) at one map pixel, float64 (2, 2).

    Column 0 is the step of the raw image for one row of the map, column 1 that for one column.
    """
    a = pixel.affine
    x, y = np.array([0.0, a.b, a.a]) + a.c, np.array([0.0, a.e, a.d]) + a.f
    rows, cols = camera.image_of(*to_geographic(pixel, x, y), np.full(3, height))
    return np.array([rows[1:] - rows[0], cols[1:] - cols[0]])


def _size_of(steps: Values) -> float:
    """Return raw pixels per map pixel along an axis; 1 if the camera does not see the pixel."""
    area = abs(steps[0, 0] * steps[1, 1] - steps[0, 1] * steps[1, 0])
    return math.sqrt(area) if math.isfinite(area) else 1.0


def image_coordinates(camera: Camera, grid: GeoBox, heights: Array) -> tuple[Values, Values]:
    """Return rows and columns in the raw image of the pixel centres of a grid.

    Parameters
    ----------
    heights
        float32 of the grid's shape: metres above the ellipsoid.

    Returns
    -------
    float64 of the grid's shape; not limited to the image.
    """
    lon, lat = _geographic(grid)
    return camera.image_of(lon, lat, heights.astype(np.float64))


def _geographic(grid: GeoBox) -> tuple[Values, Values]:
    """Return longitudes and latitudes of pixel centres, interpolated from a lattice of nodes."""
    shape = _shape(grid)
    nodes = [_nodes(length) for length in shape]
    at = np.meshgrid(nodes[1] + 0.5, nodes[0] + 0.5)
    a = grid.affine
    x = a.a * at[0] + a.b * at[1] + a.c
    y = a.d * at[0] + a.e * at[1] + a.f
    lon, lat = to_geographic(grid, x, y)
    return _upsampled(lon, nodes, shape), _upsampled(lat, nodes, shape)


def _shape(grid: GeoBox) -> tuple[int, int]:
    return int(grid.shape[0]), int(grid.shape[1])


def _nodes(length: int) -> Values:
    return np.linspace(0, max(length - 1, 1), max(2, math.ceil(length / _LATTICE) + 1))


def _upsampled(plane: Values, nodes: list[Values], shape: tuple[int, int]) -> Values:
    wide = np.stack([np.interp(np.arange(shape[1]), nodes[1], line) for line in plane])
    place = np.arange(shape[0]) / (nodes[0][1] - nodes[0][0])
    first = np.minimum(place.astype(int), len(nodes[0]) - 2)
    share = (place - first)[:, None]
    return np.asarray(wide[first] * (1 - share) + wide[first + 1] * share)


def _sample(
    shape: tuple[int, int], read_image: ReadImage, rows: Values, cols: Values, step: int
) -> Array:
    """Interpolate the raw image by cubic splines at image coordinates; NaN for no data."""
    from scipy.ndimage import map_coordinates

    inside = (rows >= 0) & (rows <= shape[0]) & (cols >= 0) & (cols <= shape[1])
    out = np.full(rows.shape, np.nan, np.float32)
    if not inside.any():
        return out
    part = _around(rows[inside], cols[inside], shape, step)
    image = read_image(part, step)
    known = np.isfinite(image)
    if not known.any():
        return out
    # Relative to the first pixel centre of the averaged image.
    at = np.stack([(rows - part.row) / step - 0.5, (cols - part.col) / step - 0.5])[:, inside]
    filled = image
    if not known.all():
        filled = np.where(known, image, np.float32(np.median(image[known])))
    values = map_coordinates(filled, at, order=3, mode="mirror").astype(np.float32)
    if not known.all():
        # A spline oscillates next to filled pixels: all pixels that use one become no data.
        filled_share = map_coordinates((~known).astype(np.float32), at, order=1, mode="nearest")
        values[filled_share > 0] = np.nan
    out[inside] = values
    return out


def _around(rows: Values, cols: Values, shape: tuple[int, int], step: int) -> Window:
    """Return the window of the raw image that contains the points, aligned to ``step``."""
    margin = _MARGIN * step
    top = max(0, (math.floor(rows.min()) - margin) // step * step)
    left = max(0, (math.floor(cols.min()) - margin) // step * step)
    bottom = min(shape[0], math.ceil(rows.max()) + margin)
    right = min(shape[1], math.ceil(cols.max()) + margin)
    return Window(top, left, max(1, bottom - top), max(1, right - left))
