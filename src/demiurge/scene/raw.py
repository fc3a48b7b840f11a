"""Raw images with a camera model, orthorectified on the initial DSM as they are read."""

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
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import Camera, to_geographic
from demiurge.scene.files import open_raster
from demiurge.scene.grid import Window, blocks, grown, same_grid
from demiurge.scene.ortho import Ortho
from demiurge.scene.rpc import make_rpc
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical

#: Side in pixels of the pieces in which the voids of the DSM are filled, and what is read around
#: each: the same pieces for every window, so that an orthoimage does not depend on the window.
_PIECE, _AROUND = 256, 128
_LOOK = 512
#: Heights may lie outside the range of the polynomials by so much of it.
_SLACK = 0.5
#: Pixels by which two orthoimages may lie apart without a word.
_APART = 0.5


def camera_of(path: str) -> Camera | None:
    """Return the camera of a raster that has RPCs and no grid; None for any other.

    Raises
    ------
    ResourceError, DataError
        If the raster cannot be opened, or its RPCs are incomplete or impossible.
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
    told: Mapping[str, Sequence[float]],
) -> tuple[dict[str, Source], dict[str, tuple[Source, Camera]]]:
    """Open layers: those with a grid and, apart from them, raw images with their cameras.

    Parameters
    ----------
    files
        Layer name to file.
    local
        Pixel size in metres of files without georeference; None refuses them.
    told
        No-data values by layer.
    """
    sources: dict[str, Source] = {}
    raws: dict[str, tuple[Source, Camera]] = {}
    for name, file in files.items():
        path, band = split_band(str(file))
        camera = camera_of(path) if name in PANCHROMATIC and "dsm" in files else None
        frame = local if camera is None else 1.0  # raw images lie in their own pixels
        source = Source.open(path, layer(name), band, local=frame, nodata=told.get(name))
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
        Height in metres where nothing of the DSM is measured far and wide.
    """

    image: Source = field(kw_only=True)
    dsm: Source = field(kw_only=True)
    ortho: Ortho = field(kw_only=True)
    level: float = field(kw_only=True)

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of the orthoimage; see :meth:`Source.read`.

        Raises
        ------
        DataError
            If the grid is not the scene's, or a file is damaged.
        """
        if not same_grid(grid, self.grid):
            raise DataError(
                f"{self.path}: is a raw image, and can be read on the grid of its DSM alone",
                "prepare a scene with it first",
            )
        found = self.ortho.read(window, self._raw, self._heights)
        return np.ascontiguousarray(found[::step, ::step])

    def _raw(self, window: Window, step: int) -> Array:
        """Read a window of the raw image, each pixel the mean of ``step`` × ``step``."""
        data = self.image.read(self.image.grid, window)
        if step == 1:
            return data
        rows, cols = -(-data.shape[0] // step), -(-data.shape[1] // step)
        room = ((0, rows * step - data.shape[0]), (0, cols * step - data.shape[1]))
        cells = np.pad(data, room, constant_values=np.nan).reshape(rows, step, cols, step)
        known = np.isfinite(cells)
        count = known.sum(axis=(1, 3))
        total = np.where(known, cells, 0).sum(axis=(1, 3))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)

    def _heights(self, window: Window) -> Array:
        """Read a window of the DSM with its voids filled."""
        found = np.empty((window.height, window.width), np.float32)
        rows, cols = int(self.grid.shape[0]), int(self.grid.shape[1])
        for piece in _pieces(window, (rows, cols)):
            top, left = max(piece.row, window.row), max(piece.col, window.col)
            bottom = min(piece.row + piece.height, window.row + window.height)
            right = min(piece.col + piece.width, window.col + window.width)
            there = (
                slice(top - window.row, bottom - window.row),
                slice(left - window.col, right - window.col),
            )
            here = (
                slice(top - piece.row, bottom - piece.row),
                slice(left - piece.col, right - piece.col),
            )
            found[there] = self._tiles.get(("heights", piece), partial(self._filled, piece))[here]
        return found

    def _filled(self, piece: Window) -> Array:
        shape = int(self.grid.shape[0]), int(self.grid.shape[1])
        wide = grown(piece, _AROUND, shape)
        heights = self.dsm.read(self.grid, wide)
        measured = np.isfinite(heights)
        if not measured.any():
            return np.full((piece.height, piece.width), self.level, np.float32)
        row, col = piece.row - wide.row, piece.col - wide.col
        filled = fill_voids(heights, measured)
        return filled[row : row + piece.height, col : col + piece.width]


def _pieces(window: Window, shape: tuple[int, int]) -> list[Window]:
    """Return the fixed pieces of a raster that a window touches."""
    row, col = window.row // _PIECE * _PIECE, window.col // _PIECE * _PIECE
    height = min(shape[0], -(-(window.row + window.height) // _PIECE) * _PIECE) - row
    width = min(shape[1], -(-(window.col + window.width) // _PIECE) * _PIECE) - col
    return [Window(row + b.row, col + b.col, b.height, b.width)
            for b in blocks((height, width), _PIECE)]  # fmt: skip


def orthorectified(
    raws: Mapping[str, tuple[Source, Camera]], dsm: Source, grid: GeoBox, vertical: Vertical
) -> tuple[dict[str, RawSource], list[str]]:
    """Place raw images on a DSM's grid.

    Parameters
    ----------
    raws
        By layer, the raw image in its own pixels and its camera.
    dsm
        The initial DSM.
    grid
        The scene's grid.
    vertical
        What the DSM's heights are above.

    Returns
    -------
    The sources by layer, and what to tell the user.

    Raises
    ------
    DataError
        If heights are orthometric, or an image does not show the place.
    """
    if vertical.reference == "orthometric":
        raise DataError(
            f"{dsm.path}: its heights are {vertical}, but raw images are orthorectified with "
            "ellipsoidal heights",
            "give the ellipsoidal DSM, or orthorectify the images first",
        )
    step = max(1, math.ceil(max(grid.shape) / _LOOK))
    sample = dsm.read(grid, Window(0, 0, int(grid.shape[0]), int(grid.shape[1])), step)
    known = sample[np.isfinite(sample)]
    if not known.size:
        raise DataError(f"{dsm.path}: holds no heights", "choose another DSM")
    level, highest = float(np.median(known)), float(known.max())
    found = {}
    for name, (image, camera) in raws.items():
        _require_view(image, camera, grid, level)
        shape = int(image.grid.shape[0]), int(image.grid.shape[1])
        ortho = Ortho.plan(camera, shape, grid, (level, highest))
        kept = {f.name: getattr(image, f.name) for f in fields(Source) if f.init}
        found[name] = RawSource(
            **{**kept, "grid": grid}, image=image, dsm=dsm, ortho=ortho, level=level
        )
    return found, [*_told(found, vertical), *_apart(found, grid)]


def _require_view(image: Source, camera: Camera, grid: GeoBox, level: float) -> None:
    """Raise unless the camera sees some of the grid at heights that it was made for."""
    low, high = camera.height_range
    slack = _SLACK * (high - low)
    if not low - slack <= level <= high + slack:
        raise DataError(
            f"{image.path}: its RPCs hold for heights of {low:g} to {high:g} m, but the DSM lies "
            f"at {level:.4g} m",
            "check that heights are metres above the ellipsoid and that image and DSM show one "
            "place",
        )
    rows, cols = np.meshgrid(*(np.linspace(0, n, 9) for n in grid.shape), indexing="ij")
    a = grid.affine
    lon, lat = to_geographic(grid, a.a * cols + a.c, a.e * rows + a.f)
    down, right = camera.image_of(lon, lat, np.full(lon.shape, level))
    height, width = image.grid.shape
    seen = (down >= 0) & (down <= height) & (right >= 0) & (right <= width)
    if not seen.any():
        raise DataError(
            f"{image.path}: does not show the place of the DSM",
            "check that its RPCs are its own, and that image and DSM belong together",
        )


def _told(found: Mapping[str, RawSource], vertical: Vertical) -> list[str]:
    views = ", ".join(f"{n} {_elevation(s.ortho):.0f}° above the horizon" for n, s in found.items())
    notes = [f"raw images are orthorectified on the DSM (sensors: {views})"]
    if vertical.reference == "unknown":
        notes.append("heights of the DSM are taken as ellipsoidal: its CRS does not say")
    return notes


def _elevation(ortho: Ortho) -> float:
    """Return the sensor's elevation in degrees."""
    slant = math.hypot(*ortho.displacement) * abs(float(ortho.grid.affine.a))
    return 90 - math.degrees(math.atan(slant))


def _apart(found: Mapping[str, RawSource], grid: GeoBox) -> list[str]:
    """Say how far two orthoimages lie apart, which errors of pointing and of heights cause."""
    if len(found) != 2:
        return []
    rows, cols = int(grid.shape[0]), int(grid.shape[1])
    height, width = min(rows, _LOOK), min(cols, _LOOK)
    window = Window((rows - height) // 2, (cols - width) // 2, height, width)
    left, right = (source.read(grid, window) for source in found.values())
    moved = translation(left, right)
    if moved is None:
        return ["the two orthoimages could not be compared: they share too little"]
    apart = math.hypot(moved.row, moved.col)
    if apart <= _APART:
        return []
    return [
        f"the two orthoimages lie {apart:.1f} px apart ({moved.row:+.1f} rows, {moved.col:+.1f} "
        "columns): the RPCs are not bundle-adjusted, or heights are not ellipsoidal"
    ]
