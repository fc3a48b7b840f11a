"""Raw images with a camera model, orthorectified on the initial DSM when they are read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import PANCHROMATIC, layer
from demiurge.paths import split_band
from demiurge.raster.registration import translation
from demiurge.raster.resample import block_means
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import Camera, Direction, to_geographic
from demiurge.scene.files import open_raster
from demiurge.scene.grid import Window, full_window, grown, same_grid
from demiurge.scene.ortho import Ortho
from demiurge.scene.rpc import make_rpc
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical
from demiurge.scene.warp import from_tiles

#: Margin in pixels that is read around a tile of the DSM to fill its voids.
_MARGIN = 128
#: Side in pixels of the sample of the DSM, and of the windows in which orthoimages are compared.
_SAMPLE = 512
#: Tolerance of the height range of the polynomials, as a share of the range.
_SLACK = 0.5
#: Largest offset in pixels between two orthoimages without a note.
_MAX_OFFSET = 0.5


def camera_of(path: str) -> Camera | None:
    """Return the camera of a raster with RPCs and without a grid; None for other rasters.

    Raises
    ------
    ResourceError, DataError
        If the raster cannot be opened, or its RPCs are incomplete or invalid.
    """
    with open_raster(path) as dataset:
        if dataset.crs is not None or dataset.gcps[0] or dataset.rpcs is None:
            return None
        rpc = dataset.rpcs
    names = ("line", "samp")
    values = {f"{n}_{part}_coeff": getattr(rpc, f"{n}_{part}_coeff") for n in names
              for part in ("num", "den")}  # fmt: skip
    for name in (*names, "lat", "long", "height"):
        for part in ("off", "scale"):
            values[f"{name}_{part}"] = getattr(rpc, f"{name}_{part}")
    return Camera(make_rpc(values, path))


def file_sources(
    files: Mapping[str, str | os.PathLike[str]],
    local: float | None,
    nodata: Mapping[str, Sequence[float]],
) -> tuple[dict[str, Source], dict[str, tuple[Source, Camera]]]:
    """Open files as layers; raw images are returned separately, with their cameras.

    Parameters
    ----------
    files
        Layer name to file.
    local
        Pixel size in metres of files without georeference; None raises an error.
    nodata
        Stored no-data values by layer, in addition to the declared ones.
    """
    sources: dict[str, Source] = {}
    raws: dict[str, tuple[Source, Camera]] = {}
    for name, file in files.items():
        path, band = split_band(str(file))
        camera = camera_of(path) if name in PANCHROMATIC and "dsm" in files else None
        frame = local if camera is None else 1.0  # the frame of a raw image is its pixels
        source = Source.open(path, layer(name), band, local=frame, nodata=nodata.get(name))
        if camera is None:
            sources[name] = source
        else:
            raws[name] = source, camera
    return sources, raws


@dataclass(frozen=True)
class RawSource(Source):
    """A raw image that is read as an orthoimage on the grid of a DSM.

    Attributes
    ----------
    image
        The raw image in its own pixels.
    dsm
        The surface; its heights are ellipsoidal.
    ortho
        Camera and line of sight.
    level
        Height in metres of tiles without measured pixels in and around them.
    """

    image: Source = field(kw_only=True)
    dsm: Source = field(kw_only=True)
    ortho: Ortho = field(kw_only=True)
    level: float = field(kw_only=True)

    @property
    def view(self) -> Direction:
        """Return the direction to the sensor at the centre of the grid."""
        return self.ortho.camera.direction(self.grid, self.level)

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of the orthoimage; see :meth:`Source.read`.

        Raises
        ------
        DataError
            If the grid is not the scene's, or a file is damaged.
        """
        if not same_grid(grid, self.grid):
            raise DataError(
                f"{self.path}: is a raw image, which can only be read on the grid of its DSM",
                "prepare a scene with it first",
            )
        data = self.ortho.read(window, self._raw, self._heights)
        return np.ascontiguousarray(data[::step, ::step])

    def _raw(self, window: Window, step: int) -> Array:
        """Read a window of the raw image as means of ``step`` × ``step`` pixels."""
        data = self.image.read(self.image.grid, window)
        return data if step == 1 else block_means(data, step)

    def _heights(self, window: Window) -> Array:
        """Read a window of the DSM with its voids filled."""
        shape = int(self.grid.shape[0]), int(self.grid.shape[1])

        def filled(tile: Window) -> Array:
            return self._tiles.get(("heights", tile), partial(self._filled, tile, shape))

        return from_tiles(window, shape, filled)

    def _filled(self, tile: Window, shape: tuple[int, int]) -> Array:
        """Read a tile of the DSM and fill its voids.

        Tiles are fixed, so that an orthoimage does not depend on the window.
        """
        wide = grown(tile, _MARGIN, shape)
        heights = self.dsm.read(self.grid, wide)
        measured = np.isfinite(heights)
        if not measured.any():
            return np.full((tile.height, tile.width), self.level, np.float32)
        row, col = tile.row - wide.row, tile.col - wide.col
        filled = fill_voids(heights, measured)
        return filled[row : row + tile.height, col : col + tile.width]


def orthorectified(
    raws: Mapping[str, tuple[Source, Camera]], dsm: Source, grid: GeoBox, vertical: Vertical
) -> tuple[dict[str, RawSource], list[str]]:
    """Orthorectify raw images on a DSM.

    Parameters
    ----------
    raws
        By layer, the raw image in its pixels and its camera.
    dsm
        The initial DSM.
    grid
        The scene's grid.
    vertical
        Vertical reference of the DSM.

    Returns
    -------
    The sources by layer, and notes for the user.

    Raises
    ------
    DataError
        If the heights are orthometric, or an image does not cover the DSM.
    """
    if vertical.reference == "orthometric":
        raise DataError(
            f"{dsm.path}: its heights are {vertical}, but the orthorectification of raw images "
            "needs ellipsoidal heights",
            "give a DSM with ellipsoidal heights, or orthorectify the images first",
        )
    step = max(1, math.ceil(max(grid.shape) / _SAMPLE))
    sample = dsm.read(grid, full_window(grid), step)
    known = sample[np.isfinite(sample)]
    if not known.size:
        raise DataError(f"{dsm.path}: contains no heights", "choose another DSM")
    level, highest = float(np.median(known)), float(known.max())
    orthos = {}
    for name, (image, camera) in raws.items():
        _require_view(image, camera, grid, level)
        shape = int(image.grid.shape[0]), int(image.grid.shape[1])
        ortho = Ortho.plan(camera, shape, grid, (level, highest))
        kept = {f.name: getattr(image, f.name) for f in fields(Source) if f.init}
        orthos[name] = RawSource(
            **{**kept, "grid": grid}, image=image, dsm=dsm, ortho=ortho, level=level
        )
    return orthos, [*_view_notes(orthos, vertical), *_offset_notes(orthos, grid)]


def _require_view(image: Source, camera: Camera, grid: GeoBox, level: float) -> None:
    """Raise unless the camera sees a part of the grid within its height range."""
    low, high = camera.height_range
    slack = _SLACK * (high - low)
    if not low - slack <= level <= high + slack:
        raise DataError(
            f"{image.path}: its RPCs are valid for heights of {low:g} to {high:g} m, but the DSM "
            f"is at {level:.4g} m",
            "check that heights are metres above the ellipsoid, and that image and DSM show the "
            "same place",
        )
    rows, cols = np.meshgrid(*(np.linspace(0, n, 9) for n in grid.shape), indexing="ij")
    a = grid.affine
    lon, lat = to_geographic(grid, a.a * cols + a.c, a.e * rows + a.f)
    down, right = camera.image_of(lon, lat, np.full(lon.shape, level))
    height, width = image.grid.shape
    seen = (down >= 0) & (down <= height) & (right >= 0) & (right <= width)
    if not seen.any():
        raise DataError(
            f"{image.path}: does not cover the DSM",
            "check that its RPCs belong to it, and that image and DSM show the same place",
        )


def _view_notes(orthos: Mapping[str, RawSource], vertical: Vertical) -> list[str]:
    """Return notes on the viewing directions and on the assumed vertical reference."""
    views = ", ".join(f"{n} {s.view.elevation:.0f}° above the horizon" for n, s in orthos.items())
    notes = [f"raw images are orthorectified on the DSM (sensors: {views})"]
    if vertical.reference == "unknown":
        notes.append(
            "heights of the DSM are assumed to be ellipsoidal: its CRS has no vertical reference"
        )
    return notes


def _offset_notes(orthos: Mapping[str, RawSource], grid: GeoBox) -> list[str]:
    """Return a note on the offset of two orthoimages, caused by pointing and height errors."""
    if len(orthos) != 2:
        return []
    rows, cols = int(grid.shape[0]), int(grid.shape[1])
    height, width = min(rows, _SAMPLE), min(cols, _SAMPLE)
    window = Window((rows - height) // 2, (cols - width) // 2, height, width)
    left, right = (source.read(grid, window) for source in orthos.values())
    shift = translation(left, right)
    if shift is None:
        return ["the two orthoimages cannot be compared: they overlap too little"]
    offset = math.hypot(shift.row, shift.col)
    if offset <= _MAX_OFFSET:
        return []
    return [
        f"the two orthoimages are offset by {offset:.1f} px ({shift.row:+.1f} rows, "
        f"{shift.col:+.1f} columns): the RPCs are not bundle-adjusted, or the heights are not "
        "ellipsoidal"
    ]
