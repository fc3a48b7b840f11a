"""Right-triangulated irregular networks: as few triangles as a tolerance allows.

After Evans, Kirkpatrick and Townsend (2001, doi 10.1007/s00453-001-0006-x): a square is halved
along diagonals and sides for as long as the middle of a triangle's longest side is further from the
surface than allowed. Pure functions on arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array, Mask

Indices = npt.NDArray[np.int64]


def vertex_errors(heights: Array, needed: Mask | None = None) -> Array:
    """Return how far the surface would be off in places if a vertex were left out.

    Parameters
    ----------
    heights
        float32 (2^k + 1, 2^k + 1) in metres, finite.
    needed
        bool of the same shape: vertices that must stay; their error is infinite.

    Returns
    -------
    float32 of the same shape: the vertex's own error and the greatest sum below it, so that no
    pixel of a surface without it is off by more.
    """
    last = heights.shape[0] - 1
    if heights.shape != (last + 1, last + 1) or last < 1 or last & (last - 1):
        raise ValueError(f"the side is {heights.shape}, not a power of two and one")
    errors = np.zeros_like(heights)
    if needed is not None:
        errors[needed] = np.inf
    half = 1
    while 2 * half <= last:
        _sides(heights, errors, half)
        _centres(heights, errors, half)
        half *= 2
    return errors


def _sides(heights: Array, errors: Array, half: int) -> None:
    """Judge the middles of squares' sides; centres of the four squares around hang on each."""
    step = 2 * half
    for z, e in ((heights, errors), (heights.T, errors.T)):
        middle = (slice(0, None, step), slice(half, None, step))
        ends = z[::step, ::step]
        own = np.abs(z[middle] - (ends[:, :-1] + ends[:, 1:]) / 2)
        if half > 1:
            quarter = half // 2
            # Rows of centres just below and just above each row of sides.
            fine = e[quarter::half, quarter::half]
            pairs = np.maximum(fine[:, 0::2], fine[:, 1::2])
            below = pairs[0::2]
            above = pairs[1::2]
            hanging = np.zeros_like(own)
            hanging[:-1] = below
            hanging[1:] = np.maximum(hanging[1:], above)
            own += hanging
        e[middle] += own


def _centres(heights: Array, errors: Array, half: int) -> None:
    """Judge the centres of squares; the middles of their four sides hang on each."""
    step = 2 * half
    corners = heights[::step, ::step]
    main = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    anti = (corners[:-1, 1:] + corners[1:, :-1]) / 2
    rows, columns = np.indices(main.shape)
    middle = (slice(half, None, step), slice(half, None, step))
    own = np.abs(heights[middle] - np.where((rows + columns) % 2 == 0, main, anti))
    across = errors[::step, half::step]
    down = errors[half::step, ::step]
    sides = (across[:-1], across[1:], down[:, :-1], down[:, 1:])
    errors[middle] += own + np.maximum.reduce(sides)


def triangles(errors: Array, tolerance: float) -> tuple[Indices, Indices]:
    """Return the coarsest triangles whose vertices left out err by no more than the tolerance.

    Parameters
    ----------
    errors
        From :func:`vertex_errors`.
    tolerance
        Metres.

    Returns
    -------
    Vertices as int64 (count, 2), row and column, and triangles as int64 (count, 3),
    counterclockwise seen from above where rows run south.
    """
    last = errors.shape[0] - 1
    # Each triangle: the two ends of its longest side, then its right angle; row, column.
    found = np.array(
        [[[0, 0], [last, last], [0, last]], [[last, last], [0, 0], [last, 0]]], np.int64
    )
    done: list[Indices] = []
    while found.size:
        a, b, c = found[:, 0], found[:, 1], found[:, 2]
        middle = (a + b) // 2
        whole = ((a + b) % 2 == 0).all(axis=1)
        split = whole & (errors[middle[:, 0], middle[:, 1]] > tolerance)
        done.append(found[~split])
        a, b, c, middle = a[split], b[split], c[split], middle[split]
        found = np.concatenate([np.stack([c, a, middle], 1), np.stack([b, c, middle], 1)])
    corners = np.concatenate(done)
    keys, faces = np.unique(corners[..., 0] * (last + 1) + corners[..., 1], return_inverse=True)
    vertices = np.stack([keys // (last + 1), keys % (last + 1)], axis=1)
    return vertices, _counterclockwise(vertices, faces.reshape(-1, 3))


def _counterclockwise(vertices: Indices, faces: Indices) -> Indices:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    one, two = b - a, c - a
    # Rows run south: x is the column, y is minus the row.
    turn = one[:, 1] * -two[:, 0] + one[:, 0] * two[:, 1]
    found = faces.copy()
    found[turn < 0] = faces[turn < 0][:, ::-1]
    return found
