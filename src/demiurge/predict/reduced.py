"""Scenes at reduced resolution: pixels are means of blocks of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.layers import Kind, layer
from demiurge.predict.sources import ArrayReader, scene_of
from demiurge.scene.grid import Window
from demiurge.scene.scene import Scene

#: Pixels of a scene that are averaged at once.
_STRIP = 2**22


@dataclass(frozen=True)
class ReducedReader:
    """Reads a scene with each pixel the mean of a block of pixels.

    A pixel has no data if any pixel of its block has none. Rows and columns at the lower and right
    edges that fill no block are left out.

    Attributes
    ----------
    scene, factor
        The scene, and the pixels along the side of a block.
    """

    scene: Scene
    factor: int

    @property
    def grid(self) -> GeoBox:
        """Return the grid of the means."""
        shape = (self.scene.shape[0] // self.factor, self.scene.shape[1] // self.factor)
        return GeoBox(
            shape, self.scene.grid.affine * Affine.scale(self.factor), self.scene.grid.crs
        )

    @property
    def layers(self) -> Sequence[str]:
        """Return the names of the layers."""
        return self.scene.layers

    def read(self, window: Window, layers: Sequence[str]) -> Array:
        """Read a window; see :class:`demiurge.predict.sources.WindowReader`."""
        covered = Window(*(self.factor * number for number in window))
        planes = self.scene.read(covered, list(layers))
        blocks = planes.reshape(len(layers), window.height, self.factor, window.width, self.factor)
        means = np.asarray(blocks.mean(axis=(2, 4), dtype=np.float64), np.float32)
        for plane, name in zip(means, layers, strict=True):
            if layer(name).kind in (Kind.MASK, Kind.CLASS):
                np.rint(plane, out=plane)
        return means


def reduced(scene: Scene, factor: int) -> Scene:
    """Return a scene at reduced resolution, averaged when it is read."""
    return _like(scene, scene_of(ReducedReader(scene, factor), scene.name))


def reduced_in_memory(scene: Scene, names: Sequence[str], factor: int) -> Scene:
    """Return some layers of a scene at reduced resolution, read once."""
    reader = ReducedReader(scene, factor)
    rows, columns = (int(n) for n in reader.grid.shape)
    planes = np.empty((len(names), rows, columns), np.float32)
    strip = max(1, _STRIP // (factor * factor * max(columns, 1)))
    for top in range(0, rows, strip):
        count = min(strip, rows - top)
        planes[:, top : top + count] = reader.read(Window(top, 0, count, columns), names)
        scene.release()
    arrays = dict(zip(names, planes, strict=True))
    return _like(scene, scene_of(ArrayReader(arrays, reader.grid), scene.name))


def _like(scene: Scene, small: Scene) -> Scene:
    return replace(
        small, vertical=scene.vertical, equalised=scene.equalised, views=scene.views, sun=scene.sun
    )
