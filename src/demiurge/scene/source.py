"""The reader of raster files: one band, read by window on any grid, with NaN for no data."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import Kind, Layer
from demiurge.paths import local_file
from demiurge.scene.bands import choose_bands, require_values
from demiurge.scene.files import ARRAY, open_raster, unreadable
from demiurge.scene.footprint import moved_grid, pixel_ratio, source_window, window_across_seam
from demiurge.scene.georeference import grid_of
from demiurge.scene.grid import Window, pixel_shift, same_grid, window_grid
from demiurge.scene.spec import HeightTransformation, Vertical
from demiurge.scene.undeclared import SuspectValue, common_nodata, inspect, isolated_value
from demiurge.scene.validity import Validity, clean, read_stored, validity_of
from demiurge.scene.vertical import read_vertical, require_metres, vertical_of
from demiurge.scene.warp import Tiles, from_tiles, halves, tiles_across, warp, warp_affine

#: Largest number of source pixels that are warped at once.
_MOST = 2**22


@dataclass(frozen=True)
class Source:
    """A band of a raster file as a layer.

    Attributes
    ----------
    path, band
        The file (or GDAL URL) and the band, counted from 1.
    vector
        The bands whose norm is the layer, if it is stored as a vector; else empty.
    layer
        The layer of the band.
    grid
        The grid of the file; may be rotated, south-up or in degrees.
    undeclared
        Stored no-data values that the file does not declare.
    detect_nodata
        Whether reading raises an error for values that are probably no data.
    role
        Name of the layer in ``--nodata``.
    remarks
        Results of the inspection of the file for the user, one sentence each.
    dirty
        Whether the inspection found no data that the file does not declare.
    native
        The grid of the file that the band was warped from, if it was.
    array
        The raster, if it is an array in memory instead of a file.
    """

    path: str
    band: int
    layer: Layer
    grid: GeoBox
    undeclared: tuple[float, ...] = ()
    detect_nodata: bool = False
    role: str = ""
    remarks: tuple[str, ...] = ()
    dirty: bool = False
    native: GeoBox | None = None
    vector: tuple[int, ...] = ()
    array: Any = field(default=None, compare=False, repr=False)
    _local: threading.local = field(
        default_factory=threading.local, init=False, compare=False, repr=False
    )
    _tiles: Tiles = field(default_factory=Tiles, init=False, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Omit open files: another process opens its own."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_local", "_tiles")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore all fields except open files and warped tiles."""
        self.__dict__.update(state, _local=threading.local(), _tiles=Tiles())

    @classmethod
    def open(
        cls,
        path: str | Path,
        layer: Layer,
        band: int | None = None,
        *,
        local: float | None = None,
        nodata: Sequence[float] | None = None,
        role: str = "",
        opened: Any = None,
    ) -> Source:
        """Inspect a file and check that its band can be the layer.

        Parameters
        ----------
        band
            Counted from 1; if None, :func:`demiurge.scene.bands.choose_bands` chooses it.
        local
            Pixel size in metres of a raster without georeference, which then gets a local
            frame; None raises an error.
        nodata
            Stored no-data values in addition to the declared one; empty for no others. None
            searches for such values.
        role
            Name of the layer in ``--nodata``; that of the layer if empty.
        opened
            The open dataset of the file, if there is one; it stays open.

        Raises
        ------
        ResourceError, DataError
            For a missing file, a file that is not a raster, a missing band, a raster without
            CRS or georeference, heights that are not in metres, values that are probably no
            data.
        UsageError
            If no band is given and the choice is ambiguous.
        """
        with open_raster(path) if opened is None else nullcontext(opened) as dataset:
            bands: tuple[int, ...] = ()
            remark = ""
            if band is None:
                bands, remark = choose_bands(str(path), dataset, layer)
                band = bands[0]
            _require_band(str(path), dataset, band, layer)
            grid = grid_of(str(path), dataset, local)
            if dataset.crs is not None and layer.unit == "m":
                require_metres(f"{path}, band {band}", grid.crs, dataset.units[band - 1])
            detect_nodata = nodata is None or len(nodata) > 0
            undeclared = (*common_nodata(layer), *(nodata or ())) if detect_nodata else ()
            source = cls(
                str(path),
                band,
                layer,
                grid,
                undeclared,
                detect_nodata,
                role or layer.name,
                remarks=(remark,) if remark else (),
                vector=bands if len(bands) > 1 else (),
                array=dataset if dataset.driver == ARRAY else None,
            )
            if not source.detect_nodata:
                return source
            rule = validity_of(dataset, band, layer, undeclared)
            result = inspect(dataset, band, layer, rule, source.role)
        if result.suspect is not None:
            raise source.nodata_error(result.suspect)
        return replace(source, remarks=(*source.remarks, *result.remarks), dirty=result.dirty)

    @property
    def in_memory(self) -> bool:
        """Return whether the band is read from memory, which no other process can."""
        return self.array is not None

    @property
    def token(self) -> str:
        """Return what distinguishes the content of one array from that of another."""
        return "" if self.array is None else str(self.array.token)

    @property
    def vertical(self) -> Vertical:
        """Return the vertical reference that the CRS declares or, of an array, its attribute."""
        declared = vertical_of(self.grid.crs)
        if declared.reference == "unknown" and self.array is not None:
            return read_vertical(self.array.vertical_references[self.band - 1])
        return declared

    @property
    def transformation(self) -> HeightTransformation | None:
        """Return how heights are transformed between vertical references; None if they are not."""
        return None

    @property
    def variant(self) -> tuple[str, ...]:
        """Return what the result of :meth:`read` depends on in addition to file and grid."""
        return ()

    def nodata_error(self, suspect: SuspectValue) -> DataError:
        """Return the error for a value that is probably no data."""
        return DataError(
            f"{self.path}: layer '{self.role}', band {self.band}: {suspect}",
            f"declare it as no data with --nodata {self.role}={suspect.value:.7g}, or keep it as "
            f"a height with --nodata {self.role}=none",
        )

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of a grid.

        Parameters
        ----------
        grid
            The grid of the result. If it is not that of the file, the band is warped with the
            layer's resampling; no data is ignored.
        window
            Window of that grid.
        step
            Read only about every ``step``-th pixel (nearest), for statistics.

        Returns
        -------
        float32 (height, width), divided by ``step``; NaN for no data; scale and offset of the
        file are applied.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        from rasterio.errors import RasterioError

        aligned = self._aligned(grid, window, step)
        if aligned is not None:
            return aligned
        shape = (-(-window.height // step), -(-window.width // step))
        try:
            if same_grid(self.grid, grid):
                return self._read_own(window, shape)
            if step == 1:
                size = (int(grid.shape[0]), int(grid.shape[1]))
                return from_tiles(window, size, lambda tile: self._tile(grid, tile))
            return self._warped(window_grid(grid, window).zoom_to(shape), None)
        except RasterioError as error:
            where = f"band {self.band} at row {window.row}, column {window.col}"
            raise unreadable(self.path, where, error) from None

    def read_reduced(self, grid: GeoBox) -> Array:
        """Read a small grid for display: thinned (by overviews, if any), then warped to it.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        from rasterio.errors import RasterioError

        try:
            return self._warped(grid, None, display=True)
        except RasterioError as error:
            raise unreadable(self.path, f"band {self.band}", error) from None

    def _aligned(self, grid: GeoBox, window: Window, step: int) -> Array | None:
        """Crop a window of a grid whose pixels coincide with those of the file, else None."""
        shift = None if same_grid(self.grid, grid) else pixel_shift(self.grid, grid)
        if shift is None:
            return None
        row, col = window.row + shift[0], window.col + shift[1]
        own = Window(row, col, window.height, window.width)
        top, left = max(row, 0), max(col, 0)
        height = min(row + window.height, self.grid.shape[0]) - top
        width = min(col + window.width, self.grid.shape[1]) - left
        inside = Window(top, left, height, width)
        if inside == own:
            return self.read(self.grid, own, step)
        if step > 1:
            return None
        data = np.full((window.height, window.width), np.nan, np.float32)
        if height > 0 and width > 0:
            target = Window(top - row, left - col, height, width)
            data[target.slices] = self.read(self.grid, inside)
        return data

    def _read_own(self, window: Window, shape: tuple[int, int]) -> Array:
        """Read a window of the file's grid with NaN for no data, thinned to a shape."""
        dataset, rules = self._opened()
        rule = rules[self.band]
        stored = read_stored(dataset, self.band, window, shape)
        data = clean(stored, dataset, self.band, window, rule)
        for band in self.vector[1:]:
            part = read_stored(dataset, band, window, shape)
            np.hypot(data, clean(part, dataset, band, window, rules[band]), out=data)
        thinned = shape != (window.height, window.width)
        if self.detect_nodata and not thinned and self.layer.kind is Kind.HEIGHT:
            suspect = isolated_value(data, rule)
            if suspect is not None:
                raise self.nodata_error(suspect)
        return data

    def _tile(self, grid: GeoBox, tile: Window) -> Array:
        """Return a warped tile of a grid, from the cache if possible."""
        return self._tiles.get(
            (_key(grid), tile),
            lambda: self._warped(window_grid(grid, tile), self._scale(grid)),
            tiles_across(grid),
        )

    def _warped(self, target: GeoBox, scale: float | None, display: bool = False) -> Array:
        """Warp to a target grid.

        Parameters
        ----------
        scale
            Target pixels per source pixel, the same for all parts of a grid. None first thins
            the source to the target's pixel size, for sampling.
        display
            Thin further, and warp by the nearest affine map where that is precise enough.
        """
        shape = (int(target.shape[0]), int(target.shape[1]))
        margin = 4 if scale is None else 4 + math.ceil(2 / min(scale, 1.0))
        seam = window_across_seam(self.grid, target, margin)
        part = seam or source_window(self.grid, target, margin)
        if part is None:
            return np.full(shape, np.nan, np.float32)
        step = 1
        if scale is None and seam is None:
            finer = 1 if display else 2
            step = max(1, min(part.height // (finer * shape[0]), part.width // (finer * shape[1])))
        size = (-(-part.height // step), -(-part.width // step))
        if size[0] * size[1] > _MOST and max(shape) > 1:
            parts = [self._warped(half, scale, display) for half in halves(target)]
            return np.concatenate(parts, axis=int(shape[1] > shape[0]))
        here = moved_grid(self.grid, part).zoom_to(size)
        data = self._read_own(part, size) if seam is None else self._read_around(part)
        if (
            display
            and (quick := warp_affine(data, here, target, self.layer.resampling)) is not None
        ):
            return quick
        scale = pixel_ratio(here, target) if scale is None else scale
        return warp(data, here, target, self.layer.resampling, scale)

    def _read_around(self, window: Window) -> Array:
        """Read a window across the seam of a global file."""
        columns = np.arange(window.col, window.col + window.width) % self.grid.shape[1]
        cut = int(np.argmin(columns))  # the file's first column follows its last
        pieces = [
            Window(window.row, int(part[0]), window.height, len(part))
            for part in (columns[:cut], columns[cut:])
            if len(part)
        ]
        return np.concatenate([self._read_own(p, (p.height, p.width)) for p in pieces], axis=1)

    def _scale(self, grid: GeoBox) -> float:
        """Return pixels of a grid per pixel of the file."""
        cache: dict[Any, float] = self._local.__dict__.setdefault("scales", {})
        key = _key(grid)
        if key not in cache:
            if len(cache) >= 16:
                cache.clear()
            cache[key] = pixel_ratio(self.grid, grid)
        return cache[key]

    def _opened(self) -> tuple[Any, dict[int, Validity]]:
        """Return this thread's open file and the validity rule of each band."""
        dataset = _shared(self.path) if self.array is None else self.array
        known: tuple[Any, dict[int, Validity]] | None = self._local.__dict__.get("rules")
        if known is None or known[0] is not dataset:
            rules = {
                band: validity_of(dataset, band, self.layer, self.undeclared)
                for band in self.vector or (self.band,)
            }
            known = self._local.rules = (dataset, rules)
        return known


def _require_band(path: str, dataset: Any, band: int, layer: Layer) -> None:
    """Raise unless a band exists and its values can be those of a layer."""
    if not 1 <= band <= dataset.count:
        raise DataError(
            f"{path}: has no band {band} for layer '{layer.name}'",
            f"its bands are 1 to {dataset.count}",
        )
    if dataset.dtypes[band - 1].startswith("complex"):
        raise DataError(f"{path}: band {band} is complex", "extract its real part first")
    require_values(path, dataset, band, layer)


def _key(grid: GeoBox) -> Hashable:
    return tuple(grid.shape), tuple(grid.affine), str(grid.crs)


#: Open files of each thread.
_OPEN = threading.local()


def file_state(path: str) -> tuple[int, int, int] | None:
    """Return what changes when a file is written again; None for what is no local file."""
    file = local_file(path)
    state = file.stat() if file is not None and file.exists() else None
    return None if state is None else (state.st_size, state.st_mtime_ns, state.st_ino)


def _shared(path: str) -> Any:
    """Return this thread's open raster, shared by all bands, so that blocks are decoded once."""
    cache: WeakValueDictionary[Any, Any] = _OPEN.__dict__.setdefault("files", WeakValueDictionary())
    key = (path, file_state(path))
    dataset = cache.get(key)
    if dataset is None or dataset.closed:
        dataset = cache[key] = open_raster(path)
    return dataset
