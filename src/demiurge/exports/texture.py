"""Colours of an image on the grid of a surface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.arrays import Indices
from demiurge.errors import DataError, UsageError
from demiurge.layers import PANCHROMATIC, Layer, layer
from demiurge.paths import PathLike, split_band
from demiurge.scene.bands import recognise_bands
from demiurge.scene.files import open_raster
from demiurge.scene.grid import Window, window_grid
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source

_COLOURS = ("red", "green", "blue")


def image_sources(image: PathLike, nodata: Sequence[float] | None = None) -> list[Source]:
    """Open red, green and blue of an image, or its single grey band.

    Raises
    ------
    UsageError
        If the image has neither.
    """
    path = str(image)
    try:
        bands = recognise_bands(path)
    except UsageError:  # its bands are not named
        bands = {}
    files = [bands[name] for name in _COLOURS if name in bands]
    file, band = split_band(path)
    if band is not None:
        files = [path]
    elif len(files) != len(_COLOURS):
        with open_raster(file) as dataset:
            grey = [bands[name] for name in PANCHROMATIC if name in bands]
            files = grey[:1] or ([path] if dataset.count == 1 else [])
    if not files:
        raise UsageError(f"{path}: has no red, green and blue", "name an RGB image")
    named = zip(_COLOURS, files, strict=False) if len(files) > 1 else [(PANCHROMATIC[0], files[0])]
    return [Source.open(*_split(file, name), nodata=nodata, role="image") for name, file in named]


def _split(file: str, name: str) -> tuple[str, Layer, int | None]:
    path, band = split_band(file)
    return path, layer(name), band


class Texture:
    """An 8-bit image, stretched between its 1 % and 99 % quantiles on the surface.

    Parameters
    ----------
    sources
        Red, green and blue, or one grey band.
    grid
        Grid of the surface.

    Raises
    ------
    DataError
        If the image has no data on the surface.
    """

    def __init__(self, sources: Sequence[Source], grid: GeoBox) -> None:
        self._sources, self._grid = list(sources), grid
        scene = Scene("texture", grid, {source.layer.name: source for source in sources})
        self._limits = [self._stretch(scene, source) for source in sources]

    def _stretch(self, scene: Scene, source: Source) -> tuple[float, float]:
        statistics = scene.statistics(source.layer.name)
        if not statistics["measured"]:
            raise DataError(f"{source.path}: has no colour on the surface", "choose another image")
        low, high = float(statistics["p01"]), float(statistics["p99"])
        return low, max(high, low + 1e-9)

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
        """Return uint8 (rows, columns, 3) of a window of the surface's grid; no data is black.

        Parameters
        ----------
        shape
            Rows and columns of the result; those of the window if None.
        """
        grid = window_grid(self._grid, window)
        if shape is not None:
            grid = grid.zoom_to(shape)
        window = Window(0, 0, grid.shape[0], grid.shape[1])
        planes = []
        for source, (low, high) in zip(self._sources, self._limits, strict=True):
            plane = source.read(grid, window)
            scaled = np.clip((plane - low) / (high - low), 0, 1)
            planes.append(np.rint(255 * np.nan_to_num(scaled)).astype(np.uint8))
        return np.stack(planes * (3 // len(planes)), axis=-1)

    def at(self, pixels: Indices) -> npt.NDArray[np.uint8]:
        """Return the colours, uint8 (count, 3), of pixels (row, column) of the surface's grid."""
        first, last = int(pixels[:, 0].min()), int(pixels[:, 0].max())
        left, right = int(pixels[:, 1].min()), int(pixels[:, 1].max())
        colours = self.read(Window(first, left, last - first + 1, right - left + 1))
        return np.asarray(colours[pixels[:, 0] - first, pixels[:, 1] - left], np.uint8)


def jpeg(texture: Texture, grid: GeoBox, most: int = 4096) -> bytes:
    """Return the texture on the grid as a JPEG of at most ``most`` pixels a side."""
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
