"""The verb: a surface to a point cloud or a mesh."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError, missing_extra
from demiurge.exports.clouds import cloud_writer
from demiurge.exports.meshes import mesh_writer
from demiurge.exports.pieces import Piece, pieces
from demiurge.exports.texture import Texture, jpeg
from demiurge.outputs import whole_file
from demiurge.progress import progress
from demiurge.scene.grid import wkt
from demiurge.scene.open import PathLike
from demiurge.scene.paths import open_raster

CLOUDS = ("las", "laz", "ply", "xyz")
MESHES = ("glb", "obj")


@dataclass(frozen=True)
class Exported:
    """What was written: a file, how many vertices and triangles, and how long it took."""

    path: Path
    points: int
    triangles: int
    pixels: int
    tolerance: float | None
    seconds: float


def kind_of(path: PathLike) -> str | None:
    """Return the kind of point cloud or mesh that a name asks for, or None for a raster."""
    suffix = Path(os.fspath(path)).suffix.lower().lstrip(".")
    return suffix if suffix in (*CLOUDS, *MESHES) else None


def require_writer(path: PathLike) -> None:
    """Raise before any work if what a name asks for needs a package that is not there."""
    if kind_of(path) in ("las", "laz") and find_spec("laspy") is None:
        raise missing_extra("laspy", "lidar", "LAS and LAZ")


def export(
    surface: PathLike,
    output: PathLike,
    *,
    band: int = 1,
    image: PathLike | None = None,
    tolerance: float | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Exported:
    """Write heights as a point cloud (.las, .laz, .ply, .xyz) or a mesh (.glb, .obj).

    The raster is read in pieces; memory does not grow with it.

    Parameters
    ----------
    surface
        Raster of heights in a projected CRS, NaN or its declared value for no data.
    image
        Raster whose colours the points take, or that is laid over the mesh; in any CRS.
    tolerance
        Metres that heights may be off at any pixel; what is not needed for that is left out.
        For points None keeps every pixel, for meshes it is a quarter of a pixel's size.

    Raises
    ------
    UsageError, ResourceError, DataError
        One sentence each.
    """
    path = Path(os.fspath(output))
    kind = kind_of(path)
    if kind is None:
        known = ", ".join(f".{k}" for k in (*CLOUDS, *MESHES))
        raise UsageError(f"{path}: is no point cloud and no mesh", f"name it with one of {known}")
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise UsageError(f"the tolerance is {tolerance} m", "give metres, 0 or more")
    require_writer(path)
    start = time.monotonic()
    with open_raster(surface if isinstance(surface, str) else Path(surface)) as dataset:
        grid = _grid(dataset, str(surface), band)
        if kind in MESHES and tolerance is None:
            tolerance = abs(float(grid.affine.a)) / 4
        texture = None if image is None else Texture(image, grid)
        mesh = kind in MESHES
        origin = _origin(grid)
        with whole_file(path, overwrite=overwrite) as partial:
            total = grid.shape[0] * grid.shape[1] / 1e6
            with progress("export", total, quiet=quiet, unit="Mpx") as advance:
                colours = None if mesh else texture
                found = pieces(dataset, band, tolerance, colours, mesh=mesh, advance=advance)
                counts = [0, 0]
                sink = _Sink(partial, path, kind, grid, texture, origin)
                try:
                    for piece in found:
                        sink(piece)
                        counts[0] += len(piece.heights)
                        counts[1] += len(piece.faces)
                finally:
                    sink.close()
                if not counts[0]:
                    raise DataError(f"{surface}: band {band} holds no height", "choose another")
    pixels = int(grid.shape[0] * grid.shape[1])
    return Exported(path, counts[0], counts[1], pixels, tolerance, time.monotonic() - start)


def _grid(dataset: Any, name: str, band: int) -> GeoBox:
    if not 1 <= band <= dataset.count:
        raise UsageError(f"{name}: has no band {band}", f"choose 1 to {dataset.count}")
    if dataset.crs is None:
        raise DataError(f"{name}: has no CRS", "set it with gdal_edit -a_srs")
    if not dataset.crs.is_projected:
        raise DataError(f"{name}: is not in a projected CRS", "warp it to UTM with gdalwarp")
    return GeoBox(dataset.shape, dataset.transform, str(dataset.crs.to_wkt()))


def _origin(grid: GeoBox) -> tuple[float, float, float]:
    """Return whole metres near the middle, so that float32 keeps millimetres."""
    x, y = grid.affine @ (grid.shape[1] / 2, grid.shape[0] / 2)
    return float(round(x)), float(round(y)), 0.0


class _Sink:
    """Turns pieces into coordinates and hands them to the writer."""

    def __init__(
        self,
        partial: Path,
        path: Path,
        kind: str,
        grid: GeoBox,
        texture: Texture | None,
        origin: tuple[float, float, float],
    ) -> None:
        self._grid, self._origin = grid, np.array(origin)
        self._cloud = self._mesh = None
        if kind in MESHES:
            about = {"name": path.name, "crs": wkt(grid), "origin": list(origin)}
            picture = None if texture is None else jpeg(texture, grid)
            self._mesh = mesh_writer(partial, kind, about, picture)
        else:
            self._cloud = cloud_writer(partial, kind, grid.crs, origin, texture is not None)

    def __call__(self, piece: Piece) -> None:
        rows, columns = piece.pixels.T + 0.5
        x, y = self._grid.affine @ (columns, rows)
        points = np.stack([x, y, piece.heights.astype(np.float64)], axis=1)
        if self._cloud is not None:
            self._cloud.add(points, piece.colours)
        if self._mesh is not None:
            height, width = self._grid.shape
            uv = np.stack([columns / width, rows / height], axis=1).astype(np.float32)
            self._mesh.add(points - self._origin, uv, piece.faces)

    def close(self) -> None:
        for writer in (self._cloud, self._mesh):
            if writer is not None:
                writer.close()
