"""STAC item of a surface, next to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.outputs import atomic_file
from demiurge.predict.surface import BandInfo
from demiurge.scene.crs import on_earth
from demiurge.scene.grid import LOCAL_NAME, epsg_of, wkt
from demiurge.scene.scene import Scene, Span
from demiurge.scene.views import from_true_north

_VERSION = "1.1.0"
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
_VIEW = "https://stac-extensions.github.io/view/v1.0.0/schema.json"
#: Tags that the item states in other fields.
_NOT_COPIED = ("AREA_OR_POINT", "view", "view_left", "view_right", "sun")
_GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
_TYPES = {
    ".tif": _GEOTIFF,
    ".tiff": _GEOTIFF,
    ".vrt": "application/xml",
    ".zarr": "application/vnd+zarr",
}


def item_path(path: Path) -> Path:
    """Return the path of the item of a surface."""
    return path.with_suffix(".stac.json")


@contextmanager
def published_with_item(
    path: Path,
    scene: Scene,
    bands: list[BandInfo],
    tags: Mapping[str, str],
    *,
    wanted: bool,
) -> Iterator[None]:
    """Write the item before the surface is written, and publish it afterwards."""
    if not wanted:
        yield
        return
    with atomic_file(item_path(path), overwrite=True) as partial:
        text = item_text(path, scene, bands, dict(tags))
        partial.write_text(text, encoding="utf-8")
        yield


def item_text(path: Path, scene: Scene, bands: list[BandInfo], tags: Mapping[str, str]) -> str:
    """Return a surface as a STAC 1.1 item, as JSON.

    It has the extensions projection and raster, and view if a direction is known.

    Parameters
    ----------
    path
        The surface.
    scene
        The scene that it was predicted from.
    """
    grid, views = scene.grid, _views(scene)
    viewed = any(key.startswith("view:") for key in views)
    item = {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [_PROJECTION, _RASTER, *([_VIEW] if viewed else [])],
        "id": path.stem,
        **_footprint(grid),
        "properties": {
            **_times(scene.acquired()),
            "gsd": abs(grid.affine.a),
            **_code(grid),
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
            **views,
            **{f"demiurge:{key}": value for key, value in tags.items() if key not in _NOT_COPIED},
        },
        "links": [],
        "assets": {"surface": _asset(path, bands, tags)},
    }
    return json.dumps(item, indent=1) + "\n"


def _views(scene: Scene) -> dict[str, Any]:
    """Return the fields of the view extension; their azimuths are from true north.

    The extension describes one view. Two views are a list of this package's own field.
    """
    fields: dict[str, Any] = {}
    if scene.sun is not None:
        sun = from_true_north(scene.sun, scene.grid)
        fields["view:sun_azimuth"] = round(sun.azimuth, 2)
        fields["view:sun_elevation"] = round(sun.elevation, 2)
    views = [(name, from_true_north(view, scene.grid)) for name, view in scene.views.items()]
    angles = [
        {"azimuth": round(view.azimuth, 2), "incidence_angle": round(view.incidence, 2)}
        for _, view in views
    ]
    if len(views) == 1:
        return {**fields, **{f"view:{key}": value for key, value in angles[0].items()}}
    if views:
        fields["demiurge:views"] = [
            {"layer": name, **pair} for (name, _), pair in zip(views, angles, strict=True)
        ]
    return fields


def _asset(path: Path, bands: list[BandInfo], tags: Mapping[str, str]) -> dict[str, Any]:
    sampling = tags.get("AREA_OR_POINT", "Area").lower()
    return {
        "href": f"./{path.name}",
        "type": _TYPES[path.suffix.lower()],
        "roles": ["data"],
        "bands": [
            {
                "name": band.name,
                "description": band.about,
                "data_type": "float32",
                "unit": band.unit,
                "nodata": "nan",
                "raster:sampling": sampling,
            }
            for band in bands
        ],
    }


def _times(span: Span | None) -> dict[str, str | None]:
    """Return the acquisition time, or the time of processing if that is unknown."""
    made = _stamp(datetime.now(UTC))
    if span is None:
        return {"datetime": made, "created": made}
    first, last = (_stamp(moment) for moment in span)
    if first == last:
        return {"datetime": first, "created": made}
    return {"datetime": None, "start_datetime": first, "end_datetime": last, "created": made}


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _footprint(grid: GeoBox) -> dict[str, Any]:
    """Return the outline in degrees; no geometry for an image without georeference."""
    from rasterio.warp import transform_bounds, transform_geom

    if not on_earth(grid.crs):
        return {"geometry": None}
    assert grid.crs is not None
    if grid.crs.proj.name == LOCAL_NAME:
        return {"geometry": None}
    box = grid.extent.boundingbox
    corners = [(box.left, box.bottom), (box.right, box.bottom), (box.right, box.top),
               (box.left, box.top), (box.left, box.bottom)]  # fmt: skip
    outline = transform_geom(wkt(grid), "EPSG:4326", {"type": "Polygon", "coordinates": [corners]})
    return {
        "geometry": {"type": outline["type"], "coordinates": outline["coordinates"]},
        "bbox": list(transform_bounds(wkt(grid), "EPSG:4326", *box.bbox)),
    }


def _code(grid: GeoBox) -> dict[str, str | None]:
    assert grid.crs is not None
    epsg = epsg_of(grid.crs)
    if epsg:
        return {"proj:code": f"EPSG:{epsg}"}
    return {"proj:code": None, "proj:wkt2": grid.crs.to_wkt()}
