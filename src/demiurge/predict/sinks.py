"""Writable sinks of a prediction: arrays, Zarr stores, custom writers."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import psutil
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import ResourceError, UsageError
from demiurge.predict.surface import BandInfo
from demiurge.scene.grid import Window, wkt

#: Side of a chunk of a Zarr store, and rows of a strip that is written at once.
CHUNK = 512
#: Suffix of a Zarr store.
ZARR = ".zarr"


@runtime_checkable
class WindowWriter(Protocol):
    """A sink that is written by windows."""

    def write(self, window: Window, values: Array) -> None:
        """Write a window, full-width rows from north to south.

        Parameters
        ----------
        values
            float32 (bands, window.height, window.width), NaN for no data.
        """


class ArrayWriter:
    """Writes into an array: NumPy, memory-mapped, or anything that is assigned to likewise."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def require_shape(self, shape: tuple[int, int, int]) -> None:
        """Raise UsageError unless the array is (bands, rows, columns), or one band's plane."""
        own = tuple(self.array.shape)
        if shape not in (own, (1, *own)):
            raise UsageError(
                f"the array has the shape {own}, the result {shape}",
                "give an array of (bands, rows, columns)",
            )

    def write(self, window: Window, values: Array) -> None:
        """Write a window; see :class:`WindowWriter`."""
        rows, columns = window.slices
        if len(self.array.shape) == 2:
            self.array[rows, columns] = values[0]
        else:
            self.array[:, rows, columns] = values


class MemoryWriter(ArrayWriter):
    """Writes into a new array in memory, once its shape is known."""

    def __init__(self) -> None:
        super().__init__(None)

    def require_shape(self, shape: tuple[int, int, int]) -> None:
        """Allocate the array.

        Raises
        ------
        ResourceError
            If there is too little memory.
        """
        size = 4 * math.prod(shape)
        free = psutil.virtual_memory().available
        if size > free:
            raise ResourceError(
                f"the result of {size / 2**30:.1f} GiB exceeds the free memory of "
                f"{free / 2**30:.1f} GiB",
                "give a path to write it to",
            )
        self.array = np.empty(shape, np.float32)


class ZarrWriter:
    """Writes a Zarr store (format 2): an array (y, x) for each band, and its coordinates.

    xarray, zarr and GDAL read it. The CRS follows the CF conventions, in ``spatial_ref``.
    """

    def __init__(
        self, folder: Path, grid: GeoBox, bands: list[BandInfo], tags: Mapping[str, str]
    ) -> None:
        folder.mkdir()
        self.folder, self.bands = folder, bands
        rows, columns = (int(n) for n in grid.shape)
        self.chunk = min(CHUNK, rows), min(CHUNK, columns)
        transform, crs = grid.affine, wkt(grid)
        _write_json(folder / ".zgroup", {"zarr_format": 2})
        _write_json(folder / ".zattrs", dict(tags))
        georeference = {
            "crs_wkt": crs,
            "spatial_ref": crs,
            "GeoTransform": " ".join(f"{v:.17g}" for v in transform.to_gdal()),
        }
        self._add("spatial_ref", np.zeros((), "<i4"), [], georeference)
        y = transform.f + transform.e * (np.arange(rows) + 0.5)
        x = transform.c + transform.a * (np.arange(columns) + 0.5)
        self._add("y", y, ["y"], {"standard_name": "projection_y_coordinate", "units": "m"})
        self._add("x", x, ["x"], {"standard_name": "projection_x_coordinate", "units": "m"})
        for band in bands:
            self._describe(
                band.name,
                (rows, columns),
                self.chunk,
                "<f4",
                ["y", "x"],
                {
                    "long_name": band.about,
                    "units": band.unit,
                    "grid_mapping": "spatial_ref",
                    "_CRS": {"wkt": crs},
                },
            )

    def write(self, window: Window, values: Array) -> None:
        """Write full-width rows; all strips but the last have ``CHUNK`` rows."""
        side = self.chunk[1]
        for band, plane in zip(self.bands, values, strict=True):
            for column in range(0, plane.shape[1], side):
                part = plane[:, column : column + side]
                chunk = part
                if part.shape != self.chunk:  # at the edges of the array
                    chunk = np.full(self.chunk, np.nan, np.float32)
                    chunk[: part.shape[0], : part.shape[1]] = part
                name = f"{window.row // CHUNK}.{column // side}"
                (self.folder / band.name / name).write_bytes(_compressed(chunk))

    def _add(self, name: str, values: Any, dims: list[str], attributes: dict[str, Any]) -> None:
        self._describe(name, values.shape, values.shape, values.dtype.str, dims, attributes)
        key = ".".join("0" for _ in values.shape) or "0"
        (self.folder / name / key).write_bytes(_compressed(values))

    def _describe(
        self,
        name: str,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: str,
        dims: list[str],
        attributes: dict[str, Any],
    ) -> None:
        (self.folder / name).mkdir()
        description = {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": dtype,
            "compressor": {"id": "zlib", "level": 1},
            "fill_value": "NaN" if dtype == "<f4" else None,
            "order": "C",
            "filters": None,
        }
        _write_json(self.folder / name / ".zarray", description)
        _write_json(self.folder / name / ".zattrs", {"_ARRAY_DIMENSIONS": dims, **attributes})


def _compressed(values: Array) -> bytes:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return zlib.compress(little.tobytes(), 1)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def writer_of(sink: Any) -> WindowWriter:
    """Return a writer for an array, or the writer itself.

    Raises
    ------
    UsageError
        If the sink is neither.
    """
    if isinstance(sink, WindowWriter):
        return sink
    if hasattr(sink, "shape") and hasattr(sink, "__setitem__"):
        return ArrayWriter(sink)
    raise UsageError(
        f"a sink of type {type(sink).__name__} cannot be written",
        "give a path, an array, or an object with write(window, values)",
    )
