"""Resampling to coarser pixels."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array


def block_means(plane: Array, size: int) -> Array:
    """Return the means of blocks of ``size`` × ``size`` pixels, ignoring no data.

    Parameters
    ----------
    plane
        float32 (rows, columns), NaN for no data.

    Returns
    -------
    float32 (rows / size, columns / size), rounded up: the blocks at the lower and right edges may
    be smaller. NaN for blocks without data.
    """
    rows, columns = (-(-n // size) for n in plane.shape)
    room = ((0, rows * size - plane.shape[0]), (0, columns * size - plane.shape[1]))
    padded = np.pad(plane, room, constant_values=np.nan)
    blocks = padded.reshape(rows, size, columns, size)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
