"""Public lidar services and their tile indices: from bounds to files.

Each service is one entry of ``SERVICES``. Their addresses follow public documentation and users of
the services; ``--index`` replaces an address that has changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

from demiurge.errors import DataError, ResourceError
from demiurge.fetching.http import Client
from demiurge.scene.crs import parse_crs, transform
from demiurge.scene.grid import Bounds
from demiurge.tables import open_geopackage

ServiceName = Literal["3dep", "ign", "ahn"]
#: Properties of a tile that name its file, in the order of preference.
_LOCATIONS = ("url", "location", "href", "download", "filename", "file")
_WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class LidarService:
    """A public service of point clouds.

    Attributes
    ----------
    title, licence
        For notes and provenance.
    index
        URL of its tile index: GeoJSON, GeoPackage, or a WFS that answers GeoJSON.
    crs
        CRS of the index, if it declares none.
    query
        Parameters of the request; ``{bounds}`` is replaced by left,bottom,right,top in ``crs``.
    template
        URL of a tile from its properties; if empty, the property that names the file.
    """

    title: str
    licence: str
    index: str
    crs: str = _WGS84
    query: Mapping[str, str] = field(default_factory=dict)
    template: str = ""


SERVICES: dict[str, LidarService] = {
    "3dep": LidarService(
        "USGS 3D Elevation Program",
        "public domain, USGS 3DEP (AWS usgs-lidar-public)",
        "https://raw.githubusercontent.com/hobuinc/usgs-lidar/master/boundaries/resources.geojson",
    ),
    "ign": LidarService(
        "IGN LiDAR HD",
        "Licence Ouverte / Etalab 2.0, IGN",
        "https://data.geopf.fr/wfs/ows",
        "EPSG:2154",
        {
            "SERVICE": "WFS",
            "VERSION": "2.0.0",
            "REQUEST": "GetFeature",
            "TYPENAMES": "IGNF_NUAGES-DE-POINTS-LIDAR-HD:dalle",
            "OUTPUTFORMAT": "application/json",
            "SRSNAME": "EPSG:2154",
            "BBOX": "{bounds},urn:ogc:def:crs:EPSG::2154",
            "COUNT": "1000",
        },
    ),
    "ahn": LidarService(
        "Actueel Hoogtebestand Nederland (AHN5)",
        "CC0 1.0, AHN",
        "https://basisdata.nl/hwh-ahn/AUX/bladwijzer_AHN6.gpkg",
        "EPSG:28992",
        template="https://basisdata.nl/hwh-ahn/AHN5_KM/01_LAZ/AHN5_C_{left:06.0f}_{bottom:06.0f}"
        ".COPC.LAZ",
    ),
}


@dataclass(frozen=True)
class LidarTile:
    """An entry of a tile index: its file, and its outline in degrees (shapely)."""

    url: str
    outline: Any


def find_tiles(
    service: LidarService, index: str, where: Bounds, client: Client, work: Path
) -> list[LidarTile]:
    """Return the tiles of a service that overlap bounds in degrees.

    Parameters
    ----------
    index
        URL or file of the index.
    work
        Folder for downloaded indices.

    Raises
    ------
    ResourceError
        If the service does not answer, or has no tile there.
    DataError
        If the index is not usable.
    """
    tiles = list(read_index(index, service, where, client, work))
    if not tiles:
        raise ResourceError(
            f"{service.title} has no tile at {','.join(f'{v:g}' for v in where)}",
            "choose another place with --where W,S,E,N, or another service with --from",
        )
    return tiles


def read_index(
    index: str, service: LidarService, where: Bounds | None, client: Client, work: Path
) -> Iterator[LidarTile]:
    """Yield the tiles of an index that overlap bounds in degrees, or all.

    Raises
    ------
    ResourceError, DataError
        As for :func:`find_tiles`.
    """
    import shapely

    area = None if where is None else shapely.box(*where)
    for properties, outline in _entries(index, service, where, client, work):
        if area is not None and not outline.intersects(area):
            continue
        url = _url(index, service, properties)
        if url:
            yield LidarTile(url, outline)


def _url(index: str, service: LidarService, properties: Mapping[str, Any]) -> str:
    """Return the file of a tile; an empty text if the index names none."""
    lower = {str(key).lower(): value for key, value in properties.items()}
    named = next((str(lower[k]) for k in _LOCATIONS if lower.get(k)), "")
    if not named and service.template:
        try:
            return service.template.format_map({k: _number(v) for k, v in lower.items()})
        except (KeyError, ValueError, TypeError):
            raise DataError(
                f"{index}: its tiles have no properties {service.template.rpartition('/')[2]}",
                "give another index with --index",
            ) from None
    if not named:
        keys = ", ".join(map(str, properties)) or "none"
        raise DataError(
            f"{index}: its tiles name no file (properties: {keys})",
            "add a property 'url' or 'location'",
        )
    if index.startswith(("http://", "https://")):
        return urljoin(index, named)
    if named.startswith(("http://", "https://", "/")):
        return named
    return str(Path(index).parent / named)


def _number(value: Any) -> Any:
    """Return a text that is a number as one."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _entries(
    index: str, service: LidarService, where: Bounds | None, client: Client, work: Path
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield properties and outline in degrees of the tiles of an index."""
    remote = index.startswith(("http://", "https://"))
    if Path(index.partition("?")[0]).suffix.lower() == ".gpkg":
        path = Path(index)
        if remote:
            path = work / "index.gpkg"
            path.write_bytes(client.get(index))
        yield from _geopackage(index, path, service)
        return
    if remote:
        content = client.get_json(index, params=_query(service, where))
    else:
        try:
            content = json.loads(Path(index).read_text(encoding="utf-8"))
        except OSError as error:
            raise ResourceError(f"{index}: cannot be read ({error.strerror})", "check it") from None
        except ValueError:
            raise DataError(f"{index}: is not GeoJSON", "give GeoJSON or a GeoPackage") from None
    yield from _geojson(index, content, service)


def _query(service: LidarService, where: Bounds | None) -> dict[str, str]:
    """Return the parameters of a request for bounds in degrees."""
    if where is None:
        return {}
    box = ",".join(f"{value:.9g}" for value in bounds_to(where, _WGS84, service.crs))
    return {key: value.replace("{bounds}", box) for key, value in service.query.items()}


def bounds_to(bounds: Bounds, source: Any, target: Any) -> Bounds:
    """Return the bounds in another CRS; the outline is sampled."""
    import numpy as np

    left, bottom, right, top = bounds
    share = np.linspace(0, 1, 21)
    x, y = np.meshgrid(left + share * (right - left), bottom + share * (top - bottom))
    x, y = transform(x, y, source, target)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise DataError(
            f"bounds {left:g},{bottom:g},{right:g},{top:g} are outside the domain of the CRS",
            "check the bounds and the CRS",
        )
    x, y = x[known], y[known]
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _geojson(
    index: str, content: Any, service: LidarService
) -> Iterator[tuple[dict[str, Any], Any]]:
    import shapely
    from shapely.geometry import shape

    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise DataError(
            f"{index}: is not a GeoJSON collection of features", "check the address of the index"
        )
    declared = ((content.get("crs") or {}).get("properties") or {}).get("name")
    crs = str(declared or (service.crs if service.query else _WGS84))
    for feature in features:
        try:
            outline = shape(feature["geometry"])
            properties = dict(feature.get("properties") or {})
        except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
            raise DataError(
                f"{index}: a feature has no outline", "check the address of the index"
            ) from None
        yield properties, _in_degrees(outline, crs)


def _geopackage(
    index: str, path: Path, service: LidarService
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the features of the first layer of a GeoPackage."""
    import shapely

    try:
        with open_geopackage(path) as base:
            found = base.execute(
                "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns"
            ).fetchone()
            if found is None:
                raise DataError(f"{index}: contains no layer of outlines", "check the index")
            table, column, srs = found
            cursor = base.execute(f'SELECT * FROM "{table}"')
            names = [entry[0] for entry in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
            row = base.execute(
                "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys "
                "WHERE srs_id = ?",
                (srs,),
            ).fetchone()
    except sqlite3.Error as error:
        raise DataError(
            f"{index}: is not a GeoPackage ({error})", "check it with ogrinfo"
        ) from None
    crs = f"{row[0]}:{row[1]}" if row and int(row[1]) > 0 else service.crs
    for properties in rows:
        blob = properties.pop(column)
        if blob:
            start = 8 + {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}.get((blob[3] >> 1) & 7, 0)
            yield properties, _in_degrees(shapely.from_wkb(bytes(blob[start:])), crs)


def _in_degrees(outline: Any, crs: str) -> Any:
    """Return an outline (shapely) in longitude and latitude."""
    import numpy as np
    import shapely

    source = parse_crs(crs)
    if source == parse_crs(_WGS84) or "CRS84" in crs:
        return outline

    def project(points: Any) -> Any:
        return np.column_stack(transform(points[:, 0], points[:, 1], source, _WGS84))

    return shapely.transform(outline, project)
