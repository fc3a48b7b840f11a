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
from demiurge.exports.options import MESHES, SUFFIXES
from demiurge.exports.texture import Texture, image_sources, jpeg
from demiurge.exports.vertices import VertexBlock, vertex_blocks
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


@dataclass(frozen=True)
class Exported:
    """A written point cloud or mesh.

    Attributes
    ----------
    path
        The file.
    points, triangles
        Numbers of vertices and triangles.
    pixels
        Number of pixels of the surface.
    tolerance
        Maximum vertical error in metres; None if every pixel is kept.
    seconds
        Duration of the export.
    notes
        Sentences on how the heights were changed, for the user.
    """

    path: Path
    points: int
    triangles: int
    pixels: int
    tolerance: float | None
    seconds: float
    notes: tuple[str, ...] = ()


def _kind(path: Path) -> str:
    return path.suffix.lower().lstrip(".")


def _companions(path: Path, *, coloured: bool) -> list[Path]:
    """Return the files that are written next to a point cloud or mesh."""
    if _kind(path) != "obj" or not coloured:
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
    """Write heights as a point cloud (.las, .laz, .ply) or a mesh (.glb, .obj).

    The raster is processed in blocks, so memory does not grow with its size.

    Parameters
    ----------
    surface
        Raster of heights in metres; ``file.tif:3`` selects the third band. Rasters without a
        projected CRS in metres are warped to UTM.
    output
        File to write; its suffix selects the format. An OBJ with an image also has a ``.mtl`` and
        a ``.jpg`` file.
    band
        Band of the surface; the one that is described as heights if None.
    image
        Raster with the colours of the points or the texture of the mesh; in any CRS.
    tolerance
        Maximum vertical error in metres at any pixel when simplifying. If None, points keep every
        pixel and meshes are within a quarter of the pixel size.
    nodata
        By ``surface`` and ``image``, stored values to treat as no data in addition to those that
        files declare; an empty list adds none.

    Raises
    ------
    UsageError, ResourceError, DataError
        For an unknown suffix, missing files, heights in another unit, or a raster without heights.
    """
    path = Path(os.fspath(output))
    check_output(
        path,
        overwrite=overwrite,
        inputs=[surface] if image is None else [surface, image],
        suffixes=SUFFIXES,
        companions=_companions(path, coloured=image is not None),
    )
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise UsageError(f"the tolerance is {tolerance} m", "give metres, 0 or more")
    values = for_layers(nodata, ("surface",) if image is None else ("surface", "image"))
    heights = _open_heights(surface, band, values.get("surface"))
    colours = None if image is None else image_sources(image, values.get("image"))
    return _write(heights, path, colours, tolerance, overwrite=overwrite, quiet=quiet)


def _open_heights(surface: PathLike, band: int | None, nodata: Sequence[float] | None) -> Source:
    """Open a band of heights; relative heights have no unit."""
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


def _write(
    heights: Source,
    path: Path,
    colours: Sequence[Source] | None,
    tolerance: float | None,
    *,
    overwrite: bool,
    quiet: bool,
) -> Exported:
    """Write an opened band of heights.

    Parameters
    ----------
    colours
        Red, green and blue, or one grey band; None for no colours.
    """
    kind, start = _kind(path), time.monotonic()
    grid, notes = _grid(heights)
    notes += [f"surface: {text}" for text in heights.remarks]
    notes += sorted({f"image: {text}" for source in colours or () for text in source.remarks})
    mesh = kind in MESHES
    if mesh and tolerance is None:
        tolerance = math.sqrt(abs(grid.affine.determinant)) / 4
    texture = None if colours is None else Texture(colours, grid)
    names = [path, *_companions(path, coloured=texture is not None)]
    total = grid.shape[0] * grid.shape[1] / 1e6
    counts = [0, 0]
    with (
        atomic_files(names, overwrite=overwrite) as partials,
        progress("export", total, quiet=quiet, unit="Mpx") as advance,
    ):
        blocks = vertex_blocks(
            heights, grid, tolerance, None if mesh else texture, mesh=mesh, advance=advance
        )
        writer = _BlockWriter(partials, path, kind, grid, texture)
        try:
            for block in blocks:
                writer.add(block)
                counts[0] += len(block.heights)
                counts[1] += len(block.faces)
            if not counts[0]:
                text = f"{heights.path}: band {heights.band} contains no height"
                raise DataError(text, "choose another band")
            writer.close()
        finally:
            writer.release()
    pixels = int(grid.shape[0] * grid.shape[1])
    seconds = time.monotonic() - start
    return Exported(path, counts[0], counts[1], pixels, tolerance, seconds, tuple(notes))


def _grid(heights: Source) -> tuple[GeoBox, list[str]]:
    """Return the grid of the heights, or a UTM grid if its CRS is not in metres, and notes."""
    grid, notes = choose_grid({"dsm": heights})
    if heights.layer.unit != "m":
        notes.append(f"the heights of {heights.path} are relative, not metres")
    if grid.crs == heights.grid.crs:
        # Rotated and south-up rasters need no warp: vertices have explicit coordinates.
        return heights.grid, notes[:0] if heights.layer.unit == "m" else notes[-1:]
    return grid, notes


def _origin(grid: GeoBox) -> tuple[float, float, float]:
    """Return a rounded centre as origin, so that float32 coordinates keep millimetres."""
    x, y = grid.affine @ (grid.shape[1] / 2, grid.shape[0] / 2)
    return float(round(x)), float(round(y)), 0.0


class _BlockWriter:
    """Converts blocks to coordinates and writes them."""

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
        # Triangles of blocks are counterclockwise if rows run south.
        self._mirrored = grid.affine.determinant > 0
        self._cloud = self._mesh = None
        if kind in MESHES:
            about = {"name": path.name, "crs": wkt(grid), "origin": list(origin)}
            picture = None if texture is None else jpeg(texture, grid)
            self._mesh = mesh_writer(partials, kind, about, picture)
        else:
            box = grid.extent.boundingbox
            extent = max(box.right - box.left, box.top - box.bottom)
            frame = Frame(path.name, grid.crs, origin, extent)
            self._cloud = cloud_writer(partials[0], kind, frame, texture is not None)

    def add(self, block: VertexBlock) -> None:
        """Write a block."""
        rows, columns = block.pixels.T + 0.5
        x, y = self._grid.affine @ (columns, rows)
        points = np.stack([x, y, block.heights.astype(np.float64)], axis=1)
        if self._cloud is not None:
            self._cloud.add(points, block.colours)
        if self._mesh is not None:
            height, width = self._grid.shape
            uv = np.stack([columns / width, rows / height], axis=1).astype(np.float32)
            faces = block.faces[:, ::-1] if self._mirrored else block.faces
            self._mesh.add(points - self._origin, uv, faces)

    def close(self) -> None:
        """Finish the file."""
        for writer in (self._cloud, self._mesh):
            if writer is not None:
                writer.close()

    def release(self) -> None:
        """Close open files, finished or not."""
        for writer in (self._cloud, self._mesh):
            if writer is not None:
                writer.release()
