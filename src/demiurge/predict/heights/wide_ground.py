"""Bare earth from a wider view: the network at coarser pixels, stored in a file.

Under a roof wider than the network's window no ground is in sight. At reduced resolution the same
network sees several times as far, but less detail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demiurge.arrays import Array, Mask
from demiurge.model.bundle import Bundle
from demiurge.outputs import atomic_file
from demiurge.predict.reduced import enlarged
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Pixel sizes in metres up to which a wide view was tried.
_COARSEST = 2.0
#: Least side of a wide view in pixels.
_LEAST = 32


@dataclass(frozen=True)
class WideGround:
    """Bare earth of a scene at reduced resolution.

    Attributes
    ----------
    path
        NumPy file of float32 (2, rows, columns): bare earth and its uncertainty in metres, NaN for
        no data. It is mapped, not loaded.
    factor
        Ratio of the pixel sizes.
    """

    path: Path
    factor: int

    def under(self, window: Window) -> tuple[Array, Array, Mask]:
        """Interpolate linearly to the pixels of a window of the full resolution.

        Returns
        -------
        Bare earth and uncertainty, float32 (height, width), and where they are known.
        """
        stored = np.load(self.path, mmap_mode="r")
        (earth, uncertainty), known = enlarged(stored, window, self.factor)
        return earth, uncertainty, known


def wide_factor(scene: Scene, bundle: Bundle) -> int | None:
    """Return the ratio of pixel sizes of the wide view; None if there is none.

    The scene at reduced resolution must be within the pixel sizes of the bundle and at most 2 m.
    """
    if bundle.contract.base != "dsm" or not bundle.contract.surface_and_ground:
        return None
    for factor in (4, 2):
        size = scene.pixel_size * factor
        fits = bundle.card.pixel_sizes.fits(size) and size <= _COARSEST * 1.01
        if fits and min(scene.shape) >= _LEAST * factor:
            return factor
    return None


def write_wide_ground(
    path: Path, rows: Iterator[Array], targets: Sequence[str], shape: tuple[int, int], factor: int
) -> WideGround:
    """Write the wide view, part by part.

    Parameters
    ----------
    rows
        float32 (planes, rows, columns) from north to south: heights of the targets in metres, then
        their uncertainties.
    targets
        Names of the heights, with ``dtm``.
    shape
        Rows and columns of all parts.
    """
    index = list(targets).index("dtm")
    with atomic_file(path, overwrite=True) as partial:
        stored = np.lib.format.open_memmap(partial, "w+", np.float32, (2, *shape))
        top = 0
        for values in rows:
            stored[:, top : top + values.shape[1]] = values[[index, len(targets) + index]]
            top += values.shape[1]
        stored.flush()
        del stored
    return WideGround(path, factor)
