"""The grid of a raster file, and errors for rasters without georeference."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from odc.geo.geobox import GeoBox

from demiurge.errors import DataError
from demiurge.scene.crs import proj_of, require_crs
from demiurge.scene.files import ARRAY
from demiurge.scene.grid import local_grid


def grid_of(path: str, dataset: Any, local: float | None = None) -> GeoBox:
    """Return the grid of an open raster.

    Parameters
    ----------
    local
        Pixel size in metres of a raster without CRS, which then gets a local frame; None raises
        an error.

    Raises
    ------
    DataError
        If the raster has no CRS or geotransform, or an invalid or local CRS.
    """
    from pyproj.exceptions import CRSError

    if dataset.crs is None:
        if local is not None:
            return local_grid(dataset.shape, local)
        raise _no_crs(path, dataset)
    try:
        proj = proj_of(dataset.crs.to_wkt())
        require_crs(path, proj)
    except CRSError as error:
        raise DataError(
            f"{path}: PROJ does not know its CRS ({str(error).splitlines()[0]})",
            "set a valid CRS, for example with gdal_edit.py -a_srs EPSG:32633",
        ) from None
    grid = GeoBox(dataset.shape, dataset.transform, dataset.crs.to_wkt())
    if grid.affine.determinant == 0 or grid.affine.is_identity:
        array = dataset.driver == ARRAY
        raise DataError(
            f"{path}: has no {'coordinates of rows and columns' if array else 'geotransform'}",
            "assign them with .assign_coords(x=…, y=…), or set .rio.write_transform"
            if array
            else "georeference it, for example with gdal_translate -a_ullr",
        )
    if not all(math.isfinite(value) for value in grid.affine):
        raise DataError(
            f"{path}: its geotransform is not finite",
            "georeference it, for example with gdal_translate -a_ullr",
        )
    return grid


def _no_crs(path: str, dataset: Any) -> DataError:
    if dataset.driver == ARRAY:
        return DataError(
            f"{path}: has no coordinate reference system",
            f'set it, for example with .rio.write_crs("{_example(dataset)}")',
        )
    points, crs = dataset.gcps
    if points:
        target = f"-t_srs {crs.to_string()} " if crs and crs.is_projected else "-t_srs EPSG:32633 "
        return DataError(
            f"{path}: is georeferenced only by {len(points)} ground control points",
            f"warp it first, for example with gdalwarp {target}IN.tif OUT.tif",
        )
    if dataset.rpcs is not None:
        return DataError(
            f"{path}: is a raw image with a camera model (RPC)",
            "orthorectify it first, for example with gdalwarp -rpc -to RPC_DEM=dem.tif",
        )
    return DataError(
        f"{path}: has no coordinate reference system",
        f"set it, for example with gdal_edit.py -a_srs {_example(dataset)}",
    )


def _example(dataset: Any) -> str:
    """Return an example of a CRS that fits the coordinates."""
    return "EPSG:4326" if in_degrees(dataset) else "EPSG:32633"


def in_degrees(dataset: Any) -> bool:
    """Return whether the coordinates of a raster without CRS are in the range of degrees."""
    if dataset.transform.is_identity:
        return False
    box = dataset.bounds
    inside = max(abs(box.left), abs(box.right)) <= 361 and max(abs(box.bottom), abs(box.top)) <= 91
    return bool(inside and abs(dataset.transform.a) < 0.5)


def pixel_size_without_crs(path: str, dataset: Any) -> float | None:
    """Return the pixel size of a raster without CRS from its geotransform, or None without one.

    Raises
    ------
    DataError
        If it is in degrees, or the pixels are not square.
    """
    a = dataset.transform
    if a.is_identity or a.determinant == 0:
        return None
    if in_degrees(dataset):
        raise _no_crs(path, dataset)
    across, down = math.hypot(a.a, a.d), math.hypot(a.b, a.e)
    if not math.isclose(across, down, rel_tol=0.01):
        raise DataError(
            f"{path}: has no CRS, and its pixels of {across:g} × {down:g} are not square",
            "set its CRS, for example with gdal_edit.py -a_srs EPSG:32633",
        )
    return math.sqrt(across * down)


def has_gcps_or_rpcs(dataset: Any) -> bool:
    """Return whether a raster is georeferenced by ground control points or a camera model."""
    return bool(dataset.gcps[0]) or dataset.rpcs is not None


def raise_no_crs(path: str, dataset: Any) -> NoReturn:
    """Raise the error of a raster without CRS."""
    raise _no_crs(path, dataset)
