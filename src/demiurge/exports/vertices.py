"""Vertices and triangles of a surface, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox
from pydelatin import Delatin

from demiurge.arrays import Array, Indices, Mask
from demiurge.exports.texture import Texture
from demiurge.progress import Advance, silent
from demiurge.scene.grid import Window
from demiurge.scene.source import Source

#: Cells along the side of a block.
SIDE = 512
#: Height in metres of voids during triangulation, far below any terrain. It is the same for all
#: blocks, so that blocks agree on the vertices of their common borders.
_VOID = np.float32(-1e6)


@dataclass(frozen=True)
class VertexBlock:
    """Vertices of a block of a surface.

    Attributes
    ----------
    pixels
        (count, 2): row and column of each vertex in the raster.
    heights
        float32 (count,) in metres, finite.
    colours
        uint8 (count, 3), or None.
    faces
        (triangles, 3): indices of vertices, counterclockwise seen from above where rows run
        south; empty for points.
    """

    pixels: Indices
    heights: Array
    colours: npt.NDArray[np.uint8] | None
    faces: Indices


def vertex_blocks(
    heights: Source,
    grid: GeoBox,
    tolerance: float | None,
    image: Texture | None,
    *,
    mesh: bool,
    advance: Advance = silent,
) -> Iterator[VertexBlock]:
    """Yield the vertices of a surface block by block, in rows.

    Parameters
    ----------
    heights, grid
        The heights and the grid to read them on.
    tolerance
        Maximum vertical error in metres at any pixel; None keeps every pixel.
    image
        Colours of the vertices; None for none.
    mesh
        Make triangles. Blocks of a mesh share the vertices of their common borders, each block
        with its own copy, so that there are no gaps. Blocks of points do not overlap.
    advance
        Receives the megapixels of each block, void blocks included.
    """
    rows, columns = grid.shape
    for top in range(0, max(rows - 1, 1), SIDE):
        for left in range(0, max(columns - 1, 1), SIDE):
            here = _read(heights, grid, top, left)
            advance(min(SIDE, rows - top) * min(SIDE, columns - left) / 1e6)
            known = np.isfinite(here)
            if not known.any():
                continue
            if tolerance is None and not mesh:
                vertices, faces = np.argwhere(known), np.empty((0, 3), np.intp)
            else:
                vertices, faces = triangulate(here, tolerance or 0.0)
            if not mesh:
                vertices = _not_shared(vertices, (top, left), (rows, columns))
                faces = np.empty((0, 3), np.intp)
            if not len(vertices):
                continue
            pixels = vertices + np.array([top, left])
            yield VertexBlock(
                pixels,
                here[vertices[:, 0], vertices[:, 1]],
                None if image is None else image.at(pixels),
                faces,
            )


def _read(heights: Source, grid: GeoBox, top: int, left: int) -> Array:
    """Read a block with the first row and column of the next blocks."""
    rows, columns = grid.shape
    height, width = min(SIDE + 1, rows - top), min(SIDE + 1, columns - left)
    return heights.read(grid, Window(top, left, height, width))


def triangulate(heights: Array, tolerance: float) -> tuple[Indices, Indices]:
    """Return an irregular network with few triangles within a vertical tolerance.

    Greedy insertion into a Delaunay triangulation (Garland and Heckbert 1995). The vertices along
    an edge of the raster depend on the heights of that edge alone.

    Parameters
    ----------
    heights
        float32 (rows, columns) in metres; NaN for no data.
    tolerance
        Maximum vertical error in metres at any known pixel.

    Returns
    -------
    Vertices (count, 2) as rows and columns of known pixels, and triangles (count, 3) as indices of
    vertices, counterclockwise seen from above where rows run south. No triangle covers a void.
    """
    if min(heights.shape) < 2:
        return np.empty((0, 2), np.intp), np.empty((0, 3), np.intp)
    known = np.isfinite(heights)
    network = Delatin(np.where(known, heights, _VOID), max_error=tolerance)
    columns, upward = network.vertices[:, :2].T.astype(np.intp)
    vertices = np.stack([heights.shape[0] - 1 - upward, columns], axis=1)
    return _without_voids(vertices, network.triangles.astype(np.intp), known)


def _without_voids(vertices: Indices, faces: Indices, known: Mask) -> tuple[Indices, Indices]:
    """Remove triangles with a corner in a void, and vertices without a triangle."""
    there = known[vertices[:, 0], vertices[:, 1]]
    faces = faces[there[faces].all(axis=1)]
    used = np.unique(faces)
    position = np.full(len(vertices), -1, np.intp)
    position[used] = np.arange(used.size)
    return vertices[used], position[faces]


def _not_shared(vertices: Indices, corner: tuple[int, int], shape: tuple[int, int]) -> Indices:
    """Remove vertices in the last row and column if the next block has them."""
    own = np.ones(len(vertices), bool)
    for axis in (0, 1):
        if corner[axis] + SIDE < shape[axis] - 1:
            own &= vertices[:, axis] < SIDE
    return vertices[own]
