"""Gross outliers of a scene's heights, window by window."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.raster.outliers import MARGIN, exceeds, gross_outliers
from demiurge.scene.grid import Window, grown
from demiurge.scene.scene import Scene


def outliers_in(scene: Scene, name: str, window: Window, heights: Array) -> Mask | None:
    """Return which pixels of a window are gross outliers, the same whatever the window.

    Parameters
    ----------
    name
        Layer of heights in metres.
    heights
        float32 (window.height, window.width): what was read of the layer.

    Returns
    -------
    bool (window.height, window.width), or None where there are none; see
    :func:`demiurge.raster.outliers.gross_outliers`.
    """
    # Heights all alike hold none, unless an outlier lies alone in a void.
    if not exceeds(heights) and np.isfinite(heights).mean() > 0.5:
        return None
    wide = grown(window, MARGIN, scene.shape)
    found = gross_outliers(scene.read(wide, [name])[0], scene.pixel_size)
    row, col = window.row - wide.row, window.col - wide.col
    inside = found[row : row + window.height, col : col + window.width]
    return inside if inside.any() else None
