"""Export of a surface as a point cloud or a mesh."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.exports.clouds import Frame, cloud_writer
from demiurge.exports.meshes import mesh_writer
from demiurge.exports.pieces import Piece, pieces
from demiurge.exports.texture import Texture, image_sources, jpeg
from demiurge.layers import layer
from demiurge.outputs import atomic_files, check_output
from demiurge.paths import PathLike, split_band
from demiurge.progress import progress
from demiurge.scene.files import open_raster
from demiurge.scene.grid import wkt
from demiurge.scene.open import choose_grid
from demiurge.scene.options import NoData
from demiurge.scene.source import Source
from demiurge.scene.undeclared import for_layers

CLOUDS = ("las", "laz", "ply", "xyz")
MESHES = ("glb", "obj")
SUFFIXES = tuple(f".{kind}" for kind in (*CLOUDS, *MESHES))


@dataclass(frozen=True)
class Exported:
    """What was written: a file, how many vertices and triangles, and how long it took.

    Attributes
    ----------
    notes
        Sentences for the user about what was done to the heights.
    """

    path: Path
    points: int
    triangles: int
    pixels: int
    tolerance: float | None
    seconds: float
    notes: tuple[str, ...] = ()


def kind_of(path: PathLike) -> str | None:
    """Return the kind of point cloud or mesh that a name asks for, or None for a raster."""
    suffix = Path(os.fspath(path)).suffix.lower().lstrip(".")
    return suffix if suffix in (*CLOUDS, *MESHES) else None


def check_tolerance(tolerance: float | None) -> None:
    """Raise UsageError if a tolerance is no number of metres."""
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise UsageError(f"the tolerance is {tolerance} m", "give metres, 0 or more")


def companions_of(path: Path, *, coloured: bool) -> list[Path]:
    """Return the files that are written beside a point cloud or mesh."""
    if kind_of(path) != "obj" or not coloured:
        return []
    return [path.with_name(f"{path.stem}.{suffix}") for suffix in ("mtl", "jpg")]


def export(
    surface: PathLike,
    output: PathLike,
    *,
    band: int | None = None,
    image: PathLike | None = None,
    tolerance: float | None = None,
    nodata: NoData | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Exported:
    """Write heights as a point cloud (.las, .laz, .ply, .xyz) or a mesh (.glb, .obj).

    The raster is read in pieces; memory does not grow with it.

    Parameters
    ----------
    surface
        Raster of heights in metres; ``file.tif:3`` means its third band. What is not in a
        projected CRS in metres is warped to UTM.
    band
        Band of the surface; the one that is described as heights if None.
    image
        Raster whose colours the points take, or that is laid over the mesh; in any CRS.
    tolerance
        Metres that heights may be off at any pixel; what is not needed for that is left out.
        For points None keeps every pixel, for meshes it is a quarter of a pixel's size.

    nodata
        Of ``surface`` and ``image``, the stored values that are no data besides those that files
        declare; none at all for an empty list.

    Raises
    ------
    UsageError, ResourceError, DataError
        One sentence each.
    """
    path = Path(os.fspath(output))
    check_output(
        path,
        overwrite=overwrite,
        inputs=[surface] if image is None else [surface, image],
        suffixes=SUFFIXES,
        companions=companions_of(path, coloured=image is not None),
    )
    check_tolerance(tolerance)
    told = for_layers(nodata, ("surface",) if image is None else ("surface", "image"))
    heights = open_heights(surface, band, told.get("surface"))
    colours = None if image is None else image_sources(image, told.get("image"))
    return write_export(
        heights, path, colours, tolerance=tolerance, overwrite=overwrite, quiet=quiet
    )


def open_heights(
    surface: PathLike, band: int | None, nodata: Sequence[float] | None = None
) -> Source:
    """Open a band of heights; relative ones have no unit.

    Raises
    ------
    UsageError, ResourceError, DataError
        If there is no such band or file, or the heights are not in metres.
    """
    name = os.fspath(surface)
    if band is None:
        name, band = split_band(name)
    with open_raster(name) as dataset:
        if band is not None and not 1 <= band <= dataset.count:
            raise UsageError(f"{name}: has no band {band}", f"choose 1 to {dataset.count}")
        relative = dataset.tags().get("units") == "relative"
    kind = layer("dsm")
    kind = replace(kind, unit="1") if relative else kind
    return Source.open(name, kind, band, nodata=nodata, role="surface")


def write_export(
    heights: Source,
    path: Path,
    colours: Sequence[Source] | None,
    *,
    tolerance: float | None,
    overwrite: bool,
    quiet: bool,
) -> Exported:
    """Write an opened band of heights; see :func:`export`.

    Parameters
    ----------
    colours
        Red, green and blue, or one grey band; None for no colours.
    """
    kind, start = kind_of(path), time.monotonic()
    assert kind is not None
    grid, notes = _grid(heights)
    notes += [f"surface: {text}" for text in heights.remarks]
    notes += sorted({f"image: {text}" for source in colours or () for text in source.remarks})
    mesh = kind in MESHES
    if mesh and tolerance is None:
        tolerance = math.sqrt(abs(grid.affine.determinant)) / 4
    texture = None if colours is None else Texture(colours, grid)
    names = [path, *companions_of(path, coloured=texture is not None)]
    total = grid.shape[0] * grid.shape[1] / 1e6
    counts = [0, 0]
    with (
        atomic_files(names, overwrite=overwrite) as partials,
        progress("export", total, quiet=quiet, unit="Mpx") as advance,
    ):
        found = pieces(
            heights, grid, tolerance, None if mesh else texture, mesh=mesh, advance=advance
        )
        sink = _Sink(partials, path, kind, grid, texture)
        try:
            for piece in found:
                sink(piece)
                counts[0] += len(piece.heights)
                counts[1] += len(piece.faces)
            if not counts[0]:
                text = f"{heights.path}: band {heights.band} holds no height"
                raise DataError(text, "choose another")
            sink.close()
        finally:
            sink.release()
    pixels = int(grid.shape[0] * grid.shape[1])
    seconds = time.monotonic() - start
    return Exported(path, counts[0], counts[1], pixels, tolerance, seconds, tuple(notes))


def _grid(heights: Source) -> tuple[GeoBox, list[str]]:
    """Return the heights' own grid where its CRS is in metres, else one that is, and a note."""
    grid, notes = choose_grid({"dsm": heights})
    if heights.layer.unit != "m":
        notes.append(f"the heights of {heights.path} are relative, not metres")
    if grid.crs == heights.grid.crs:
        # Rotated and south-up rasters need no warp: every vertex has its own place.
        return heights.grid, notes[:0] if heights.layer.unit == "m" else notes[-1:]
    return grid, notes


def _origin(grid: GeoBox) -> tuple[float, float, float]:
    """Return whole metres near the middle, so that float32 keeps millimetres."""
    x, y = grid.affine @ (grid.shape[1] / 2, grid.shape[0] / 2)
    return float(round(x)), float(round(y)), 0.0


class _Sink:
    """Turns pieces into coordinates and hands them to the writer."""

    def __init__(
        self,
        partials: Sequence[Path],
        path: Path,
        kind: str,
        grid: GeoBox,
        texture: Texture | None,
    ) -> None:
        self._grid, origin = grid, _origin(grid)
        self._origin = np.array(origin)
        # Pieces count triangles counterclockwise for rows that run south.
        self._mirrored = grid.affine.determinant > 0
        self._cloud = self._mesh = None
        if kind in MESHES:
            about = {"name": path.name, "crs": wkt(grid), "origin": list(origin)}
            picture = None if texture is None else jpeg(texture, grid)
            self._mesh = mesh_writer(partials, kind, about, picture)
        else:
            box = grid.extent.boundingbox
            reach = max(box.right - box.left, box.top - box.bottom)
            frame = Frame(path.name, grid.crs, origin, reach)
            self._cloud = cloud_writer(partials[0], kind, frame, texture is not None)

    def __call__(self, piece: Piece) -> None:
        rows, columns = piece.pixels.T + 0.5
        x, y = self._grid.affine @ (columns, rows)
        points = np.stack([x, y, piece.heights.astype(np.float64)], axis=1)
        if self._cloud is not None:
            self._cloud.add(points, piece.colours)
        if self._mesh is not None:
            height, width = self._grid.shape
            uv = np.stack([columns / width, rows / height], axis=1).astype(np.float32)
            faces = piece.faces[:, ::-1] if self._mirrored else piece.faces
            self._mesh.add(points - self._origin, uv, faces)

    def close(self) -> None:
        """Finish the file."""
        for writer in (self._cloud, self._mesh):
            if writer is not None:
                writer.close()

    def release(self) -> None:
        """Let go of open files, finished or not."""
        for writer in (self._cloud, self._mesh):
            if writer is not None:
                writer.release()
