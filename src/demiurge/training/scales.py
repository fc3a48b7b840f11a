"""Training regions at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

from demiurge.predict.reduced import reduced
from demiurge.scene.grid import Window
from demiurge.training.sections import ChipSettings
from demiurge.training.split import Region


def at_scales(regions: Sequence[Region], chips: ChipSettings) -> list[Region]:
    """Return regions at each scale at which they hold a chip.

    A region that is too small at all of them is kept as it is.
    """
    made = []
    for region in regions:
        scaled = [region if k == 1 else _reduced(region, k) for k in chips.scales]
        made += [r for r in scaled if min(r.window[2:]) >= chips.size] or [region]
    return made


def _reduced(region: Region, factor: int) -> Region:
    """Return a region at reduced resolution, without the pixels that lie partly outside."""
    row, col, height, width = region.window
    top, left = -(-row // factor), -(-col // factor)
    rows, columns = (row + height) // factor - top, (col + width) // factor - left
    return Region(reduced(region.scene, factor), Window(top, left, rows, columns))
