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

_VERSION = "1.1.0"
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
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
        text = item_text(path, scene.grid, bands, dict(tags), scene.acquired())
        partial.write_text(text, encoding="utf-8")
        yield


def item_text(
    path: Path,
    grid: GeoBox,
    bands: list[BandInfo],
    tags: dict[str, str],
    span: Span | None = None,
) -> str:
    """Return a surface as a STAC 1.1 item with the projection and raster extensions, as JSON.

    Parameters
    ----------
    path
        The surface.
    span
        First and last acquisition time of its images; None if unknown.
    """
    item = {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [_PROJECTION, _RASTER],
        "id": path.stem,
        **_footprint(grid),
        "properties": {
            **_times(span),
            "gsd": abs(grid.affine.a),
            **_code(grid),
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
            **{f"demiurge:{key}": value for key, value in tags.items() if key != "AREA_OR_POINT"},
        },
        "links": [],
        "assets": {"surface": _asset(path, bands, tags)},
    }
    return json.dumps(item, indent=1) + "\n"


def _asset(path: Path, bands: list[BandInfo], tags: dict[str, str]) -> dict[str, Any]:
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
