"""A surface taken apart into pieces that fit into memory: vertices, colours, triangles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.exports.rtin import triangles, vertex_errors
from demiurge.exports.texture import Texture
from demiurge.progress import Advance, silent
from demiurge.raster.voids import fill_voids
from demiurge.scene.grid import Window
from demiurge.scene.source import Source

#: Cells along the side of a piece that is thinned; a power of two.
SIDE = 512


@dataclass(frozen=True)
class Piece:
    """Part of a surface.

    Attributes
    ----------
    pixels
        int64 (count, 2): row and column of each vertex in the raster.
    heights
        float32 (count,), finite.
    colours
        uint8 (count, 3), or None.
    faces
        int64 (faces, 3) into the vertices, counterclockwise from above; empty for points.
    """

    pixels: npt.NDArray[np.int64]
    heights: Array
    colours: npt.NDArray[np.uint8] | None
    faces: npt.NDArray[np.int64]


def pieces(
    heights: Source,
    grid: GeoBox,
    tolerance: float | None,
    image: Texture | None,
    *,
    mesh: bool,
    advance: Advance = silent,
) -> Iterator[Piece]:
    """Yield a surface piece by piece, row by row.

    Parameters
    ----------
    heights, grid
        The heights, and the grid they are read on.
    tolerance
        Metres that the surface through what is left may be off at any pixel; None leaves nothing
        out.
    image
        Colours for the vertices; None for none.
    mesh
        Make triangles. Pieces of a mesh repeat the vertices of their common borders; there they
        may gape by the tolerance at most. Pieces of points do not.
    advance
        Is told the millions of pixels of each piece, also of those that hold nothing.
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
                vertices, faces = np.argwhere(known), np.empty((0, 3), np.int64)
            else:
                vertices, faces = _thinned(here, known, tolerance or 0.0)
            if not mesh:
                vertices = _own(vertices, (top, left), (rows, columns))
                faces = np.empty((0, 3), np.int64)
            if not len(vertices):
                continue
            pixels = vertices + np.array([top, left])
            yield Piece(
                pixels,
                here[vertices[:, 0], vertices[:, 1]],
                None if image is None else image.at(pixels),
                faces,
            )


def _read(heights: Source, grid: GeoBox, top: int, left: int) -> Array:
    """Read a piece with the first row and column of the next ones; beyond the raster is NaN."""
    rows, columns = grid.shape
    height, width = min(SIDE + 1, rows - top), min(SIDE + 1, columns - left)
    found = np.full((SIDE + 1, SIDE + 1), np.nan, np.float32)
    found[:height, :width] = heights.read(grid, Window(top, left, height, width))
    return found


def _thinned(
    heights: Array, known: npt.NDArray[np.bool_], tolerance: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Leave out what the tolerance allows; at the edges of voids nothing."""
    void = np.pad(~known, 1, mode="edge")
    beside = np.logical_or.reduce(
        [void[r : r + SIDE + 1, c : c + SIDE + 1] for r in range(3) for c in range(3)]
    )
    filled = heights if known.all() else fill_voids(heights, known)
    vertices, faces = triangles(vertex_errors(filled, beside & known), tolerance)
    there = known[vertices[:, 0], vertices[:, 1]]
    faces = faces[there[faces].all(axis=1)]
    used = np.unique(faces)
    place = np.full(len(vertices), -1, np.int64)
    place[used] = np.arange(used.size)
    return vertices[used], place[faces]


def _own(
    vertices: npt.NDArray[np.int64], corner: tuple[int, int], shape: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Leave the shared last row and column to the next piece, if there is one."""
    mine = np.ones(len(vertices), bool)
    for axis in (0, 1):
        if corner[axis] + SIDE < shape[axis] - 1:
            mine &= vertices[:, axis] < SIDE
    return vertices[mine]
