"""Tiles of layers: a factory of TiTiler over the reader of demiurge."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Annotated, Any, Self

import numpy as np
from affine import Affine
from attrs import define
from fastapi import HTTPException, Query, Request
from morecantile import TileMatrixSet, tms
from morecantile.defaults import TileMatrixSets
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rio_tiler.models import ImageData
from titiler.core.algorithm.base import BaseAlgorithm
from titiler.core.dependencies import DefaultDependency
from titiler.core.factory import TilerFactory

from demiurge.arrays import Array
from demiurge.errors import DemiurgeError
from demiurge.scene.warp import Tiles
from demiurge.viewer.catalogue import Catalogue
from demiurge.viewer.layers import ViewLayer
from demiurge.viewer.styles import (
    BUFFER,
    Contoured,
    Finite,
    Hillshaded,
    Ramp,
    Ramped,
    Sloped,
    Style,
    TerrainRgb,
    contour_interval,
)

#: Half the circumference of the Earth in Web Mercator, and pixels of a tile.
_HALF = math.pi * 6378137
SIZE = 256
#: Deepest zoom level: pixels of 2 mm at the equator.
DEEPEST = 26
#: Number of kept tiles of pixels, of 0.3 MB for each band.
_KEPT = 128
_MERCATOR = CRS.from_epsg(3857)
#: Known parameters of a tile
_QUERY = {
    "layer", "style", "ramp", "low", "high", "shade", "azimuth", "elevation", "interval", "v",
    "token",
}  # fmt: skip


def tile_grid(z: int, x: int, y: int, buffer: int = 0) -> GeoBox:
    """Return the grid of a Web Mercator tile with pixels around it."""
    size = 2 * _HALF / 2**z / SIZE
    left, top = -_HALF + (x * SIZE - buffer) * size, _HALF - (y * SIZE - buffer) * size
    side = SIZE + 2 * buffer
    return GeoBox((side, side), Affine(size, 0, left, 0, -size, top), "EPSG:3857")


def tile_gsd(z: int, y: int) -> float:
    """Return the ground size in metres of a pixel at the centre of a tile."""
    size = 2 * _HALF / 2**z / SIZE
    northing = _HALF - (y + 0.5) * SIZE * size
    return float(size / math.cosh(northing / 6378137))


def png(image: ImageData, **_options: Any) -> tuple[bytes, str]:
    """Return an image of three bands and its mask as PNG, and the media type.

    The encoder of rio-tiler changes the filter of warnings, which is not safe in several threads.
    """
    pixels = np.concatenate([image.data, image.mask[None]]).astype(np.uint8)
    bands, rows, columns = pixels.shape
    lines = np.zeros((rows, 1 + columns * bands), np.uint8)
    lines[:, 1:] = np.moveaxis(pixels, 0, -1).reshape(rows, -1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts), "image/png"


class LayerReader:
    """Reader of a layer's tiles, in the form that TiTiler calls.

    Parameters
    ----------
    kept
        Pixels of the tiles read last, of all layers: the page asks for each in several styles.
    """

    def __init__(self, src_path: ViewLayer, kept: Tiles, **_options: Any) -> None:
        self.layer, self._kept = src_path, kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Files stay open for the next tile."""

    def tile(
        self, tile_x: int, tile_y: int, tile_z: int, tilesize: int | None = None, **_options: Any
    ) -> ImageData:
        """Read a tile with a buffer of ``BUFFER`` pixels, masked where there is no data.

        Raises
        ------
        HTTPException
            For tiles that do not exist, and other sizes than 256.
        """
        if tilesize not in (None, SIZE):
            raise HTTPException(400, f"tiles have {SIZE} pixels")
        if not 0 <= tile_z <= DEEPEST or not all(0 <= n < 2**tile_z for n in (tile_x, tile_y)):
            raise HTTPException(404, "there is no such tile")
        try:
            data = self._read(tile_z, tile_x, tile_y)
        except DemiurgeError as error:
            raise HTTPException(422, str(error)) from None
        return ImageData(np.ma.masked_invalid(data), crs=_MERCATOR)

    def _read(self, z: int, x: int, y: int) -> Array:
        grid = tile_grid(z, x, y, BUFFER)
        if self.layer.growing:
            return self.layer.read(grid)
        key = (self.layer.key, self.layer.state, z, x, y)
        return self._kept.get(key, lambda: self.layer.read(grid))


@define(kw_only=True)
class LayerTiles(TilerFactory):
    """The tile endpoint of TiTiler, and no other."""

    def register_routes(self) -> None:
        """Register ``/tiles/{tileMatrixSetId}/{z}/{x}/{y}``."""
        self.tile()  # type: ignore[no-untyped-call]


class _Mercator(TileMatrixSets):
    """Web Mercator alone, given out without the copy that takes longer than drawing a tile."""

    def get(self, identifier: str) -> TileMatrixSet:
        """Return the tile matrix set."""
        known: TileMatrixSet = self.tilematrixsets[identifier]
        return known


def factory(catalogue: Catalogue) -> TilerFactory:
    """Return the tile endpoint of a catalogue."""
    return LayerTiles(
        reader=partial(LayerReader, kept=Tiles(_KEPT)),  # type: ignore[arg-type]
        path_dependency=_layer_of(catalogue),
        layer_dependency=DefaultDependency,
        dataset_dependency=DefaultDependency,
        tile_dependency=DefaultDependency,
        process_dependency=_style_of(catalogue),
        colormap_dependency=lambda: None,
        render_dependency=DefaultDependency,
        render_func=png,
        supported_tms=_Mercator({"WebMercatorQuad": tms.get("WebMercatorQuad")}),
    )


def _layer_of(catalogue: Catalogue) -> Callable[..., ViewLayer]:
    def find(request: Request, layer: Annotated[str, Query(max_length=16)]) -> ViewLayer:
        """Return the layer that a short name means; refuse anything that is not a style."""
        if unknown := set(request.query_params) - _QUERY:
            raise HTTPException(400, f"unknown parameter {sorted(unknown)[0][:20]!r}")
        if request.path_params.get("format") not in (None, "png"):
            raise HTTPException(400, "tiles are PNG")
        try:
            return catalogue.find(layer)
        except DemiurgeError as error:
            raise HTTPException(404, str(error)) from None

    return find


def _style_of(catalogue: Catalogue) -> Callable[..., BaseAlgorithm]:
    def choose(
        request: Request,
        layer: Annotated[str, Query(max_length=16)],
        style: Style = "ramp",
        ramp: Ramp = "viridis",
        low: Finite = None,
        high: Finite = None,
        shade: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)] = 0,
        azimuth: Annotated[float, Query(ge=0, le=360, allow_inf_nan=False)] = 315,
        elevation: Annotated[float, Query(ge=0, le=90, allow_inf_nan=False)] = 45,
        interval: Annotated[float | None, Query(ge=0.001, le=1e4, allow_inf_nan=False)] = None,
    ) -> BaseAlgorithm:
        """Return the algorithm of a style for this tile."""
        try:
            one = catalogue.find(layer)
        except DemiurgeError as error:
            raise HTTPException(404, str(error)) from None
        z, y = (int(request.path_params[name]) for name in ("z", "y"))
        gsd = tile_gsd(min(max(z, 0), DEEPEST), y)
        if style == "ramp":
            return Ramped(
                low=one.low if low is None else low, high=one.high if high is None else high,
                ramp=ramp, gsd=gsd, shade=shade if one.show == "height" else 0,
                azimuth=azimuth, elevation=elevation,
            )  # fmt: skip
        if len(one.sources) == 3 or one.show == "class":
            raise HTTPException(400, f"{style} is a style of heights")
        if style == "terrain":
            return TerrainRgb(base=one.low)
        if style == "hillshade":
            return Hillshaded(gsd=gsd, azimuth=azimuth, elevation=elevation)
        if style == "slope":
            return Sloped(gsd=gsd)
        return Contoured(interval=interval or contour_interval(gsd, one.high - one.low))

    return choose
