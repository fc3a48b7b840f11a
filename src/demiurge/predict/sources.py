"""Readable sources of a prediction: scenes, files, arrays, xarray objects, custom readers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike as OsPathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import layer
from demiurge.model.bundle import Bundle
from demiurge.paths import PathLike, is_raster_folder
from demiurge.scene.bands import bands_of
from demiurge.scene.grid import Window, is_metric, local_grid, north_up, same_grid
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.scene.xarrays import scene_from_xarray

NoDataValues = Mapping[str, Sequence[float]]


@runtime_checkable
class WindowReader(Protocol):
    """A source that is read by windows.

    Attributes
    ----------
    grid
        The grid: projected in metres, square pixels, north-up.
    layers
        Names of the layers, from the vocabulary of :mod:`demiurge.layers`.
    """

    @property
    def grid(self) -> GeoBox:
        """Return the grid."""

    @property
    def layers(self) -> Sequence[str]:
        """Return the names of the layers."""

    def read(self, window: Window, layers: Sequence[str]) -> Array:
        """Read a window of some layers; called from several threads.

        Returns
        -------
        float32 (layers, window.height, window.width), NaN for no data, in the units of the layers.
        """


@dataclass(frozen=True)
class ArrayReader:
    """Reads layers from arrays.

    Attributes
    ----------
    arrays
        Array (rows, columns) of each layer: NumPy, memory-mapped, masked, or anything that is
        indexed likewise, such as a DataArray or an array of Zarr or Dask.
    grid
        Grid of all arrays.
    nodata
        Values that are no data, by layer, in addition to NaN, infinity and masks.
    """

    arrays: Mapping[str, Any]
    grid: GeoBox
    nodata: NoDataValues = field(default_factory=dict)

    @property
    def layers(self) -> Sequence[str]:
        """Return the names of the layers."""
        return tuple(self.arrays)

    def read(self, window: Window, layers: Sequence[str]) -> Array:
        """Read a window; see :class:`WindowReader`."""
        out = np.empty((len(layers), window.height, window.width), np.float32)
        for plane, name in zip(out, layers, strict=True):
            part = self.arrays[name][window.slices]
            plane[:] = np.ma.getdata(part) if np.ma.isMaskedArray(part) else np.asarray(part)
            if np.ma.isMaskedArray(part):
                plane[np.ma.getmaskarray(part)] = np.nan
            for value in self.nodata.get(name, ()):
                plane[plane == np.float32(value)] = np.nan
        return out


@dataclass(frozen=True)
class ReaderBand(Source):
    """A layer of a :class:`WindowReader` in a scene.

    Attributes
    ----------
    reader
        Reads the layer.
    token
        Distinguishes the contents of one reader from those of another.
    """

    reader: WindowReader | None = None
    token: str = ""

    @property
    def in_memory(self) -> bool:
        """Return True: no other process has the reader."""
        return True

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window; with ``step`` the nearest pixels that GDAL would read."""
        assert self.reader is not None
        plane = np.array(self.reader.read(window, [self.layer.name])[0], np.float32)
        plane[~np.isfinite(plane)] = np.nan
        if step == 1:
            return plane
        rows, columns = (
            ((np.arange(-(-n // step)) + 0.5) * n / -(-n // step)).astype(int) for n in plane.shape
        )
        return plane[np.ix_(rows, columns)]


def open_source(
    source: Any,
    bundle: Bundle,
    *,
    grid: GeoBox | None = None,
    gsd: float | None = None,
    nodata: NoDataValues | None = None,
) -> Scene:
    """Return a scene of anything readable; see :func:`demiurge.predict.run`.

    Raises
    ------
    UsageError
        If layers or the grid of the source are not known, or do not fit.
    """
    if isinstance(source, Scene):
        return source
    if isinstance(source, str | OsPathLike):
        return _scene_of_path(source, bundle, gsd, nodata)
    if isinstance(source, Mapping) and all(
        isinstance(v, str | OsPathLike) for v in source.values()
    ):
        return scene_from_files(source, name="source", local=gsd, nodata=nodata)
    if isinstance(source, WindowReader) and not _is_xarray(source):
        return scene_of(source)
    arrays = _arrays(source, bundle)
    if grid is None and gsd is None and all(map(_is_xarray, arrays.values())):
        return scene_from_xarray(arrays, name="source", nodata=nodata)
    arrays = {name: _plane(array) for name, array in arrays.items()}
    if grid is None:
        grid = next((g for g in map(_grid_of, arrays.values()) if g is not None), None)
    shape = next(iter(arrays.values())).shape
    if grid is None:
        if gsd is None:
            raise UsageError(
                "the arrays have no georeference", "give their grid, or the pixel size as gsd"
            )
        grid = local_grid((int(shape[0]), int(shape[1])), gsd)
    for name, array in arrays.items():
        own = _grid_of(array)
        if tuple(array.shape) != tuple(grid.shape) or (own and not same_grid(own, grid)):
            raise UsageError(
                f"layer '{name}' of shape {tuple(array.shape)} is not on the grid of "
                f"{grid.shape[0]} × {grid.shape[1]} pixels",
                "bring all layers to one grid",
            )
    up = north_up(grid)
    if up is not None and grid.affine.e > 0:
        grid, arrays = up, {name: array[::-1] for name, array in arrays.items()}
    values = {n: _nodata_of(a) for n, a in arrays.items()}
    for name, more in (nodata or {}).items():
        values[name] = (*values.get(name, ()), *more)
    return scene_of(ArrayReader(arrays, grid, values))


def scene_of(reader: WindowReader, name: str = "source") -> Scene:
    """Return a scene that is read through a reader.

    Raises
    ------
    UsageError
        For an unknown layer.
    DataError
        If the grid is not projected in metres, north-up and of square pixels.
    """
    grid = reader.grid
    up = north_up(grid)
    if grid.crs is None or not is_metric(grid.crs) or up is None or not same_grid(up, grid):
        raise DataError(
            f"{name}: its grid is not projected in metres, north-up and of square pixels",
            "reproject it, such as with .odc.reproject",
        )
    token = uuid.uuid4().hex
    bands: dict[str, Source] = {
        n: ReaderBand(f"<{name}>", 1, layer(n), grid, reader=reader, token=token)
        for n in reader.layers
    }
    return Scene(name=name, grid=grid, sources=bands)


def _scene_of_path(
    path: PathLike, bundle: Bundle, gsd: float | None, nodata: NoDataValues | None
) -> Scene:
    text = str(path)
    folder = Path(text).is_dir() and not is_raster_folder(text)
    if folder or text.lower().endswith((".yaml", ".yml")):
        return open_scene(path, nodata=nodata)
    required = bundle.contract.required
    if len(required) == 1:
        files = {required[0]: text}
    else:
        bands = bands_of(text, "give a mapping of layer to file, such as {'red': 'image.tif:1'}")
        files = {n: f"{bands.path}:{b}" for n, b in bands.layers.items()
                 if n in bundle.contract.names}  # fmt: skip
    return scene_from_files(files, name=Path(text).stem, local=gsd, nodata=nodata)


def _arrays(source: Any, bundle: Bundle) -> dict[str, Any]:
    """Return arrays (rows, columns) by layer."""
    if _is_xarray(source) and hasattr(source, "data_vars"):
        source = {str(n): v for n, v in source.data_vars.items() if v.ndim > 1}
    if isinstance(source, Mapping):
        arrays = {str(name): array for name, array in source.items()}
    elif hasattr(source, "shape"):
        required = bundle.contract.required
        name = getattr(source, "name", None)
        if name is None and len(required) == 1:
            name = required[0]
        if name is None:
            raise UsageError(
                f"bundle '{bundle.card.name}' needs {', '.join(required)}",
                "give a mapping of layer to array",
            )
        arrays = {str(name): source}
    else:
        raise UsageError(
            f"a source of type {type(source).__name__} cannot be read",
            "give a scene, files, arrays by layer, or an object with grid, layers and read",
        )
    if not arrays:
        raise UsageError("the source has no layers", "give at least one array by layer")
    return arrays


def _plane(array: Any) -> Any:
    """Return an array as (rows, columns)."""
    if _is_xarray(array):
        import odc.geo.xr  # noqa: F401

        dims = array.odc.spatial_dims
        array = array.squeeze([d for d, n in array.sizes.items() if n == 1 and d not in dims])
        array = array.transpose(*dims) if dims else array
    if len(array.shape) != 2:
        raise UsageError(
            f"an array of shape {tuple(array.shape)} is not (rows, columns)",
            "give a mapping of layer to array",
        )
    return array


def _grid_of(array: Any) -> GeoBox | None:
    """Return the grid of a DataArray; None for other arrays, or without CRS."""
    if not _is_xarray(array):
        return None
    grid = array.odc.geobox
    return grid if isinstance(grid, GeoBox) and grid.crs is not None else None


def _nodata_of(array: Any) -> tuple[float, ...]:
    value = array.odc.nodata if _is_xarray(array) else None
    return () if value is None else (float(value),)


def _is_xarray(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "xarray"
