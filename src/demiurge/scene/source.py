"""One band of one raster file, read by window on any grid, NaN for no data."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError
from demiurge.layers import Kind, Layer
from demiurge.scene.georeference import grid_of
from demiurge.scene.grid import (
    Window,
    patches,
    pixel_ratio,
    pixel_shift,
    same_grid,
    source_window,
    window_grid,
    wkt,
)
from demiurge.scene.paths import is_remote, open_raster, unreadable
from demiurge.scene.units import require_metres

Array = npt.NDArray[np.float32]

#: Values that files use for "no data" without saying so.
SENTINELS = (-9999.0, -32768.0, -32767.0, -99999.0)
#: No height on Earth lies outside these metres; what does is no height.
HEIGHT_RANGE = (-12000.0, 10000.0)
#: How far, in pixels, GDAL's quick way of transforming coordinates may be off. Its own 0.125
#: costs metres of height on steep ground; this costs under a centimetre and no time.
WARP_TOLERANCE = 0.001

#: Pixels a side that are looked at for no-data values which the file does not declare.
_LOOK = 2048


@dataclass(frozen=True)
class Source:
    """A band of a raster file that plays the part of a layer.

    Attributes
    ----------
    path, band
        The file (or GDAL URL) and the band, counted from 1.
    layer
        What the band means.
    grid
        The file's own grid; may be rotated, south-up or in degrees.
    sentinels
        No-data values found in the band that the file does not declare.
    native
        The grid of the file that the band was once warped from, if it was.
    """

    path: str
    band: int
    layer: Layer
    grid: GeoBox
    sentinels: tuple[float, ...] = ()
    native: GeoBox | None = None
    _local: threading.local = field(default_factory=threading.local, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind: another process opens its own."""
        return {k: v for k, v in self.__dict__.items() if k != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over all but open files."""
        self.__dict__.update(state, _local=threading.local())

    @classmethod
    def open(
        cls, path: str | Path, layer: Layer, band: int = 1, *, local: float | None = None
    ) -> Source:
        """Look at a file and check that the band can be what it is said to be.

        Parameters
        ----------
        local
            Pixel size in metres for a raster without georeference, which then gets a frame of
            its own; None refuses it.

        Raises
        ------
        ResourceError, DataError
            For a missing file, a file that is no raster, a band that is not there, a raster
            without CRS or georeference, heights in other units than metres.
        """
        with open_raster(path) as dataset:
            if not 1 <= band <= dataset.count:
                raise DataError(
                    f"{path}: has no band {band} for layer '{layer.name}'",
                    f"its bands are 1 to {dataset.count}",
                )
            if dataset.dtypes[band - 1].startswith("complex"):
                raise DataError(f"{path}: band {band} is complex", "take its real part first")
            grid = grid_of(str(path), dataset, local)
            if dataset.crs is None:
                return cls(str(path), band, layer, grid)
            if layer.unit == "m":
                require_metres(f"{path}, band {band}", grid.crs, dataset.units[band - 1])
            sentinels = _undeclared(dataset, band, layer)
        return cls(str(path), band, layer, grid, sentinels)

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read the window of a grid.

        Parameters
        ----------
        grid
            The grid to read on; where it is not the file's own, the band is warped with the
            layer's resampling.
        window
            Pixels of that grid.
        step
            Read only about every ``step``-th pixel (nearest), for statistics.

        Returns
        -------
        float32 of shape (height, width), or about 1/step of it; NaN for no data; scale and
        offset of the file applied.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        from rasterio.errors import RasterioError
        from rasterio.windows import Window as RioWindow

        aligned = self._aligned(grid, window, step)
        if aligned is not None:
            return aligned
        rio = RioWindow(window.col, window.row, window.width, window.height)
        shape = (-(-window.height // step), -(-window.width // step))
        try:
            if self.sentinels and not same_grid(self.grid, grid):
                return self._read_cleaned(grid, window, shape)
            view, mask_band = self._view(grid)
            data = view.read(self.band, window=rio, out_shape=shape, out_dtype="float32")
            data = np.asarray(data, np.float32)
            if mask_band:
                mask = view.read(mask_band, window=rio, out_shape=shape)
                data[mask < 128] = np.nan
        except RasterioError as error:
            where = f"band {self.band} at row {window.row}, column {window.col}"
            raise unreadable(self.path, where, error) from None
        return self._clean(data, view)

    def _aligned(self, grid: GeoBox, window: Window, step: int) -> Array | None:
        """Read a window of a grid whose pixels are the file's own: cropped, never resampled."""
        shift = None if same_grid(self.grid, grid) else pixel_shift(self.grid, grid)
        if shift is None:
            return None
        row, col = window.row + shift[0], window.col + shift[1]
        wanted = Window(row, col, window.height, window.width)
        top, left = max(row, 0), max(col, 0)
        height = min(row + window.height, self.grid.shape[0]) - top
        width = min(col + window.width, self.grid.shape[1]) - left
        inside = Window(top, left, height, width)
        if inside == wanted:
            return self.read(self.grid, wanted, step)
        if step > 1:
            return None
        found = np.full((window.height, window.width), np.nan, np.float32)
        if height > 0 and width > 0:
            place = Window(top - row, left - col, height, width)
            found[place.slices] = self.read(self.grid, inside)
        return found

    def _read_cleaned(self, grid: GeoBox, window: Window, shape: tuple[int, int]) -> Array:
        """Warp a window by hand: undeclared no data must go before pixels are mixed."""
        from rasterio.io import MemoryFile
        from rasterio.vrt import WarpedVRT
        from rasterio.windows import Window as RioWindow

        dataset, _ = self._view(self.grid)
        target = window_grid(grid, window).zoom_to(shape)
        out = np.full(shape, np.nan, np.float32)
        part = source_window(self.grid, target, margin=4)
        if part is None:
            return out
        # Reading at the target's own fineness bounds the memory when pixels are merged.
        step = max(1, min(part.height // (2 * shape[0]), part.width // (2 * shape[1])))
        size = (-(-part.height // step), -(-part.width // step))
        data = dataset.read(
            self.band,
            window=RioWindow(part.col, part.row, part.width, part.height),
            out_shape=size,
            out_dtype="float32",
        )
        here = window_grid(self.grid, part).zoom_to(size)
        clean = self._clean(np.asarray(data, np.float32), dataset)
        profile = {
            "driver": "GTiff",
            "height": size[0],
            "width": size[1],
            "count": 1,
            "dtype": "float32",
            "crs": wkt(here),
            "transform": here.affine,
        }
        with MemoryFile() as memory:
            with memory.open(**profile) as writer:
                writer.write(clean, 1)
            options = {"src_nodata": np.nan, "nodata": np.nan, **self._warp(here, target)}
            with memory.open() as copy, WarpedVRT(copy, **options) as view:
                return np.asarray(view.read(1), np.float32)

    def _warp(self, source: GeoBox, grid: GeoBox) -> dict[str, Any]:
        from rasterio.enums import Resampling

        scale = pixel_ratio(source, grid)
        return {
            "crs": wkt(grid),
            "transform": grid.affine,
            "height": grid.shape[0],
            "width": grid.shape[1],
            "resampling": Resampling[self.layer.resampling],
            "dtype": "float32",
            "num_threads": 1,
            "tolerance": WARP_TOLERANCE,
            # Left alone, GDAL takes the scale from each piece it warps, so that results would
            # depend on how the raster is cut.
            "XSCALE": scale,
            "YSCALE": scale,
        }

    def _clean(self, data: Array, view: Any) -> Array:
        index = self.band - 1
        nodata = view.nodata
        if nodata is not None and not np.isnan(nodata):
            data[data == np.float32(nodata)] = np.nan
        for sentinel in self.sentinels:
            data[data == np.float32(sentinel)] = np.nan
        scale, offset = view.scales[index], view.offsets[index]
        if (scale, offset) != (1.0, 0.0):
            data *= np.float32(scale)
            data += np.float32(offset)
        np.copyto(data, np.nan, where=~(np.abs(data) < 1e30))
        if self.layer.kind is Kind.HEIGHT:
            low, high = HEIGHT_RANGE
            np.copyto(data, np.nan, where=(data < low) | (data > high))
        return data

    def _view(self, grid: GeoBox) -> tuple[Any, int | None]:
        """Return this thread's open view of the file on a grid, and its mask band if any."""
        cache: dict[Any, tuple[Any, int | None]] = self._local.__dict__.setdefault("views", {})
        key = (tuple(grid.shape), tuple(grid.affine), str(grid.crs))
        if key not in cache:
            if len(cache) >= 4:
                del cache[next(iter(cache))]
            cache[key] = self._open_view(grid)
        return cache[key]

    def _open_view(self, grid: GeoBox) -> tuple[Any, int | None]:
        from rasterio.enums import ColorInterp, MaskFlags
        from rasterio.vrt import WarpedVRT

        dataset = _shared(self.path)
        flags = dataset.mask_flag_enums[self.band - 1]
        masked = MaskFlags.per_dataset in flags or MaskFlags.alpha in flags
        if same_grid(self.grid, grid) and not masked:
            return dataset, None
        options = self._warp(self.grid, grid)
        if masked:
            has_alpha = ColorInterp.alpha in dataset.colorinterp
            view = WarpedVRT(dataset, add_alpha=not has_alpha, **options)
            return view, view.count
        # A NaN in a float file is no data whether declared or not; integers have none.
        nodata = np.nan if dataset.nodata is None else dataset.nodata
        return WarpedVRT(dataset, src_nodata=nodata, nodata=np.nan, **options), None


#: This thread's open files.
_OPEN = threading.local()


def _shared(path: str) -> Any:
    """Return this thread's open raster, one for all bands, so that a block is decoded once."""
    cache: WeakValueDictionary[Any, Any] = _OPEN.__dict__.setdefault("files", WeakValueDictionary())
    found = None if is_remote(path) or path.startswith("<") else Path(path)
    state = found.stat() if found is not None and found.exists() else None
    key = (path, None if state is None else (state.st_size, state.st_mtime_ns, state.st_ino))
    dataset = cache.get(key)
    if dataset is None or dataset.closed:
        dataset = cache[key] = open_raster(path)
    return dataset


def _undeclared(dataset: Any, band: int, layer: Layer) -> tuple[float, ...]:
    """Find no-data values that the file holds but does not declare, in patches all over it."""
    if layer.kind is not Kind.HEIGHT and layer.kind is not Kind.ERROR:
        return ()
    from rasterio.errors import RasterioError

    try:
        parts = [
            dataset.read(band, window=((w.row, w.row + w.height), (w.col, w.col + w.width))).ravel()
            for row in patches(dataset.shape, _LOOK)
            for w in row
        ]
        sample = np.concatenate(parts).astype(np.float64)
    except RasterioError:
        return ()  # the fault is told where the pixels are really read
    found = [v for v in SENTINELS if v != dataset.nodata and np.any(sample == v)]
    huge = np.unique(sample[np.isfinite(sample) & (np.abs(sample) > 1e30)])
    found += [float(v) for v in huge[:4] if v != dataset.nodata]
    return tuple(found)
