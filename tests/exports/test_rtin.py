"""Triangles as few as a tolerance allows, and never further from the surface than it."""

import numpy as np
import pytest

from conftest import terrain
from demiurge.exports.rtin import triangles, vertex_errors


def rough(side: int) -> np.ndarray:
    heights = terrain(side, side)
    return heights + np.random.default_rng(0).normal(0, 0.3, heights.shape).astype(np.float32)


def surface_of(heights: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Paint each triangle's plane into a raster; NaN where none lies."""
    found = np.full(heights.shape, np.nan)
    for face in faces:
        (r0, c0), (r1, c1), (r2, c2) = vertices[face]
        rows, columns = np.mgrid[min(r0, r1, r2) : max(r0, r1, r2) + 1,
                                 min(c0, c1, c2) : max(c0, c1, c2) + 1]  # fmt: skip
        total = (r1 - r2) * (c0 - c2) + (c2 - c1) * (r0 - r2)
        a = ((r1 - r2) * (columns - c2) + (c2 - c1) * (rows - r2)) / total
        b = ((r2 - r0) * (columns - c2) + (c0 - c2) * (rows - r2)) / total
        inside = (a >= -1e-9) & (b >= -1e-9) & (a + b <= 1 + 1e-9)
        z = [heights[r, c] for r, c in vertices[face]]
        plane = a * z[0] + b * z[1] + (1 - a - b) * z[2]
        found[rows[inside], columns[inside]] = plane[inside]
    return found


@pytest.mark.parametrize("tolerance", [0.0, 0.2, 1.0, 5.0])
def test_no_pixel_is_off_by_more_than_the_tolerance(tolerance: float) -> None:
    heights = rough(33)
    vertices, faces = triangles(vertex_errors(heights), tolerance)
    found = surface_of(heights, vertices, faces)
    assert np.isfinite(found).all(), "the triangles leave no gap"
    assert np.abs(found - heights).max() <= tolerance + 1e-4


def test_a_larger_tolerance_leaves_less() -> None:
    errors = vertex_errors(rough(65))
    counts = [len(triangles(errors, t)[0]) for t in (0.0, 0.5, 2.0, 1e9)]
    assert counts[0] == 65 * 65
    assert counts[-1] == 4
    assert counts == sorted(counts, reverse=True)


def test_a_plane_needs_two_triangles() -> None:
    rows, columns = np.mgrid[:17, :17].astype(np.float32)
    vertices, faces = triangles(vertex_errors(2 * rows - columns), 0.001)
    assert len(vertices) == 4
    assert len(faces) == 2


def test_triangles_face_upward() -> None:
    vertices, faces = triangles(vertex_errors(rough(17)), 0.5)
    x, y = vertices[:, 1], -vertices[:, 0]
    a, b, c = faces.T
    area = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
    assert (area > 0).all()
    assert area.sum() == 2 * 16 * 16


def test_needed_vertices_stay() -> None:
    needed = np.zeros((17, 17), bool)
    needed[5, 11] = True
    errors = vertex_errors(np.zeros((17, 17), np.float32), needed)
    vertices, _ = triangles(errors, 100.0)
    assert [5, 11] in vertices.tolist()


@pytest.mark.parametrize("shape", [(16, 16), (17, 9), (1, 1)])
def test_other_shapes_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="power of two"):
        vertex_errors(np.zeros(shape, np.float32))
