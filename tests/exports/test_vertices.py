"""Triangulation within a vertical tolerance, at voids and at borders of blocks; progress."""

from pathlib import Path

import numpy as np
import pytest

from conftest import terrain, write_raster
from demiurge.exports.vertices import triangulate, vertex_blocks
from demiurge.layers import layer
from demiurge.scene.source import Source


def rough(rows: int, columns: int | None = None) -> np.ndarray:
    heights = terrain(rows, columns or rows)
    return heights + np.random.default_rng(0).normal(0, 0.3, heights.shape).astype(np.float32)


def surface_of(heights: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Draw the plane of each triangle into a raster; NaN outside all triangles."""
    drawn = np.full(heights.shape, np.nan)
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
        drawn[rows[inside], columns[inside]] = plane[inside]
    return drawn


def areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the signed areas of triangles seen from above."""
    x, y = vertices[:, 1], -vertices[:, 0]
    a, b, c = faces.T
    return ((x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])) / 2


@pytest.mark.parametrize("tolerance", [0.0, 0.2, 1.0, 5.0])
@pytest.mark.parametrize("shape", [(33, 33), (40, 25)])
def test_error_at_every_pixel_is_within_the_tolerance(
    tolerance: float, shape: tuple[int, int]
) -> None:
    heights = rough(*shape)
    vertices, faces = triangulate(heights, tolerance)
    surface = surface_of(heights, vertices, faces)
    assert np.isfinite(surface).all(), "the triangles cover every pixel"
    assert np.abs(surface - heights).max() <= tolerance + 1e-4


def test_a_larger_tolerance_gives_fewer_vertices() -> None:
    counts = [len(triangulate(rough(65), t)[0]) for t in (0.0, 0.5, 2.0, 1e4)]
    assert counts[0] == 65 * 65
    assert counts[-1] == 4
    assert counts == sorted(counts, reverse=True)


def test_a_plane_has_two_triangles() -> None:
    rows, columns = np.mgrid[:17, :17].astype(np.float32)
    vertices, faces = triangulate(2 * rows - columns, 0.001)
    assert len(vertices) == 4
    assert len(faces) == 2


def test_triangles_are_counterclockwise_and_disjoint() -> None:
    signed = areas(*triangulate(rough(17), 0.5))
    assert (signed > 0).all()
    assert signed.sum() == 16 * 16


@pytest.mark.parametrize("tolerance", [0.0, 0.5, 20.0])
def test_triangles_end_at_voids(tolerance: float) -> None:
    """A void of many pixels, single void pixels, and a void at the border."""
    heights = rough(65)
    heights[20:30, 15:40] = np.nan
    heights[50, 50] = heights[52, 51] = np.nan
    heights[60:, :7] = np.nan
    known = np.isfinite(heights)
    vertices, faces = triangulate(heights, tolerance)
    assert known[vertices[:, 0], vertices[:, 1]].all()
    surface = surface_of(heights, vertices, faces)
    assert not np.isfinite(surface[~known]).any()
    corners = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:] & known[1:, 1:]
    covered = np.zeros_like(known)
    for r in (0, 1):
        for c in (0, 1):
            covered[r : r + 64, c : c + 64] |= corners
    assert np.isfinite(surface[covered]).all()
    assert np.nanmax(np.abs(surface - heights)) <= tolerance + 1e-4
    # Triangles may enter cells with known and void corners, but not beyond the void corners.
    some = known[:-1, :-1] | known[1:, :-1] | known[:-1, 1:] | known[1:, 1:]
    assert corners.sum() <= areas(vertices, faces).sum() < (corners.sum() + some.sum()) / 2


@pytest.mark.parametrize("tolerance", [0.0, 0.125, 1.0, 5.0])
@pytest.mark.parametrize("voids", [False, True])
def test_neighbouring_blocks_share_the_vertices_of_their_border(
    tolerance: float, voids: bool
) -> None:
    """Different reliefs on both sides, so that a border that depended on them would differ."""
    heights = rough(129, 65)
    heights[64:] += 8 * np.arange(65, dtype=np.float32)[:, None]
    if voids:
        heights[60:70, 10:20] = np.nan
        heights[64, 40] = np.nan
        heights[100:110, 30:50] = np.nan
    above, below = (triangulate(part, tolerance) for part in (heights[:65], heights[64:]))
    first, second = (
        set(vertices[vertices[:, 0] == row, 1].tolist())
        for (vertices, _), row in ((above, 64), (below, 0))
    )
    assert first == second
    assert len(first) < 66


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_single_rows_have_no_triangles(shape: tuple[int, int]) -> None:
    vertices, faces = triangulate(np.zeros(shape, np.float32), 0.1)
    assert vertices.shape == (0, 2)
    assert faces.shape == (0, 3)


def test_progress_counts_every_pixel_once(tmp_path: Path) -> None:
    """Void blocks are counted too; 700 pixels are one complete block and part of another."""
    heights = terrain(700, 600)
    heights[512:, :512] = np.nan
    megapixels: list[float] = []
    source = Source.open(write_raster(tmp_path / "s.tif", heights), layer("dsm"))
    list(vertex_blocks(source, source.grid, None, None, mesh=False, advance=megapixels.append))
    assert len(megapixels) == 4
    assert sum(megapixels) == pytest.approx(0.42)
