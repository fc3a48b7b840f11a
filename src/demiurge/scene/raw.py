"""Raw images with a camera model, orthorectified on the initial DSM when they are read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import PANCHROMATIC, layer
from demiurge.paths import split_band
from demiurge.raster.resample import block_means
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import (
    Camera,
    Direction,
    Pair,
    PixelShift,
    in_pixels,
    to_geographic,
)
from demiurge.scene.coregistration import MIN_CORRELATION, central_offset, measure_offset
from demiurge.scene.grid import Window, full_window, grown, same_grid, window_grid
from demiurge.scene.ortho import Ortho, raw_pixels
from demiurge.scene.sensor import RawSettings, camera_of, require_applicable, require_rpcs
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical
from demiurge.scene.warp import from_tiles

#: Margin in pixels that is read around a tile of the DSM to fill its voids.
_MARGIN = 128
#: Side in pixels of the sample of the DSM.
_SAMPLE = 512
#: Tolerance of the height range of the polynomials, as a share of the range.
_SLACK = 0.5
#: Largest offset in pixels between two orthoimages without a note.
_MAX_OFFSET = 0.5
#: Angle in degrees from the direction of the parallax, and height error in metres, of offsets that
#: wrong heights explain.
_EPIPOLAR, _MIN_HEIGHT = 10.0, 5.0
#: Largest number of measurements of a correction, and offset in pixels at which they end.
_ROUNDS, _CONVERGED = 4, 0.01


@dataclass(frozen=True)
class RawImage:
    """A raw image before its orthorectification.

    Attributes
    ----------
    source
        The image in its own pixels.
    camera
        Its camera.
    notes
        Notes on the camera for the user.
    """

    source: Source
    camera: Camera
    notes: tuple[str, ...] = ()


def file_sources(
    files: Mapping[str, str | os.PathLike[str]],
    local: float | None,
    nodata: Mapping[str, Sequence[float]],
    settings: RawSettings,
) -> tuple[dict[str, Source], dict[str, RawImage]]:
    """Open files as layers; raw images are returned separately, with their cameras.

    Parameters
    ----------
    files
        Layer name to file.
    local
        Pixel size in metres of files without georeference; None raises an error.
    nodata
        Stored no-data values by layer, in addition to the declared ones.
    settings
        Side files and corrections of raw images.

    Raises
    ------
    UsageError
        For settings that apply to no raw image.
    ResourceError, DataError
        For files that cannot be used.
    """
    sources: dict[str, Source] = {}
    raws: dict[str, RawImage] = {}
    for name, file in files.items():
        path, band = split_band(str(file))
        ortho = name in PANCHROMATIC and "dsm" in files
        camera = camera_of(path, name, settings) if ortho else None
        if ortho and camera is None and local is None:
            require_rpcs(path, name)
        frame = local if camera is None else 1.0  # the frame of a raw image is its pixels
        source = Source.open(path, layer(name), band, local=frame, nodata=nodata.get(name))
        if camera is None:
            sources[name] = source
        else:
            raws[name] = RawImage(source, camera[0], tuple(camera[1]))
    require_applicable(settings, files, raws)
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

    @property
    def variant(self) -> tuple[str, ...]:
        """Return what the orthoimage depends on in addition to the files; see :class:`Source`."""
        return repr(self.ortho.camera), repr(self.ortho.occlusions), self.dsm.path

    @property
    def rows_and_columns(self) -> tuple[int, int]:
        """Return the shape of the grid."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    def part(self, window: Window) -> Array:
        """Read a window of the orthoimage on its own grid."""
        return self.read(self.grid, window)

    def displaced(self, row: float, col: float) -> RawSource:
        """Return the image with a camera whose orthoimage is displaced by pixels of the grid."""
        camera = self.ortho.camera
        rows, cols = self.rows_and_columns
        middle = window_grid(self.grid, Window(rows // 2, cols // 2, 1, 1))
        steps = raw_pixels(camera, middle, self.level) @ (row, col)
        camera = camera.shifted(-float(steps[0]), -float(steps[1]))
        return replace(self, ortho=replace(self.ortho, camera=camera))

    def _raw(self, window: Window, step: int) -> Array:
        """Read a window of the raw image as means of ``step`` × ``step`` pixels."""
        data = self.image.read(self.image.grid, window)
        return data if step == 1 else block_means(data, step)

    def _heights(self, window: Window) -> Array:
        """Read a window of the DSM with its voids filled."""
        shape = self.rows_and_columns

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
    raws: Mapping[str, RawImage],
    dsm: Source,
    grid: GeoBox,
    vertical: Vertical,
    settings: RawSettings,
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
        If the heights are orthometric, an image does not cover the DSM, or the offset of the
        orthoimages cannot be measured although it is to be corrected.
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
    for name, raw in raws.items():
        image = raw.source
        _require_view(image, raw.camera, grid, level)
        shape = int(image.grid.shape[0]), int(image.grid.shape[1])
        ortho = Ortho.plan(
            raw.camera, shape, grid, (level, highest), occlusions=settings.occlusions
        )
        kept = {f.name: getattr(image, f.name) for f in fields(Source) if f.init}
        orthos[name] = RawSource(
            **{**kept, "grid": grid}, image=image, dsm=dsm, ortho=ortho, level=level
        )
    notes = [*_view_notes(orthos, vertical), *(text for raw in raws.values() for text in raw.notes)]
    if settings.adjust:
        orthos, remarks = _adjusted(orthos, settings, vertical)
    else:
        remarks = _offset_notes(orthos, vertical)
    return orthos, [*notes, *remarks]


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


def _offset_notes(orthos: Mapping[str, RawSource], vertical: Vertical) -> list[str]:
    """Return a note on the offset of two orthoimages, caused by pointing and height errors."""
    if len(orthos) != 2:
        return []
    left, right = (orthos[name] for name in PANCHROMATIC)
    shift = central_offset(left.part, right.part, left.rows_and_columns)
    if shift is None:
        return ["the two orthoimages cannot be compared: they overlap too little"]
    offset = math.hypot(shift.row, shift.col)
    if offset <= _MAX_OFFSET:
        return []
    measured = (
        f"the two orthoimages are offset by {offset:.1f} px ({shift.row:+.1f} rows, "
        f"{shift.col:+.1f} columns)"
    )
    heights = _height_remark((shift.row, shift.col), left, right, vertical)
    if heights:
        return [f"{measured}, {heights}"]
    return [
        f"{measured}: the RPCs are not bundle-adjusted, or the heights are not ellipsoidal; "
        "--adjust removes a constant offset"
    ]


def _height_remark(
    offset: tuple[float, float], left: RawSource, right: RawSource, vertical: Vertical
) -> str:
    """Return a remark if wrong heights explain an offset of the orthoimages, else nothing.

    Parameters
    ----------
    offset
        Pixels (row, col) by which the right orthoimage is displaced.
    """
    if vertical.reference != "unknown":
        return ""
    row, col = in_pixels(Pair(left.view, right.view).parallax, left.grid)
    length, parallax = math.hypot(*offset), math.hypot(row, col)
    if length == 0 or parallax == 0:
        return ""
    along = (offset[0] * row + offset[1] * col) / parallax
    height = along / parallax
    if abs(along) < length * math.cos(math.radians(_EPIPOLAR)) or abs(height) <= _MIN_HEIGHT:
        return ""
    return (
        f"as if heights were {abs(height):.0f} m too {'low' if height > 0 else 'high'}: are they "
        "orthometric?"
    )


def _adjusted(
    orthos: Mapping[str, RawSource], settings: RawSettings, vertical: Vertical
) -> tuple[dict[str, RawSource], list[str]]:
    """Shift the camera of the left image until the orthoimages coincide.

    Returns
    -------
    The sources by layer, and notes on the correction.
    """
    left, right = (orthos[name] for name in PANCHROMATIC)
    shape = left.rows_and_columns
    start, moved = left.ortho.camera.shift, np.zeros(2)
    coarse = central_offset(left.part, right.part, shape)
    if coarse is not None and coarse.correlation >= MIN_CORRELATION:
        moved += (coarse.row, coarse.col)
        left = left.displaced(coarse.row, coarse.col)
    for _ in range(_ROUNDS):
        try:
            offset = measure_offset(left.part, right.part, shape)
        except DataError as error:
            heights = _height_remark((moved[0], moved[1]), left, right, vertical)
            reason = f" (the offset is {heights})" if heights else ""
            raise DataError(f"{error.what}{reason}", error.cure) from None
        moved += (offset.row, offset.col)
        left = left.displaced(offset.row, offset.col)
        if math.hypot(offset.row, offset.col) < _CONVERGED:
            break
    rows, cols = np.subtract(left.ortho.camera.shift, start)
    given = settings.shift_left or PixelShift(0, 0)
    notes = [
        f"--adjust shifts the left image by {cols:+.2f} columns and {rows:+.2f} rows of its raw "
        f"pixels: {offset.agreeing} of {offset.measured} windows agree, with an NMAD of "
        f"{offset.nmad:.2f} px; without --adjust: --shift-left "
        f"{given.cols + cols:.2f},{given.rows + rows:.2f}"
    ]
    heights = _height_remark((moved[0], moved[1]), left, right, vertical)
    if heights:
        notes.append(f"the offset that --adjust removed is {heights}")
    return {**orthos, PANCHROMATIC[0]: left}, notes
