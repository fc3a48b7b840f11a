"""Arrays of xarray as rasters, with the interface of open raster files.

The one reader reads them as it reads files, so that all checks of files act on arrays: bands,
units, CRSs, declared and undeclared no data.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import numbered, recognise
from demiurge.paths import Labelled, PathLike, RasterLike
from demiurge.scene.files import ARRAY, name_array
from demiurge.scene.grid import Window
from demiurge.scene.placement import (
    crs_of,
    require_rioxarray,
    rows_and_columns,
    transform_of,
)
from demiurge.scene.warp import Tiles

#: Bytes of computed chunks that are kept for each plane of a Dask array.
_KEPT = 2**27
#: Attributes that describe pixels or the grid rather than the origin of a raster.
_NO_TAGS = (
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "long_name",
    "grid_mapping",
)


class ArrayPath(str):
    """The name under which an array is opened like a file, as long as this object exists."""

    raster: ArrayRaster

    def __new__(cls, raster: ArrayRaster, name: str) -> ArrayPath:
        """Name a raster."""
        path = super().__new__(cls, name_array(name, raster))
        path.raster = raster
        return path


@dataclass(frozen=True)
class Plane:
    """One band: an array (rows, columns) and what its attributes say about it.

    Attributes
    ----------
    data
        DataArray; backed by NumPy, Dask, or a file that is read lazily.
    name
        Name or description, by which its layer is recognised; may be empty.
    """

    data: Any
    name: str
    unit: str
    nodata: float | None
    scale: float
    offset: float
    _chunks: Tiles | None = None

    @classmethod
    def of(cls, data: Any, name: str, unit: str, where: str) -> Plane:
        """Describe a DataArray (rows, columns) from its attributes."""
        if data.dtype.kind not in "buifc":
            raise DataError(f"{where}: has values of type {data.dtype}", "give numbers")
        scale, offset = (_number(data.attrs.get(k, v), k, where) for k, v in
                         (("scale_factor", 1.0), ("add_offset", 0.0)))  # fmt: skip
        chunks = None
        if data.chunks is not None:
            largest = math.prod(max(sizes) for sizes in data.chunks) * 4
            chunks = Tiles(max(4, _KEPT // max(largest, 1)))
        return cls(data, name, unit, _nodata(data, where), scale, offset, chunks)

    def read(self, window: Window, shape: tuple[int, int]) -> Array:
        """Read a window as float32; a smaller shape thins it to the pixels that GDAL reads."""
        if shape == (window.height, window.width):
            part = self._window(window)
        else:
            part = self._thinned(window, shape)
        with np.errstate(over="ignore"):  # huge values become infinite: no data
            return np.array(part, np.float32)

    def _thinned(self, window: Window, shape: tuple[int, int]) -> Any:
        rows, columns = (
            start + ((np.arange(few) + 0.5) * many / few).astype(int)
            for start, many, few in zip(window[:2], window[2:], shape, strict=True)
        )
        if self._chunks is None and isinstance(self.data.data, np.ndarray):
            return self.data.data[np.ix_(rows, columns)]
        return self.data[rows, columns].values

    def _window(self, window: Window) -> Any:
        if self._chunks is None:
            return self.data[window.slices].values
        data = np.empty((window.height, window.width), np.float32)
        for row, top, height in _spans(self.data.chunks[0], window.row, window.height):
            for column, left, width in _spans(self.data.chunks[1], window.col, window.width):
                chunk = self._chunk(row, column)
                there = Window(max(window.row - top, 0), max(window.col - left, 0), height, width)
                here = Window(max(top - window.row, 0), max(left - window.col, 0), height, width)
                data[here.slices] = chunk[there.slices]
        return data

    def _chunk(self, row: int, column: int) -> Array:
        """Return a chunk of a Dask array, computed once while windows overlap it."""
        assert self._chunks is not None

        def compute() -> Array:
            with np.errstate(over="ignore"):
                return np.asarray(self.data.data.blocks[row, column].compute(), np.float32)

        return self._chunks.get((row, column), compute)


def _spans(sizes: Sequence[int], first: int, count: int) -> list[tuple[int, int, int]]:
    """Return index, start and overlapping length of the chunks that a range touches."""
    spans, start = [], 0
    for index, size in enumerate(sizes):
        shared = min(start + size, first + count) - max(start, first)
        if shared > 0:
            spans.append((index, start, shared))
        start += size
    return spans


@dataclass(frozen=True, eq=False)
class ArrayRaster:
    """Planes on one grid, with the interface of an open dataset of rasterio.

    Attributes
    ----------
    crs, transform
        As of rasterio; no CRS and the identity if nothing defines them.
    attributes
        Attributes of the array or Dataset.
    token
        Distinguishes its content from that of other arrays.
    """

    planes: tuple[Plane, ...]
    crs: Any
    transform: Any
    attributes: dict[str, Any] = field(default_factory=dict)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    driver: str = ARRAY
    closed: bool = False
    rpcs: None = None
    gcps: tuple[list[Any], None] = field(default_factory=lambda: ([], None))
    subdatasets: tuple[str, ...] = ()

    def __enter__(self) -> ArrayRaster:
        """Return itself; there is nothing to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the arrays as they are."""

    @property
    def count(self) -> int:
        """Return the number of bands."""
        return len(self.planes)

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        rows, columns = self.planes[0].data.shape
        return int(rows), int(columns)

    @property
    def lazy(self) -> bool:
        """Return whether values are computed or read from files when a window is read."""
        return not all(isinstance(plane.data.variable._data, np.ndarray) for plane in self.planes)

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.shape[1]

    @property
    def bounds(self) -> Any:
        """Return the bounds of the outer pixel edges."""
        from rasterio.coords import BoundingBox
        from rasterio.transform import array_bounds

        return BoundingBox(*array_bounds(*self.shape, self.transform))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return the type of the values of each band; those of booleans are bytes."""
        names = (str(plane.data.dtype) for plane in self.planes)
        return tuple("uint8" if name == "bool" else name for name in names)

    @property
    def descriptions(self) -> tuple[str, ...]:
        """Return the name of each band."""
        return tuple(plane.name for plane in self.planes)

    @property
    def units(self) -> tuple[str, ...]:
        """Return the unit of each band."""
        return tuple(plane.unit for plane in self.planes)

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """Return the declared no-data value of each band."""
        return tuple(plane.nodata for plane in self.planes)

    @property
    def scales(self) -> tuple[float, ...]:
        """Return the scale of each band."""
        return tuple(plane.scale for plane in self.planes)

    @property
    def offsets(self) -> tuple[float, ...]:
        """Return the offset of each band."""
        return tuple(plane.offset for plane in self.planes)

    @property
    def vertical_references(self) -> tuple[str, ...]:
        """Return the attribute of each band that states the vertical reference; may be empty."""
        planes = (plane.data.attrs for plane in self.planes)
        return tuple(str(attrs.get("vertical_reference", "")) for attrs in planes)

    @property
    def colorinterp(self) -> tuple[Any, ...]:
        """Return the colour of each band, which arrays do not declare."""
        from rasterio.enums import ColorInterp

        return (ColorInterp.undefined,) * self.count

    @property
    def mask_flag_enums(self) -> tuple[list[Any], ...]:
        """Return the masks of each band: arrays have none."""
        return tuple([] for _ in self.planes)

    def tags(self, bidx: int = 0, ns: str | None = None) -> dict[str, str]:
        """Return the attributes as text; those of a band or namespace are empty."""
        if bidx or ns:
            return {}
        tags = {k: str(v) for k, v in self.attributes.items() if k not in _NO_TAGS}
        units = {*self.units}
        return {**tags, "units": "relative"} if units == {"relative"} else tags

    def read(
        self,
        band: int,
        window: Any = None,
        out_shape: tuple[int, int] | None = None,
        out_dtype: str = "float32",
    ) -> Array:
        """Read a window of a band as float32."""
        assert out_dtype == "float32"
        part = Window(0, 0, *self.shape)
        if window is not None:
            part = Window(window.row_off, window.col_off, window.height, window.width)
        return self.planes[band - 1].read(part, out_shape or (part.height, part.width))


def as_path(value: RasterLike, name: str = "array") -> PathLike:
    """Return a path unchanged, and the name of a raster for an object of xarray.

    The raster is open while the returned object, or a source that reads it, exists.

    Parameters
    ----------
    value
        A path, or a DataArray (rows, columns) or (bands, rows, columns), or a Dataset of such
        variables, each a band.
    name
        Name in messages, if the array has none.

    Raises
    ------
    ResourceError
        If rioxarray is not installed.
    UsageError, DataError
        If dimensions, coordinates or CRS cannot be used.
    """
    if not isinstance(value, Labelled):
        return value
    require_rioxarray()
    given: Any = value
    if hasattr(given, "data_vars"):
        return ArrayPath(_of_dataset(given, name), name)
    name = str(given.name or name)
    return ArrayPath(_of_array(given, name), name)


def spatial_variables(dataset: Any) -> dict[str, Any]:
    """Return the variables of a Dataset that have rows and columns, by name."""
    return {str(n): v for n, v in dataset.data_vars.items() if v.ndim > 1}


def _of_dataset(dataset: Any, name: str) -> ArrayRaster:
    variables = spatial_variables(dataset)
    if not variables:
        raise UsageError(f"{name}: the Dataset has no variable of rows and columns", "add one")
    rasters = {n: _of_array(v, n) for n, v in variables.items()}
    first, *others = rasters.items()
    for n, raster in others:
        same = raster.shape == first[1].shape and raster.crs == first[1].crs
        if not same or not raster.transform.almost_equals(first[1].transform, 1e-6):
            raise UsageError(
                f"{name}: its variables '{first[0]}' and '{n}' are on different grids",
                "give each as a DataArray",
            )
    planes = tuple(plane for raster in rasters.values() for plane in raster.planes)
    return ArrayRaster(planes, first[1].crs, first[1].transform, dict(dataset.attrs))


def _of_array(array: Any, name: str) -> ArrayRaster:
    where = f"<{name}>"
    rows, columns = rows_and_columns(array, where)
    crs = crs_of(array, where)
    transform = transform_of(array, rows, columns, where)
    bands = [d for d in array.dims if d not in (rows, columns) and array.sizes[d] > 1]
    _require_bands(array, bands, where)
    flat = array.squeeze([d for d in array.dims if d not in (rows, columns, *bands)], drop=False)
    parts = [flat] if not bands else [flat.isel({bands[0]: i}) for i in range(flat.sizes[bands[0]])]
    planes = tuple(
        Plane.of(part.transpose(rows, columns), text, unit, where)
        for part, text, unit in zip(
            parts, _texts(array, bands, len(parts)), _units(array, len(parts)), strict=True
        )
    )
    return ArrayRaster(planes, crs, transform, dict(array.attrs))


def _require_bands(array: Any, bands: Sequence[Hashable], where: str) -> None:
    """Raise if dimensions other than rows, columns and bands have several values."""
    for dim in bands:
        kind = array[dim].dtype.kind if dim in array.coords else ""
        if len(bands) > 1 or kind in "mM" or str(dim).lower() in ("time", "t"):
            raise UsageError(
                f"{where}: has {array.sizes[dim]} values of '{dim}'",
                f"select one with .isel({dim}=0), or reduce them with .median('{dim}')",
            )


def _texts(array: Any, bands: Sequence[Hashable], count: int) -> list[str]:
    """Return the name of each band: the one of its names that is a layer, else the first."""
    own = str(array.name or "") if count == 1 else ""
    long = array.attrs.get("long_name", "")
    long = list(map(str, long)) if isinstance(long, tuple | list) else [str(long)]
    long = long if len(long) == count else [""] * count
    values = [""] * count
    if bands and bands[0] in array.coords and array[bands[0]].dtype.kind in "UO":
        values = [str(value) for value in array[bands[0]].values]
    return [_best(own, value, text) for value, text in zip(values, long, strict=True)]


def _best(*names: str) -> str:
    known = (name for name in names if recognise(name) or numbered(name))
    return next(known, None) or next((name for name in names if name), "")


def _units(array: Any, count: int) -> list[str]:
    units = array.attrs.get("units", "")
    if isinstance(units, tuple | list):
        return [str(u) for u in units] if len(units) == count else [""] * count
    return [str(units)] * count


def _nodata(array: Any, where: str) -> float | None:
    """Return the stored value that an array declares as no data; that of decoded ones is NaN."""
    try:
        value = array.rio.nodata
    except (TypeError, ValueError):
        value = array.attrs.get("_FillValue")
    return None if value is None else _number(value, "no-data value", where)


def _number(value: Any, key: str, where: str) -> float:
    try:
        return float(np.asarray(value, np.float64).reshape(()))
    except (TypeError, ValueError):
        raise DataError(f"{where}: its {key} is {value!r}, not a number", "correct it") from None
