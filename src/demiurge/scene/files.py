"""Opening rasters, and errors for those that cannot be opened or read."""

from __future__ import annotations

import os
import re
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary
from xml.etree import ElementTree

from demiurge.errors import DataError, DemiurgeError, ResourceError
from demiurge.paths import is_network, is_raster_folder, is_remote, local_file, resolved

#: Time limits in seconds to connect, per request and without data, and least bytes per second.
NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_TIMEOUT": "300",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "100",
}

#: Driver of rasters that are arrays in memory, and those that are open, by name.
ARRAY = "xarray"
_ARRAYS: WeakValueDictionary[str, Any] = WeakValueDictionary()
_NAMING, _ARRAY_NAME = threading.Lock(), re.compile(r"<[^<>/]+>")


def name_array(name: str, raster: Any) -> str:
    """Return a name under which :func:`open_raster` opens a raster while that exists.

    Parameters
    ----------
    name
        The wanted name; a number is added if another array has it.
    """
    plain = re.sub(r"[<>/\\]", "_", name)
    with _NAMING:
        number, text = 1, f"<{plain}>"
        while text in _ARRAYS:
            number += 1
            text = f"<{plain} {number}>"
        _ARRAYS[text] = raster
    return text


def open_raster(path: str | Path) -> Any:
    """Open a raster for reading.

    Parameters
    ----------
    path
        A file, a raster folder, or any name that GDAL or rasterio resolves: URLs, ``/vsi…``,
        ``zip://``, subdatasets such as ``NETCDF:"a.nc":z``, the text of a VRT, or the name of an
        array.

    Raises
    ------
    ResourceError
        If the file does not exist or may not be read, or a server does not respond.
    DataError
        If it is not a raster, or contains several.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    text = resolved(path)
    array = _ARRAYS.get(text)
    if array is not None:
        return array
    if _ARRAY_NAME.fullmatch(text):
        raise ResourceError(f"{text}: the array is no longer in memory", "give it again")
    if not text.startswith("<"):
        _require_there(text)
    if is_network(text):
        for key, value in NETWORK.items():
            os.environ.setdefault(key, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = _probed(rasterio.open(text))
    except (RasterioError, ValueError) as error:
        raise _unopened(text, error) from None
    if dataset.count == 0:
        parts = list(dataset.subdatasets)
        dataset.close()
        raise _no_bands(text, parts)
    return dataset


def _probed(dataset: Any) -> Any:
    """Return a dataset whose metadata can be read; damaged files may fail only then."""
    try:
        dataset.tags()
        _ = dataset.crs, dataset.transform, dataset.gcps, dataset.descriptions, dataset.units
        _ = dataset.nodatavals, dataset.scales, dataset.offsets, dataset.colorinterp
    except Exception:
        dataset.close()
        raise
    return dataset


def _require_there(text: str) -> None:
    """Raise unless the local file behind a name exists; GDAL checks remote names."""
    file = local_file(text)
    if file is None:
        return
    if not file.exists():
        raise ResourceError(f"{text}: there is no such file", "check the path")
    if str(file) == text and file.is_dir() and not is_raster_folder(file):
        product = next(iter(sorted(file.glob("MTD_MSIL*.xml"))), None)
        if product is not None:
            raise DataError(
                f"{text}: is a Sentinel-2 product, which contains several rasters",
                f"name one of those that gdalinfo {product} lists",
            )
        raise DataError(f"{text}: is a folder, not a raster", "name the file")


def _unopened(text: str, error: Exception) -> DemiurgeError:
    if is_network(text):
        reason = str(error).strip().rstrip(".") or "no response"
        return ResourceError(
            f"{text}: cannot be reached ({reason})", "check the URL and the connection"
        )
    missing = missing_source(text)
    if missing is not None:
        return missing
    if is_remote(text):
        return ResourceError(
            f"{text}: cannot be opened ({str(error).rstrip('.')})", "check the name with gdalinfo"
        )
    if not os.access(text, os.R_OK):
        return ResourceError(f"{text}: may not be read", "request read permission")
    return DataError(f"{text}: is not a raster that GDAL can read", "check it with gdalinfo")


def _no_bands(text: str, parts: list[str]) -> DataError:
    if not parts:
        return DataError(f"{text}: contains no raster bands", "name another file")
    shown = ", ".join(parts[:6]) + (", …" if len(parts) > 6 else "")
    return DataError(f"{text}: contains {len(parts)} rasters", f"name one of them: {shown}")


def missing_source(path: str) -> ResourceError | None:
    """Return the error for a missing source file of a VRT, or None if none is missing."""
    missing = _missing(Path(path), depth=4) if path.lower().endswith(".vrt") else None
    if missing is None:
        return None
    return ResourceError(
        f"{path}: its source file {missing} does not exist", "restore it, or create the VRT again"
    )


def _missing(vrt: Path, depth: int) -> str | None:
    try:
        root = ElementTree.parse(vrt).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    for node in (*root.iter("SourceFilename"), *root.iter("SourceDataset")):
        name = (node.text or "").strip()
        relative = node.get("relativeToVRT", node.get("relativetoVRT", "0")) == "1"
        file = local_file(str(vrt.parent / name) if relative and not is_remote(name) else name)
        if file is None or not name:
            continue
        if not file.exists():
            return str(file)
        if depth and file.suffix.lower() == ".vrt" and file != vrt:
            inner = _missing(file, depth - 1)
            if inner is not None:
                return inner
    return None


def unreadable(path: str, what: str, error: Exception) -> DemiurgeError:
    """Return the error for pixels that cannot be read, with the likely cause.

    Parameters
    ----------
    what
        The part that cannot be read, for the message: ``band 1 … at row 3, column 4``.
    """
    reason = str(error).strip().rstrip(".")
    cause = getattr(error, "__cause__", None)
    if cause is not None and str(cause).strip():
        reason = str(cause).strip().rstrip(".")
    if is_network(path):
        return ResourceError(
            f"{path}: {what} cannot be read ({reason})",
            "try again, or download the file",
        )
    missing = missing_source(path)
    if missing is not None:
        return missing
    file = local_file(path)
    if file is not None and not file.exists():
        return ResourceError(f"{path}: no longer exists", "restore it")
    with suppress(OSError):
        if file is not None and not os.access(file, os.R_OK):
            return ResourceError(f"{path}: may not be read", "request read permission")
    return DataError(
        f"{path}: {what} cannot be read ({reason})",
        "the file is probably damaged; copy or download it again",
    )
