"""The grid of a scene of lidar: that of another scene, or one around the points."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.paths import PathLike
from demiurge.pointclouds.cloud import Cloud
from demiurge.pointclouds.services import bounds_to
from demiurge.scene.crs import WORST_SCALE, parse_crs
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import is_plain, metric_crs, scale_of, utm_of
from demiurge.scene.georeference import grid_of
from demiurge.scene.grid import (
    Bounds,
    cropped_grid,
    crs_name,
    intersection,
    is_metric,
    pixel_size,
    snapped_grid,
    union,
)
from demiurge.scene.open import open_scene
from demiurge.scene.spec import SPEC_NAME

_WGS84 = "EPSG:4326"


def grid_like(like: PathLike) -> GeoBox:
    """Return the grid of a scene or raster.

    Raises
    ------
    ResourceError, DataError
        If it cannot be read.
    UsageError
        If the grid is not north-up with square pixels in metres.
    """
    path = Path(like)
    if path.name == SPEC_NAME or (path / SPEC_NAME).exists():
        return open_scene(like).grid
    with open_raster(os.fspath(like)) as dataset:
        grid = grid_of(os.fspath(like), dataset)
    if not is_plain(grid, WORST_SCALE):
        raise UsageError(
            f"--like {like}: its grid is not north-up with square pixels in metres",
            "warp it with gdalwarp, or give --gsd and --crs",
        )
    return grid


def bounds_in_degrees(grid: GeoBox) -> Bounds:
    """Return the bounds of a grid in longitude and latitude."""
    box = grid.boundingbox
    return bounds_to((box.left, box.bottom, box.right, box.top), grid.crs, _WGS84)


def choose_grid_of_clouds(
    clouds: Sequence[Cloud],
    *,
    gsd: float | None,
    like: GeoBox | None,
    crs: str | None,
    bounds: Bounds | None,
    where: Bounds | None,
) -> tuple[GeoBox, list[str]]:
    """Return the grid of a scene, and notes on it.

    Parameters
    ----------
    clouds
        At least one.
    like
        A grid that the scene shares pixels with.
    bounds, where
        Bounds in the CRS of the scene, and in degrees.

    Raises
    ------
    UsageError
        For contradictory options, or an empty grid.
    """
    if like is not None:
        if crs is not None or (gsd is not None and not math.isclose(gsd, pixel_size(like))):
            raise UsageError(
                "--like sets the CRS and the pixel size", "leave --crs and --gsd out, or --like"
            )
        box = _area(like.crs, bounds, where)
        return (like if box is None else cropped_grid(like, box)), []
    if gsd is None:
        raise UsageError("the pixel size is missing", "give --gsd in metres, or --like SCENE")
    target, notes = _target(clouds[0], crs)
    box = _area(target, bounds, where)
    extent = union([bounds_to(cloud.bounds, cloud.frame.crs, target) for cloud in clouds])
    if box is not None and intersection([box, extent]) is None:
        raise DataError("no file has points in the bounds", "check --bounds, --where and the CRS")
    return snapped_grid(box or _grown(extent), target, gsd), notes


def _grown(box: Bounds) -> Bounds:
    """Return bounds with room for points that are exactly on the upper edges."""
    slack = 1e-5
    return box[0], box[1] - slack, box[2] + slack, box[3]


def _area(crs: Any, bounds: Bounds | None, where: Bounds | None) -> Bounds | None:
    boxes = [] if bounds is None else [bounds]
    if where is not None:
        boxes.append(bounds_to(where, _WGS84, crs))
    if not boxes:
        return None
    shared = intersection(boxes)
    if shared is None:
        raise UsageError("--bounds and --where do not overlap", "give one of them")
    return shared


def _target(cloud: Cloud, crs: str | None) -> tuple[Any, list[str]]:
    """Return the CRS of a scene (odc-geo), and notes on it."""
    source = CRS(cloud.frame.crs)
    left, bottom, right, top = cloud.bounds
    size = max(right - left, top - bottom, 1e-6)
    coarse = GeoBox.from_bbox((left, bottom, left + size, bottom + size), source, shape=(4, 4))
    if crs is None:
        target = metric_crs(coarse)
        if target == source:
            return target, []
        return target, [f"points are in {crs_name(source)}: reprojected to {crs_name(target)}"]
    target = CRS(parse_crs(crs))
    if not is_metric(target):
        raise UsageError(f"{crs_name(target)} is not projected in metres", "choose a UTM zone")
    box = bounds_to(cloud.bounds, source, target)
    side = max(box[2] - box[0], box[3] - box[1], 1.0)
    there = GeoBox.from_bbox((box[0], box[1], box[0] + side, box[1] + side), target, shape=(4, 4))
    if abs(math.log(scale_of(there))) > math.log1p(WORST_SCALE):
        raise UsageError(
            f"a metre of {crs_name(target)} is {1 / scale_of(there):.3g} m on the ground there",
            f"choose for example {crs_name(utm_of(coarse))}",
        )
    return target, []
