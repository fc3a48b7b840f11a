"""Windows of remote rasters: read over HTTP ranges, stored complete in a cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, DemiurgeError, ResourceError
from demiurge.fetching.cache import Cache
from demiurge.fetching.catalogues import Sign
from demiurge.fetching.http import Client, shown
from demiurge.scene.crs import is_degrees
from demiurge.scene.files import NETWORK, open_raster
from demiurge.scene.footprint import bounds_in, centre, source_window
from demiurge.scene.georeference import grid_of
from demiurge.scene.grid import Window, window_grid, wkt

#: Settings of GDAL for windows of remote files, in addition to the limits of all requests.
_READING = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}
#: Numbers for the fragment of a URL, which is not sent: GDAL remembers faults by URL.
_TRIES = count(2)
#: Pixels around a window, for resampling.
MARGIN = 8
#: Version of the cache's content.
_VERSION = 1
_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "float32": "Float32", "float64": "Float64",
}  # fmt: skip


@dataclass
class Access:
    """How the files of one service are read.

    Attributes
    ----------
    client
        Its limits, signature and headers also apply to windows.
    cache
        Where windows are stored.
    downloads
        URLs of the windows that were downloaded, not found in the cache.
    """

    client: Client
    cache: Cache
    downloads: list[str] = field(default_factory=list)

    @property
    def sign(self) -> Sign | None:
        """Return the function that signs URLs."""
        return self.client.sign


def window_of(url: str, target: GeoBox, access: Access) -> Path | None:
    """Return a local file with the window of a remote raster that covers a grid.

    The pixels are unchanged, in the raster's own grid, with a margin. A window is downloaded once.

    Parameters
    ----------
    url
        A raster with overlapping extent or not, without a signature.
    target
        The grid to cover.

    Returns
    -------
    The file, or None if the raster does not overlap the grid.

    Raises
    ------
    ResourceError
        If the service does not send the complete window.
    DataError
        If the file is no raster.
    """
    a = target.affine
    cache = access.cache
    path = cache.path(_VERSION, url, str(target.crs), tuple(a)[:6], tuple(target.shape))
    empty = path.with_suffix(".none.tif")
    if empty.exists():
        cache.used.add(empty)
        return None

    def make(partial: Path) -> None:
        _download(url, target, access, partial)
        access.downloads.append(url)

    try:
        return cache.get(path, make)
    except _DisjointError:
        cache.get(empty, Path.touch)
        return None


class _DisjointError(Exception):
    """The raster does not overlap the grid."""


def _download(url: str, target: GeoBox, access: Access, partial: Path) -> None:
    """Copy a window to a file; repeat after faults of the service."""
    limits, fresh = access.client.limits, False
    for attempt in range(1, limits.tries + 1):
        # The client finds out precisely what is wrong with a URL, and signs it again.
        access.client.size(url)
        signed = url if access.sign is None else access.sign(url, fresh)
        if attempt > 1:
            signed += f"#{next(_TRIES)}"
        try:
            _copy(signed, target, access, partial)
            return
        except _DisjointError:
            raise
        except (DemiurgeError, OSError) as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, DataError) and not _is_passing(error):
                raise DataError(f"{shown(url)}: is not a raster that GDAL can read") from None
            if attempt == limits.tries:
                raise ResourceError(
                    f"{shown(url)}: cannot be read ({_reason(error, signed)}, {attempt} tries)",
                    "try again later; finished downloads are kept",
                ) from None
            fresh = access.sign is not None and "403" in str(error)
            time.sleep(min(limits.pause * 2 ** (attempt - 1), limits.longest_pause))


def _is_passing(error: DataError) -> bool:
    return "cannot be read" in str(error)


def _reason(error: Exception, signed: str) -> str:
    """Return GDAL's reason without the signed URL."""
    text = str(error.__cause__ or error).replace(signed, shown(signed)).strip().rstrip(".")
    if "(" in text and "cannot be reached" in text:
        text = text.partition("cannot be reached (")[2].partition(")")[0]
    return " ".join(text.split())[:160] or type(error).__name__


def _copy(signed: str, target: GeoBox, access: Access, partial: Path) -> None:
    from rasterio import shutil as raster_files
    from rasterio.errors import RasterioError

    name = f"/vsicurl/{signed}"
    with _environment(access):
        with open_raster(name) as dataset:
            source = grid_of(name, dataset)
            window = source_window(source, target, MARGIN)
            if window is None:
                raise _DisjointError
            text = _vrt(name, dataset, _turned(window_grid(source, window), target), window)
        try:
            raster_files.copy(
                text, partial, driver="GTiff", compress="deflate", tiled=True, bigtiff="if_safer"
            )
        except RasterioError as error:
            raise OSError(str(error.__cause__ or error)) from error
    if not partial.exists():
        raise OSError("nothing was written")


def _turned(grid: GeoBox, target: GeoBox) -> GeoBox:
    """Return a grid in degrees on the same turn of longitude as a target."""
    if not is_degrees(grid.crs):
        return grid
    left, _, right, _ = bounds_in(target, grid.crs)
    turns = round(((left + right) / 2 - centre(grid)[0]) / 360)
    return grid.translate_pix(round(turns * 360 / grid.affine.a), 0) if turns else grid


def _vrt(name: str, dataset: Any, grid: GeoBox, window: Window) -> str:
    """Return a virtual raster of the first band of a window."""
    a = grid.affine
    place = f'yOff="{window.row}" xSize="{window.width}" ySize="{window.height}"'
    nodata = dataset.nodatavals[0]
    declared = "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>"
    kind = _TYPES.get(dataset.dtypes[0], "Float64")
    return (
        f'<VRTDataset rasterXSize="{window.width}" rasterYSize="{window.height}">'
        f"<SRS>{escape(wkt(grid))}</SRS>"
        f"<GeoTransform>{a.c!r},{a.a!r},{a.b!r},{a.f!r},{a.d!r},{a.e!r}</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1">{declared}<SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename>'
        f'<SourceBand>1</SourceBand><SrcRect xOff="{window.col}" {place}/>'
        f'<DstRect xOff="0" yOff="0" xSize="{window.width}" ySize="{window.height}"/>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


@contextmanager
def _environment(access: Access) -> Iterator[None]:
    """Set GDAL's limits and headers for this thread."""
    import rasterio

    limits = access.client.limits
    settings = {
        **NETWORK,
        **_READING,
        "GDAL_HTTP_CONNECTTIMEOUT": f"{max(1, round(limits.connect))}",
        "GDAL_HTTP_TIMEOUT": f"{max(1, round(limits.total))}",
        "GDAL_HTTP_LOW_SPEED_TIME": f"{max(1, round(limits.silence))}",
        "GDAL_HTTP_MAX_RETRY": f"{limits.tries}",
        "GDAL_HTTP_RETRY_DELAY": f"{limits.pause:g}",
    }
    if access.client.headers:
        lines = "\r\n".join(f"{key}: {value}" for key, value in access.client.headers.items())
        settings["GDAL_HTTP_HEADERS"] = lines
    with rasterio.Env(**settings):
        yield
