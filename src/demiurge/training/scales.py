"""Training regions at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

from demiurge.predict.reduced import reduced
from demiurge.scene.grid import Window
from demiurge.training.split import Region


def at_scales(regions: Sequence[Region], scales: Sequence[int], side: int) -> list[Region]:
    """Return regions at each scale at which they hold a chip.

    Parameters
    ----------
    scales
        Factors by which pixels are averaged. A region that is too small for all of them is kept
        as it is.
    side
        Side of a chip in pixels.
    """
    made = []
    for region in regions:
        fitting = [k for k in scales if min(region.window[2:]) // k - (k > 1) >= side] or [1]
        made += [region if k == 1 else _reduced(region, k) for k in fitting]
    return made


def _reduced(region: Region, factor: int) -> Region:
    """Return a region at reduced resolution, without the pixels that lie partly outside."""
    row, col, height, width = region.window
    top, left = -(-row // factor), -(-col // factor)
    rows, columns = (row + height) // factor - top, (col + width) // factor - left
    return Region(reduced(region.scene, factor), Window(top, left, rows, columns))
