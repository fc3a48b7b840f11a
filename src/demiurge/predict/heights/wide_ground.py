"""Bare earth from a wider view, weighed against that of the full resolution.

Under a roof wider than the network's window, or on a hillside under closed canopy, no ground is in
sight. At reduced resolution the same network sees several times as far, but less detail. Both
results state their uncertainty; the bare earth is their mean, weighted by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.model.bundle import Bundle
from demiurge.outputs import atomic_file
from demiurge.predict.heights.coarse import coarse_factor
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Weights are uncertainties to the power of −POWER; those of the wide view count EXCESS times.
POWER, EXCESS = 4.0, 1.5
#: Least uncertainty in metres that is told apart.
_LEAST = 0.2


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

    def weigh(self, top: int, left: int, values: Array, targets: Sequence[str]) -> Array:
        """Return planes with the bare earth weighed against that of the wide view.

        Parameters
        ----------
        top, left
            Position of the planes in the raster.
        values
            float32 (planes, rows, columns): heights of the targets in metres, then their
            uncertainties; NaN for no data; not changed.
        targets
            Names of the heights, ``dtm`` among them. The result does not lie above ``dsm``.
        """
        index, out = list(targets).index("dtm"), values.copy()
        wide, wide_uncertainty, known = self._under(Window(top, left, *values.shape[1:]))
        earth, uncertainty = values[index], values[len(targets) + index]
        weight = np.maximum(uncertainty, _LEAST) ** -POWER
        other = np.where(known, (EXCESS * np.maximum(wide_uncertainty, _LEAST)) ** -POWER, 0)
        share = other / (weight + other)
        # The errors of both results are taken for dependent: their uncertainties do not cancel.
        out[index] = earth + share * np.where(known, wide - earth, 0)
        out[len(targets) + index] += share * np.where(known, wide_uncertainty - uncertainty, 0)
        if "dsm" in targets:
            surface = values[list(targets).index("dsm")]
            out[index] = np.where(surface < out[index], np.fmax(surface, earth), out[index])
        return out

    def _under(self, window: Window) -> tuple[Array, Array, Array]:
        """Return bare earth and uncertainty at the pixels of a window, and where they are known."""
        stored = np.load(self.path, mmap_mode="r")
        spans, positions = [], []
        for first, count, length in zip(window[:2], window[2:], stored.shape[1:], strict=True):
            at = (np.arange(first, first + count) + 0.5) / self.factor - 0.5
            start = min(max(int(np.floor(at[0])), 0), length - 1)
            stop = min(int(np.floor(at[-1])) + 2, length)
            spans.append(slice(start, max(stop, start + 1)))
            positions.append(np.clip(at - start, 0, None))
        planes = np.array(stored[(slice(None), *spans)])
        known = np.isfinite(planes).all(axis=0)
        at = np.meshgrid(*positions, indexing="ij")
        share = ndimage.map_coordinates(known.astype(np.float32), at, order=1, mode="nearest")
        sums = [
            ndimage.map_coordinates(np.where(known, p, 0), at, order=1, mode="nearest")
            for p in planes
        ]
        whole = share > 0.999
        earth, uncertainty = (np.where(whole, s, np.float32(np.nan)) for s in sums)
        return earth, uncertainty, whole


def wide_factor(scene: Scene, bundle: Bundle) -> int | None:
    """Return the ratio of pixel sizes of the wide view; None if there is none.

    Bundles that were trained at several resolutions have one, if they predict bare earth from a
    stereo DSM, with its uncertainty.
    """
    contract = bundle.contract
    if contract.base != "dsm" or "dtm" not in contract.targets or not contract.uncertainty:
        return None
    return coarse_factor(scene, bundle.card)


def write_wide_ground(
    path: Path, rows: Iterator[Array], targets: Sequence[str], shape: tuple[int, int], factor: int
) -> WideGround:
    """Write the wide view, row by row.

    Parameters
    ----------
    rows
        float32 (planes, rows, columns) from north to south, as :meth:`WideGround.weigh` takes them.
    shape
        Rows and columns of all of them.
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
