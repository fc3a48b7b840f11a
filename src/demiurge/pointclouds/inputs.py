"""The inputs of ``lidar``: files, folders, URLs and tile indices become clouds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.fetching.http import Client, RangeFile, shown
from demiurge.paths import PathLike
from demiurge.pointclouds.cloud import Cloud, HeightUnit
from demiurge.pointclouds.ept import local_files, open_ept
from demiurge.pointclouds.las import is_copc, open_copc, open_las
from demiurge.pointclouds.services import LidarService, read_index
from demiurge.scene.grid import Bounds

_POINTS = (".las", ".laz")
_INDICES = (".geojson", ".json", ".gpkg")
_EPT = "ept.json"
#: Bytes of the header of COPC, and of the parts in which other files are downloaded.
_HEAD, _PART = 589, 2**23
_PLAIN = LidarService("the tile index", "", "")


@dataclass(frozen=True)
class LidarInputs:
    """How inputs are opened.

    Attributes
    ----------
    work
        Folder for downloaded files.
    client
        Requests remote files.
    source_crs, height_unit, resolution
        See :class:`~demiurge.pointclouds.options.LidarOptions`.
    """

    work: Path
    client: Client
    source_crs: str | None = None
    height_unit: HeightUnit | None = None
    resolution: float | None = None

    def names(self, inputs: Iterable[PathLike], where: Bounds | None) -> list[str]:
        """Return the paths and URLs of all files, without repetitions.

        Parameters
        ----------
        inputs
            Files, folders, URLs and tile indices.
        where
            Bounds in degrees, by which tiles of an index are chosen.

        Raises
        ------
        ResourceError, DataError, UsageError
            If an input does not exist or contains no point clouds.
        """
        names: dict[str, str] = {}
        for given in inputs:
            for name in self._expanded(os.fspath(given), where):
                place = name if _remote(name) else str(Path(name).resolve())
                names.setdefault(place, name)
        return list(names.values())

    def _expanded(self, text: str, where: Bounds | None) -> Iterator[str]:
        remote, suffix = _remote(text), Path(urlsplit(text).path).suffix.lower()
        if Path(urlsplit(text).path).name == _EPT or suffix in _POINTS:
            yield text
        elif suffix in _INDICES:
            tiles = [tile.url for tile in read_index(text, _PLAIN, where, self.client, self.work)]
            if not tiles:
                raise ResourceError(f"{text}: has no tile in the bounds", "check the bounds")
            yield from tiles
        elif remote:
            yield text if text.endswith("/") is False else urljoin(text, _EPT)
        elif Path(text).is_dir():
            yield from _folder(Path(text))
        else:
            _require(Path(text))
            raise UsageError(
                f"{text}: is no point cloud", "give LAS, LAZ, ept.json, a folder or a tile index"
            )

    def open(self, name: str) -> Cloud | None:
        """Open one file; None if it contains no points.

        Raises
        ------
        ResourceError, DataError
            If it cannot be read.
        """
        crs, unit, level = self.source_crs, self.height_unit, self.resolution
        if Path(urlsplit(name).path).name == _EPT:
            return open_ept(shown(name) if _remote(name) else name, self._getter(name), crs, unit,
                            level)  # fmt: skip
        if not _remote(name):
            path = Path(name)
            _require(path)
            with path.open("rb") as file:
                copc = is_copc(file.read(_HEAD))
            if copc:
                return open_copc(name, path.open("rb"), crs, unit, level)
            return open_las(path, crs, unit)
        head = self.client.read_range(name, 0, _HEAD)
        if is_copc(head):
            return open_copc(shown(name), RangeFile(name, self.client), crs, unit, level)
        if head[:4] != b"LASF":
            raise DataError(f"{shown(name)}: is not LAS, LAZ or COPC", "check the URL")
        return open_las(self._downloaded(name), crs, unit, shown(name))

    def _getter(self, name: str) -> Callable[[str], bytes]:
        if not _remote(name):
            _require(Path(name))
            return local_files(Path(name).parent)
        base, _, query = name.partition("?")
        tail = f"?{query}" if query else ""
        return lambda file: self.client.get(urljoin(base, file) + tail)

    def _downloaded(self, url: str) -> Path:
        """Download a file in parts."""
        place = self.work / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.laz"
        size = self.client.size(url)
        with place.open("wb") as file:
            for start in range(0, size, _PART):
                file.write(self.client.read_range(url, start, min(_PART, size - start)))
        if place.stat().st_size != size:
            raise ResourceError(
                f"{shown(url)}: {place.stat().st_size} of {size} bytes arrived", "try again"
            )
        return place


def _remote(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _require(path: Path) -> None:
    if not path.exists():
        raise ResourceError(f"{path}: there is no such file", "check the path")


def _folder(folder: Path) -> list[str]:
    if (folder / _EPT).exists():
        return [str(folder / _EPT)]
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _POINTS and p.is_file())
    if not files:
        raise ResourceError(f"{folder}: contains no LAS or LAZ file", "check the folder")
    return [str(path) for path in files]


def distinct(clouds: Iterable[Cloud]) -> tuple[list[Cloud], list[str]]:
    """Return clouds without copies, and a note for each copy."""
    kept: dict[Any, Cloud] = {}
    notes = []
    for cloud in clouds:
        first = kept.setdefault(cloud.key or cloud.name, cloud)
        if first is not cloud:
            notes.append(f"{cloud.name} is a copy of {first.name} and is left out")
    return list(kept.values()), notes
