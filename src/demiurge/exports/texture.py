"""The colours of an image on the grid of a surface."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.errors import UsageError
from demiurge.scene.grid import Window, window_grid
from demiurge.scene.open import PathLike, recognise_bands, scene_from_files
from demiurge.scene.scene import Scene

_COLOURS = ("red", "green", "blue")


class Texture:
    """An image in 8 bits, stretched between its own 1 % and 99 %.

    Raises
    ------
    UsageError
        If the image has neither red, green and blue nor a panchromatic band.
    """

    def __init__(self, image: PathLike, grid: GeoBox) -> None:
        path = str(image)
        found = recognise_bands(path)
        names = [n for n in _COLOURS if n in found] or list(found)[:1]
        if len(names) not in (1, 3):
            raise UsageError(f"{path}: has no red, green and blue", "name an RGB image")
        self._scene: Scene = scene_from_files({n: found[n] for n in names})
        self._names, self._grid = names, grid
        self._limits = [self._stretch(name) for name in names]

    def _stretch(self, name: str) -> tuple[float, float]:
        found = self._scene.statistics(name)
        low, high = float(found["p01"] or 0), float(found["p99"] or 0)
        return low, max(high, low + 1e-9)

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
        """Return uint8 (rows, columns, 3) of a window of the surface's grid; black where unknown.

        Parameters
        ----------
        shape
            Rows and columns to give, if not those of the window.
        """
        grid = window_grid(self._grid, window)
        if shape is not None:
            grid = grid.zoom_to(shape)
        whole = Window(0, 0, grid.shape[0], grid.shape[1])
        planes = []
        for name, (low, high) in zip(self._names, self._limits, strict=True):
            plane = self._scene.sources[name].read(grid, whole)
            scaled = np.clip((plane - low) / (high - low), 0, 1)
            planes.append(np.rint(255 * np.nan_to_num(scaled)).astype(np.uint8))
        return np.stack(planes * (3 // len(planes)), axis=-1)

    def at(self, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return uint8 (count, 3): the colours of pixels (row, column) of the surface's grid."""
        first, last = int(pixels[:, 0].min()), int(pixels[:, 0].max())
        left, right = int(pixels[:, 1].min()), int(pixels[:, 1].max())
        found = self.read(Window(first, left, last - first + 1, right - left + 1))
        return np.asarray(found[pixels[:, 0] - first, pixels[:, 1] - left], np.uint8)


def jpeg(texture: Texture, grid: GeoBox, most: int = 4096) -> bytes:
    """Return the whole texture as a JPEG of at most ``most`` pixels a side."""
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    rows, columns = grid.shape
    shrink = max(1.0, max(rows, columns) / most)
    shape = max(1, round(rows / shrink)), max(1, round(columns / shrink))
    picture = texture.read(Window(0, 0, rows, columns), shape)
    profile: dict[str, Any] = {
        "driver": "JPEG", "dtype": "uint8", "count": 3, "height": shape[0], "width": shape[1],
        "quality": 90,
    }  # fmt: skip
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as file:
            file.write(picture.transpose(2, 0, 1))
        return bytes(memory.read())
