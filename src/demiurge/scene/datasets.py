"""Layers of a scene, or planes of a result, as a Dataset of xarray."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import missing_extra
from demiurge.layers import Kind, layer
from demiurge.scene.grid import Window, wkt
from demiurge.scene.placement import require_rioxarray
from demiurge.scene.spec import Vertical

if TYPE_CHECKING:
    import xarray


class ReadableLayers(Protocol):
    """What of a scene a Dataset needs."""

    @property
    def name(self) -> str:
        """Return the name."""

    @property
    def grid(self) -> GeoBox:
        """Return the grid."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers."""

    @property
    def vertical(self) -> Vertical:
        """Return the vertical reference."""

    def require(self, names: Iterable[str]) -> None:
        """Raise if a layer is missing."""

    def read(self, window: Window | None = None, layers: Sequence[str] | None = None) -> Array:
        """Read a window of some layers."""


class LazyLayer:
    """A layer of a scene as an array that is read when it is indexed."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, scene: ReadableLayers, name: str) -> None:
        self.scene, self.name = scene, name

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.scene.shape

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        """Read a window, given by two slices of step 1."""
        (top, bottom, _), (left, right, _) = (
            part.indices(size) for part, size in zip(key, self.shape, strict=True)
        )
        if bottom <= top or right <= left:  # Dask asks for an empty part
            return np.empty((max(bottom - top, 0), max(right - left, 0)), np.float32)
        data: Array = self.scene.read(Window(top, left, bottom - top, right - left), [self.name])[0]
        return data


def scene_to_xarray(
    scene: ReadableLayers, layers: Sequence[str] | None, chunks: int | tuple[int, int] | None
) -> xarray.Dataset:
    """Return a scene as a Dataset; see :meth:`demiurge.scene.scene.Scene.to_xarray`."""
    names = list(scene.layers if layers is None else layers)
    scene.require(names)
    planes: dict[str, Any] = {}
    if chunks is None:
        planes = dict(zip(names, scene.read(layers=names), strict=True))
    else:
        try:
            import dask.array as da
        except ImportError:
            raise missing_extra("dask", "xarray", "to_xarray(chunks=…)") from None
        size = (chunks, chunks) if isinstance(chunks, int) else tuple(chunks)
        token = uuid.uuid4().hex
        for name in names:
            planes[name] = da.from_array(  # type: ignore[no-untyped-call]
                LazyLayer(scene, name), chunks=size, name=f"{name}-{token}", asarray=False,
                meta=np.empty((0, 0), np.float32),
            )  # fmt: skip
    attributes = {name: _attributes(scene, name) for name in names}
    return dataset_of(scene.grid, planes, attributes, {"title": scene.name})


def _attributes(scene: ReadableLayers, name: str) -> dict[str, Any]:
    kind = layer(name)
    attributes = {"units": kind.unit, "long_name": kind.about}
    if kind.kind is Kind.HEIGHT and name != "truth_height":
        attributes["vertical_reference"] = str(scene.vertical)
    return attributes


def dataset_of(
    grid: GeoBox,
    planes: Mapping[str, Any],
    attributes: Mapping[str, Mapping[str, Any]],
    tags: Mapping[str, Any],
) -> xarray.Dataset:
    """Return planes on one grid as a Dataset that rioxarray writes and reads.

    Parameters
    ----------
    grid
        North-up.
    planes
        float32 (rows, columns) by name, NaN for no data; NumPy or Dask.
    attributes
        Attributes of each variable.
    tags
        Attributes of the Dataset.

    Raises
    ------
    ResourceError
        If xarray or rioxarray is not installed.
    """
    require_rioxarray()
    import xarray

    a = grid.affine
    rows, columns = (int(n) for n in grid.shape)
    coordinates = {
        "y": a.f + a.e * (np.arange(rows) + 0.5),
        "x": a.c + a.a * (np.arange(columns) + 0.5),
    }
    variables = {n: (("y", "x"), plane, dict(attributes[n])) for n, plane in planes.items()}
    dataset = xarray.Dataset(variables, coordinates, dict(tags))
    dataset = dataset.rio.write_crs(wkt(grid)).rio.write_transform(a)
    for name in variables:
        dataset[name].rio.write_nodata(np.nan, encoded=True, inplace=True)
    placed: xarray.Dataset = dataset.rio.write_coordinate_system()
    return placed
