"""A small world on loopback: items of generated COGs, served by a STAC API that others wrote.

``rustac serve`` answers the searches. Its answers and the COGs pass the faulty server.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Transformer
from rasterio.transform import from_origin

from conftest import write_raster

from .faulty import Server, serving

#: Corner and size in pixels of 10 m of the Sentinel-2 tile, in EPSG:32632.
LEFT, TOP, SIZE = 399000.0, 5100000.0, 300
CRS = "EPSG:32632"
#: Area in the middle of the tile: W, S, E, N.
BBOX = (7.7050, 46.0305, 7.7180, 46.0390)


def reflectance(size: int = SIZE, base: float = 0.1) -> np.ndarray:
    """A plane of reflectance that rises to the east and the south."""
    row, col = np.mgrid[:size, :size]
    return base + 0.0001 * col + 0.0002 * row


def heights(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Heights in metres at longitude and latitude: planes around full degrees, also at 180°."""
    return (1500 + 2000 * (lon - np.rint(lon)) + 3000 * (lat - np.rint(lat))).astype(np.float32)


@dataclass
class World:
    """Items and files; ``serve`` starts the services."""

    folder: Path
    items: list[dict[str, Any]] = field(default_factory=list)

    def cog(self, name: str, data: np.ndarray, pixel: float = 10.0, **profile: Any) -> str:
        profile.setdefault("crs", CRS)
        profile.setdefault("transform", from_origin(LEFT, TOP, pixel, pixel))
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_raster(path, data, tiled=True, blockxsize=64, blockysize=64, compress="deflate",
                     **profile)  # fmt: skip
        return f"URL/data/{name}"

    def item(
        self, name: str, collection: str, when: str, assets: dict[str, Any], box: Any, **more: Any
    ) -> None:
        w, s, e, n = box
        ring = [[w, s], [e, s], [e, n], [w, n], [w, s]]
        self.items.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
                "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": list(box),
                "properties": {"datetime": when, **more}, "links": [], "assets": assets,
            }
        )  # fmt: skip

    def sentinel2(
        self,
        name: str,
        when: str = "2024-07-01T10:30:00Z",
        *,
        scl: np.ndarray | int = 4,
        dn_offset: int = 0,
        base: float = 0.1,
        cloud: float = 5.0,
        crs: str = CRS,
        left: float = LEFT,
        top: float = TOP,
        bands: dict[str, Any] | None = None,
        drop: tuple[str, ...] = (),
        box: Any = None,
        **more: Any,
    ) -> None:
        """Add an item in Earth Search's form; DN = 10000 · reflectance + ``dn_offset``."""
        place = {"crs": crs, "transform": from_origin(left, top, 10, 10)}
        assets: dict[str, Any] = {}
        for index, key in enumerate(("red", "green", "blue", "nir")):
            if key in drop:
                continue
            dn = np.rint(reflectance(base=base + 0.05 * index) * 10000 + dn_offset)
            href = self.cog(f"{name}/{key}.tif", dn.astype(np.uint16), nodata=0, **place)
            assets[key] = {"href": href, "raster:bands": [bands]} if bands else {"href": href}
        flags = np.full((SIZE // 2, SIZE // 2), scl, np.uint8)
        coarse = {"crs": crs, "transform": from_origin(left, top, 20, 20)}
        assets["scl"] = {"href": self.cog(f"{name}/scl.tif", flags, **coarse)}
        properties = {
            "eo:cloud_cover": cloud, "view:sun_azimuth": 150.0, "view:sun_elevation": 60.0,
            "proj:epsg": int(crs.removeprefix("EPSG:")),
            "proj:transform": [10, 0, left, 0, -10, top],
        } | more  # fmt: skip
        bounds = box or bounds_of(crs, left, top)
        self.item(name, "sentinel-2-l2a", when, assets, bounds, **properties)

    def landsat(self, name: str, when: str) -> None:
        """Add an item of Landsat Collection 2, whose edges are odd multiples of 15 m."""
        place = {"crs": CRS, "transform": from_origin(LEFT + 15, TOP - 15, 30, 30)}
        assets: dict[str, Any] = {}
        for index, key in enumerate(("red", "green", "blue", "nir08")):
            dn = np.rint((reflectance(100, 0.1 + 0.05 * index) + 0.2) / 2.75e-5)
            assets[key] = {
                "href": self.cog(f"{name}/{key}.tif", dn.astype(np.uint16), nodata=0, **place),
                "raster:bands": [{"scale": 2.75e-05, "offset": -0.2, "nodata": 0}],
            }
        flags = np.full((100, 100), 21824, np.uint16)
        assets["qa_pixel"] = {"href": self.cog(f"{name}/qa.tif", flags, nodata=1, **place)}
        self.item(name, "landsat-c2-l2", when, assets, bounds_of(CRS, LEFT, TOP), **{
            "eo:cloud_cover": 1.0, "view:sun_azimuth": 140.0, "view:sun_elevation": 50.0,
            "proj:epsg": 32632, "proj:transform": [30, 0, LEFT + 15, 0, -30, TOP - 15],
        })  # fmt: skip

    def hls(self, name: str, when: str) -> None:
        """Add an item of HLS: red 0.1, NIR 0.3; the other NIR band of S30 is 0.9."""
        place = {"crs": CRS, "transform": from_origin(LEFT, TOP, 30, 30)}
        nir = "B8A" if "S30" in name else "B05"
        values = {"B02": 0.05, "B03": 0.08, "B04": 0.1, "B08": 0.9, nir: 0.3}
        assets = {}
        for key, value in values.items():
            dn = np.full((100, 100), round(value * 10000), np.int16)
            dn[:5] = -9999
            assets[key] = {"href": self.cog(f"{name}/{key}.tif", dn, nodata=-9999, **place)}
        flags = np.full((100, 100), 64, np.uint8)
        assets["Fmask"] = {"href": self.cog(f"{name}/fmask.tif", flags, nodata=255, **place)}
        collection = "hls2-s30" if "S30" in name else "hls2-l30"
        self.item(name, collection, when, assets, bounds_of(CRS, LEFT, TOP), **{
            "eo:cloud_cover": 1, "MEAN_SUN_AZIMUTH_ANGLE": 140, "MEAN_SUN_ZENITH_ANGLE": 40.0,
        })  # fmt: skip

    def dem(self, west: int = 7, south: int = 46, count: int = 3600, name: str = "") -> None:
        """Add a tile of Copernicus DEM, cut to a band of latitudes that the tests need."""
        step, rows = 1 / count, count // 15
        top = south + rows * step
        row, col = np.mgrid[:rows, :count]
        data = heights(west + (col + 0.5) * step, top - (row + 0.5) * step)
        name = name or f"dem_{south}_{west}"
        href = self.cog(f"{name}.tif", data, crs="EPSG:4326",
                        transform=from_origin(west, top, step, step))  # fmt: skip
        self.item(name, "cop-dem-glo-30", "2021-04-22T00:00:00Z", {"data": {"href": href}},
                  (west, south, west + 1, top))  # fmt: skip

    @contextmanager
    def serve(self) -> Iterator[Server]:
        with serving(self.folder) as server:
            for item in self.items:
                for asset in item["assets"].values():
                    asset["href"] = asset["href"].replace("URL", server.url)
            with stac_api(self.folder, self.items, server):
                yield server


def bounds_of(crs: str, left: float, top: float) -> tuple[float, float, float, float]:
    to = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x = [left, left + SIZE * 10, left, left + SIZE * 10]
    y = [top, top, top - SIZE * 10, top - SIZE * 10]
    lon, lat = to.transform(x, y)
    return min(lon), min(lat), max(lon), max(lat)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def stac_api(folder: Path, items: list[dict[str, Any]], server: Server) -> Iterator[None]:
    """Serve items with ``rustac serve``, through the faulty server."""
    program = shutil.which("rustac") or str(Path(sys.executable).with_name("rustac"))
    source, port = folder / "items.json", free_port()
    source.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with subprocess.Popen(
        [program, "serve", str(source), "--create-collections", "--use-duckdb", "false",
         "--addr", server.url, "--bind", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            upstream = f"http://127.0.0.1:{port}"
            for _ in range(200):
                with suppress(urllib.error.URLError):
                    urllib.request.urlopen(upstream, timeout=5).close()
                    break
                assert process.poll() is None, "rustac serve ended"
                time.sleep(0.02)
            server.upstream = upstream
            yield
        finally:
            process.terminate()
