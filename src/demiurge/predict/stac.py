"""A STAC item beside a surface, so that catalogues can list it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.outputs import whole_file
from demiurge.predict.surface import BandInfo
from demiurge.scene.grid import epsg_of, wkt

_VERSION = "1.0.0"
_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]


def write_item(path: Path, grid: GeoBox, bands: list[BandInfo], tags: dict[str, str]) -> Path:
    """Write ``<name>.stac.json`` beside a surface and return its path.

    Follows STAC 1.0 with the projection and raster extensions.
    """
    item = path.with_suffix(".stac.json")
    text = json.dumps(describe(path, grid, bands, tags), indent=1)
    with whole_file(item, overwrite=True) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return item


def describe(
    path: Path, grid: GeoBox, bands: list[BandInfo], tags: dict[str, str]
) -> dict[str, Any]:
    """Return a surface as a STAC item."""
    from rasterio.warp import transform_bounds, transform_geom

    box = grid.extent.boundingbox
    corners = [(box.left, box.bottom), (box.right, box.bottom), (box.right, box.top),
               (box.left, box.top), (box.left, box.bottom)]  # fmt: skip
    outline = transform_geom(wkt(grid), "EPSG:4326", {"type": "Polygon", "coordinates": [corners]})
    epsg = None if grid.crs is None else epsg_of(grid.crs)
    code = {"proj:code": f"EPSG:{epsg}"} if epsg else {"proj:wkt2": grid.crs.to_wkt()}  # type: ignore[union-attr]
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": _EXTENSIONS,
        "id": path.stem,
        "geometry": {"type": "Polygon", "coordinates": outline["coordinates"]},
        "bbox": list(transform_bounds(wkt(grid), "EPSG:4326", *box.bbox)),
        "properties": {
            "datetime": made,
            "created": made,
            "gsd": abs(grid.affine.a),
            **code,
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
            **{f"demiurge:{key}": value for key, value in tags.items() if key != "AREA_OR_POINT"},
        },
        "links": [],
        "assets": {
            "surface": {
                "href": f"./{path.name}",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "raster:bands": [
                    {
                        "name": band.name,
                        "description": band.about,
                        "data_type": "float32",
                        "unit": band.unit,
                        "nodata": "nan",
                        "sampling": tags.get("AREA_OR_POINT", "Area").lower(),
                    }
                    for band in bands
                ],
            }
        },
    }
