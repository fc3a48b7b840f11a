"""Names of rasters as users and GDAL write them: paths, bands, URLs, subdatasets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

#: A path as text or as an object.
PathLike = str | os.PathLike[str]


@runtime_checkable
class Labelled(Protocol):
    """An array with named dimensions and coordinates: a DataArray or Dataset of xarray."""

    def isel(self, *given: Any, **named: Any) -> Any:
        """Return a part, by indices along dimensions."""

    def assign_attrs(self, *given: Any, **named: Any) -> Any:
        """Return the object with further attributes."""


#: A raster: its path, or an object of xarray.
RasterLike = PathLike | Labelled

_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "ftp://")
_REMOTE_VSI = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)")
#: ``NETCDF:"file.nc":variable`` and similar names; a single letter is a Windows drive.
_DRIVER = re.compile(r"^[A-Za-z][A-Za-z0-9_]+:(?!//)")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_ARCHIVE = re.compile(r"(?:zip|tar|gzip|zip\+file|tar\+file)://(.+?)(?:!|$)", re.IGNORECASE)
#: Entries that mark a folder as a raster: a Zarr store or an Esri grid.
_RASTER_FOLDERS = (".zgroup", ".zarray", ".zmetadata", "zarr.json", "hdr.adf")


def is_remote(path: str) -> bool:
    """Return whether GDAL resolves the path, rather than the file system."""
    driver = bool(_DRIVER.match(path)) and not is_there(path)
    return path.startswith("/vsi") or driver or bool(_SCHEME.match(path))


def is_network(path: str) -> bool:
    """Return whether the raster is on another machine."""
    return path.startswith(_REMOTE) or bool(_REMOTE_VSI.search(path)) or "://http" in path


def resolved(path: str | Path) -> str:
    """Return a path in GDAL's form: ``file://`` URLs become plain paths."""
    text = str(path)
    return unquote(urlsplit(text).path) if text.lower().startswith("file://") else text


def is_raster_folder(path: str | Path) -> bool:
    """Return whether a folder is itself a raster: a Zarr store or an Esri grid."""
    folder = Path(resolved(path))
    return folder.is_dir() and any((folder / name).exists() for name in _RASTER_FOLDERS)


def is_there(text: str) -> bool:
    """Return whether a file or folder with exactly this name exists."""
    try:
        return Path(resolved(text)).exists()
    except (OSError, ValueError):  # too long, or a null byte: the text of a VRT
        return False


def split_band(text: str) -> tuple[str, int | None]:
    """Split ``file.tif:3`` into path and band number; the band is None if not given.

    An existing file of that name and URLs with a port stay in one piece.

    >>> split_band("C:/a.tif"), split_band("a.tif:2")
    (('C:/a.tif', None), ('a.tif', 2))
    """
    match = re.fullmatch(r"(.+):(\d+)", text)
    if not match or is_there(text):
        return text, None
    if _SCHEME.match(match[1]) and re.fullmatch(r"[a-z]+://[^/]+", match[1], re.IGNORECASE):
        return text, None  # a port
    return match[1], int(match[2])


def local_file(path: str | Path) -> Path | None:
    """Return the local file or folder behind a raster's name; None if it is not known.

    The path of an archive or of a quoted subdataset is extracted from the name.
    """
    text = resolved(path)
    if text.startswith("<") or is_network(text):
        return None
    if not is_remote(text):
        return Path(text)
    quoted = re.search(r'"([^"]+)"', text)
    if quoted and _DRIVER.match(text):
        return local_file(quoted[1])
    archive = _ARCHIVE.match(text)
    return Path(archive[1]) if archive else None
