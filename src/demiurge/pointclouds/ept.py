"""Entwine Point Tiles (EPT): an octree of LAZ files with a JSON hierarchy, local or over HTTP.

Source of the format: https://entwine.io/en/latest/entwine-point-tile.html.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.errors import DataError, ResourceError
from demiurge.pointclouds.cloud import Cloud, HeightUnit, frame_of
from demiurge.scene.crs import parse_crs
from demiurge.scene.grid import Bounds
from demiurge.threads import map_ordered

#: Files that are requested at the same time.
_REQUESTS = 4
Key = tuple[int, int, int, int]


def open_ept(
    name: str,
    get: Callable[[str], bytes],
    source_crs: str | None,
    height_unit: HeightUnit | None,
    resolution: float | None,
) -> Cloud | None:
    """Open an EPT data set; None if it contains no points.

    Parameters
    ----------
    name
        Path or URL of ``ept.json``.
    get
        Returns a file by its name relative to that of ``ept.json``.
    resolution
        Point spacing in units of the CRS down to which levels are read; None for all levels.

    Raises
    ------
    ResourceError, DataError
        If a file cannot be read or is not EPT of LAZ files.
    """
    try:
        info = json.loads(get("ept.json"))
        cube = [float(value) for value in info["bounds"]]
        tight = [float(value) for value in info.get("boundsConforming", cube)]
        points, span, kind = int(info["points"]), float(info["span"]), str(info["dataType"])
        dimensions = {str(entry["name"]) for entry in info["schema"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{name}: is not a description of Entwine Point Tiles ({error})", "check the URL"
        ) from None
    if kind != "laszip":
        raise DataError(
            f"{name}: its tiles are of type '{kind}', not laszip",
            "convert the data to COPC with untwine or PDAL",
        )
    if points == 0:
        return None
    frame = frame_of(name, _crs(name, info.get("srs") or {}), "", source_crs, height_unit)
    depth = None
    if resolution is not None:
        spacing = (cube[3] - cube[0]) / span
        depth = max(0, int(np.ceil(np.log2(spacing / resolution))))
    bounds = (tight[0], tight[1], tight[3], tight[4])

    def read(window: Bounds | None) -> Iterator[Any]:
        keys = _keys(name, get, cube, window, depth)
        return map_ordered(lambda key: _tile(name, get, key), keys, _REQUESTS)

    return Cloud(name, frame, bounds, points, "Red" in dimensions, read, (name,))


def _crs(name: str, srs: dict[str, Any]) -> Any:
    """Return the CRS (pyproj) of ``srs``: its WKT, else its codes; None if it has neither."""
    codes = [str(srs[part]) for part in ("horizontal", "vertical") if srs.get(part)]
    text = srs.get("wkt") or (f"{srs.get('authority', 'EPSG')}:" + "+".join(codes) if codes else "")
    if not text:
        return None
    try:
        return parse_crs(str(text))
    except Exception as error:
        raise DataError(
            f"{name}: its CRS is not valid ({error})", "give it with --source-crs"
        ) from None


def _keys(
    name: str,
    get: Callable[[str], bytes],
    cube: list[float],
    window: Bounds | None,
    depth: int | None,
) -> Iterator[Key]:
    """Yield the nodes with points that overlap a window, from the root down."""
    page: dict[str, Any] = {}
    todo: list[Key] = [(0, 0, 0, 0)]
    read: set[Key] = set()
    while todo:
        key = todo.pop()
        if (depth is not None and key[0] > depth) or not _overlaps(key, cube, window):
            continue
        text = "-".join(map(str, key))
        count = page.get(text, -1 if key[0] == 0 else 0)
        if count == -1:
            if key in read:
                raise DataError(
                    f"{name}: its hierarchy is damaged at {text}", "download the data again"
                )
            read.add(key)
            page |= _page(name, get, text)
            count = page.get(text, 0)
            if count == -1:
                todo.append(key)
                continue
        if count > 0:
            yield key
            level, x, y, z = key
            children = ((i & 1, i >> 1 & 1, i >> 2) for i in range(8))
            todo += [(level + 1, 2 * x + i, 2 * y + j, 2 * z + k) for i, j, k in children]


def _page(name: str, get: Callable[[str], bytes], text: str) -> dict[str, Any]:
    try:
        content = json.loads(get(f"ept-hierarchy/{text}.json"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DataError(f"{name}: ept-hierarchy/{text}.json is damaged", "download the data again")
    return content


def _overlaps(key: Key, cube: list[float], window: Bounds | None) -> bool:
    if window is None:
        return True
    side: float = (cube[3] - cube[0]) / 2 ** key[0]
    left, bottom = cube[0] + key[1] * side, cube[1] + key[2] * side
    apart = left > window[2] or bottom > window[3]
    return not (apart or left + side < window[0] or bottom + side < window[1])


def _tile(name: str, get: Callable[[str], bytes], key: Key) -> Any:
    import laspy

    file = f"ept-data/{'-'.join(map(str, key))}.laz"
    data = get(file)
    try:
        return laspy.read(io.BytesIO(data)).points
    except Exception as error:  # laspy lets the exceptions of its decoders through
        raise DataError(f"{name}: {file} is damaged ({error})", "download the data again") from None


def local_files(folder: Path) -> Callable[[str], bytes]:
    """Return a function that reads the files of a local EPT data set."""

    def get(file: str) -> bytes:
        try:
            return (folder / file).read_bytes()
        except OSError as error:
            raise ResourceError(
                f"{folder / file}: cannot be read ({error.strerror})", "download the data again"
            ) from None

    return get
