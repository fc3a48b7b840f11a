"""Scenes at reduced resolution: pixels are means of blocks of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from demiurge.arrays import Array, Mask, Values
from demiurge.layers import Kind, layer
from demiurge.predict.sources import ArrayReader, scene_of
from demiurge.scene.grid import Window, full_window
from demiurge.scene.scene import Scene

#: Pixels of a scene that are averaged at once.
_STRIP = 2**20


@dataclass(frozen=True)
class ReducedReader:
    """Reads a scene with each pixel the mean of a block of pixels.

    Rows and columns at the lower and right edges that fill no block are left out.

    Attributes
    ----------
    scene, factor
        The scene, and the pixels along the side of a block.
    least
        Least share of a block that has data; below it, the mean has none.
    """

    scene: Scene
    factor: int
    least: float = 1.0

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
        return read_averaged(self.scene, covered, layers, self.factor, self.least)


def read_averaged(
    scene: Scene, window: Window, names: Sequence[str], factor: int, least: float = 1.0
) -> Array:
    """Read layers averaged over blocks of pixels, strip by strip.

    Parameters
    ----------
    window
        Its height and width are multiples of ``factor``.
    least
        Least share of a block that has data.

    Returns
    -------
    float32 (layers, height / factor, width / factor); NaN where less of a block has data. Masks
    and classes are rounded.
    """
    rows, columns = window.height // factor, window.width // factor
    out = np.empty((len(names), rows, columns), np.float32)
    strip = max(1, _STRIP // (factor * window.width))
    for top in range(0, rows, strip):
        count = min(strip, rows - top)
        part = Window(window.row + top * factor, window.col, count * factor, window.width)
        for plane, means, name in zip(
            scene.read(part, list(names)), out[:, top : top + count], names, strict=True
        ):
            means[:] = _means(plane.reshape(count, factor, columns, factor), least)
            if layer(name).kind in (Kind.MASK, Kind.CLASS):
                np.rint(means, out=means)
        if count < rows:
            scene.release()
    return out


def _means(blocks: Array, least: float) -> Values:
    """Return the means of blocks (rows, factor, columns, factor), NaN where too little is known."""
    if least >= 1:
        return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))
    known = np.isfinite(blocks)
    share = known.mean(axis=(1, 3))
    total = np.where(known, blocks, 0).mean(axis=(1, 3), dtype=np.float64)
    return np.where((share >= least) & (share > 0), total / np.maximum(share, 1e-9), np.nan)


def reduced(scene: Scene, factor: int, least: float = 1.0) -> Scene:
    """Return a scene at reduced resolution; see :class:`ReducedReader`."""
    return _like(scene, scene_of(ReducedReader(scene, factor, least), scene.name))


def reduced_in_memory(scene: Scene, names: Sequence[str], factor: int) -> Scene:
    """Return some layers of a scene at reduced resolution, read once."""
    reader = ReducedReader(scene, factor)
    planes = reader.read(full_window(reader.grid), names)
    arrays = dict(zip(names, planes, strict=True))
    return _like(scene, scene_of(ArrayReader(arrays, reader.grid), scene.name))


def enlarged(planes: Array, window: Window, factor: int) -> tuple[Array, Mask]:
    """Interpolate planes at reduced resolution linearly to the pixels of a window.

    Parameters
    ----------
    planes
        float32 (planes, rows, columns), NaN for no data. Of planes that are mapped from a file,
        only those pixels are read that the window needs.
    window
        Position in the raster of full resolution.
    factor
        Ratio of the pixel sizes.

    Returns
    -------
    float32 (planes, height, width), and bool (height, width): where all neighbours are known.
    """
    spans, positions = [], []
    for first, count, length in zip(window[:2], window[2:], planes.shape[1:], strict=True):
        at = (np.arange(first, first + count) + 0.5) / factor - 0.5
        start = min(max(int(np.floor(at[0])), 0), length - 1)
        spans.append(slice(start, max(int(np.floor(at[-1])) + 2, start + 1)))
        positions.append(at - start)
    pixels = np.meshgrid(*positions, indexing="ij")

    def sampled(stack: Array) -> Array:
        found = [ndimage.map_coordinates(p, pixels, order=1, mode="nearest") for p in stack]
        return np.stack(found).astype(np.float32)

    part = np.array(planes[(slice(None), *spans)])
    known = np.asarray(np.isfinite(part).all(axis=0))
    part[:, ~known] = 0
    values = sampled(part)
    if known.all():
        return values, np.ones(values.shape[1:], bool)
    share = sampled(known.astype(np.float32)[None])[0]
    return values, np.asarray(share > 0.999)


def _like(scene: Scene, small: Scene) -> Scene:
    return replace(
        small, vertical=scene.vertical, equalised=scene.equalised, views=scene.views, sun=scene.sun
    )
