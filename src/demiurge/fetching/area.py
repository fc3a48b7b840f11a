"""The area of a scene: from a bounding box, a geometry or a raster to a grid in metres."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.fetching.options import FetchOptions
from demiurge.fetching.search import SceneItem
from demiurge.scene.crs import parse_crs
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import bounds_in, is_plain, utm_of
from demiurge.scene.georeference import grid_of
from demiurge.scene.grid import Bounds, cropped_grid, is_metric, snapped_grid

_DEGREES = CRS("EPSG:4326")
#: Largest number of pixels of a scene; more are probably a mistake in the area.
MOST_PIXELS = 10**9


def area_of(options: FetchOptions) -> GeoBox:
    """Return the area as a grid: of a raster its own, else one pixel in degrees.

    Raises
    ------
    UsageError
        If not exactly one of bounding box, geometry and raster is given.
    ResourceError, DataError
        If the file cannot be read or has no area.
    """
    given = [x for x in (options.bbox, options.geometry, options.like) if x is not None]
    if len(given) != 1:
        raise UsageError(
            "the area is given " + ("several times" if given else "not at all"),
            "give one of --bbox, --geometry and --like",
        )
    if options.like is not None:
        with open_raster(str(options.like)) as dataset:
            return grid_of(str(options.like), dataset)
    box = (
        options.bbox if options.bbox is not None else geometry_bounds(Path(options.geometry or ""))
    )
    left, bottom, right, top = checked_box(box)
    return GeoBox.from_bbox(
        BoundingBox(left, bottom, right, top, _DEGREES), shape=(1, 1), tight=True
    )


def checked_box(box: Bounds) -> Bounds:
    """Return a bounding box in degrees; across the antimeridian, the east exceeds 180.

    Raises
    ------
    UsageError
        If it is empty or not on the globe.
    """
    west, south, east, north = box
    if not all(math.isfinite(x) for x in box) or not -90 <= south < north <= 90:
        raise UsageError(
            f"the bounding box {','.join(f'{x:g}' for x in box)} has no area",
            "write W,S,E,N in degrees, such as 7.6,45.9,7.8,46.1",
        )
    if max(abs(west), abs(east)) > 360 or west == east or east - west > 180:
        raise UsageError(
            f"the longitudes {west:g} and {east:g} of the bounding box are no area of a scene",
            "write W,S,E,N in degrees; across the antimeridian, W is greater than E",
        )
    return west, south, east + 360 if east < west else east, north


def geometry_bounds(path: Path) -> Bounds:
    """Return the bounds of a GeoJSON file in degrees.

    Raises
    ------
    ResourceError, DataError
        If the file does not exist or is no GeoJSON with an area in degrees.
    """
    import shapely

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name = str((content.get("crs") or {}).get("properties", {}).get("name", "CRS84"))
        parts = [_geometry(part) for part in content.get("features", [content])]
        shapes = [shapely.from_geojson(json.dumps(part)) for part in parts if part]
    except FileNotFoundError:
        raise ResourceError(f"{path}: there is no such file", "check the path") from None
    except (OSError, ValueError, AttributeError, shapely.GEOSException):
        raise DataError(
            f"{path}: is not GeoJSON", "convert it with ogr2ogr -t_srs EPSG:4326 area.geojson"
        ) from None
    if not any(known in name for known in ("CRS84", "4326")):
        raise DataError(
            f"{path}: its CRS is {name}", "convert it with ogr2ogr -t_srs EPSG:4326 area.geojson"
        )
    left, bottom, right, top = (float(x) for x in shapely.total_bounds(shapes))
    if not (left < right and bottom < top):
        raise DataError(f"{path}: has no area", "give a polygon")
    return left, bottom, right, top


def _geometry(part: Any) -> Any:
    return part.get("geometry") if part.get("type") == "Feature" else part


def boxes_of(area: GeoBox) -> list[Bounds]:
    """Return the bounds of an area in degrees, split at the antimeridian."""
    west, south, east, north = bounds_in(area, _DEGREES)
    if east - west >= 360:
        return [(-180.0, south, 180.0, north)]
    if east > 180:
        return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]
    if west < -180:
        return [(west + 360, south, 180.0, north), (-180.0, south, east, north)]
    return [(west, south, east, north)]


def scene_grid(
    area: GeoBox, options: FetchOptions, gsd: float, items: Sequence[SceneItem] = ()
) -> GeoBox:
    """Return the grid of the scene.

    It is that of the raster given by ``--like`` unless ``--gsd`` or ``--crs`` differ; else the UTM
    zone (at the poles, the polar stereographic CRS) at the centre of the area, with pixels that
    coincide with those of an item in that CRS.

    Parameters
    ----------
    gsd
        Pixel size in metres if ``--gsd`` is not given.

    Raises
    ------
    UsageError
        If the CRS is not metric or the scene would have too many pixels.
    """
    if options.crs is None and options.like is not None and is_plain(area):
        crs: Any = area.crs
    else:
        crs = CRS(parse_crs(options.crs)) if options.crs is not None else utm_of(area)
    if not is_metric(crs):
        raise UsageError(f"--crs {options.crs}: is not projected in metres", "choose a UTM zone")
    own = options.like is not None and crs == area.crs
    if own and options.gsd in (None, area.affine.a):
        grid = cropped_grid(area, bounds_in(area, crs))
    else:
        size = options.gsd or gsd
        grid = snapped_grid(bounds_in(area, crs), crs, size, origin=_phase(crs, size, items))
    if grid.shape[0] * grid.shape[1] > MOST_PIXELS:
        raise UsageError(
            f"the scene would have {grid.shape[1]} × {grid.shape[0]} pixels",
            "give a smaller area or a larger --gsd",
        )
    return grid


def _phase(crs: Any, gsd: float, items: Sequence[SceneItem]) -> tuple[float, float]:
    """Return a corner of a pixel of the first item in a CRS with that pixel size."""
    for item in items:
        a = item.affine
        same = a is not None and item.code is not None and CRS(f"EPSG:{item.code}") == crs
        if a is not None and same and math.isclose(abs(a[0]), gsd):
            return a[2], a[5]
    return 0.0, 0.0
