"""The files of a folder and the headers of its rasters, which the recognisers decide from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from affine import Affine

from demiurge.errors import DemiurgeError, ResourceError
from demiurge.scene.files import open_raster
from demiurge.scene.spec import SPEC_NAME

#: Levels of folders that are listed: the folder and those in it.
_DEPTH = 2
#: Number of headers that are read to identify a tool.
_MOST = 300
#: Files with these suffixes are rasters.
_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img")


@dataclass(frozen=True)
class Header:
    """What a raster file declares.

    Attributes
    ----------
    size
        Rows and columns.
    transform
        Affine of the pixels, the identity if there is none.
    crs
        WKT; empty without a CRS.
    dtypes, descriptions, colours, nodata
        By band; descriptions are empty texts if missing.
    tags
        Metadata of the file.
    masked
        Whether it has a mask, internal or in a sidecar.
    raw
        Whether it is georeferenced by RPCs or ground control points only.
    """

    size: tuple[int, int]
    transform: Affine = field(default_factory=Affine.identity)
    crs: str = ""
    dtypes: tuple[str, ...] = ("float32",)
    descriptions: tuple[str, ...] = ("",)
    colours: tuple[str, ...] = ("gray",)
    nodata: tuple[float | None, ...] = (None,)
    tags: dict[str, str] = field(default_factory=dict)
    masked: bool = False
    raw: bool = False

    @property
    def bands(self) -> int:
        """Return the number of bands, the alpha band included."""
        return len(self.dtypes)


def read_header(path: Path) -> Header:
    """Read the header of a raster.

    Raises
    ------
    ResourceError, DataError
        If it cannot be read.
    """
    from rasterio.enums import MaskFlags

    with open_raster(path) as dataset:
        flags = dataset.mask_flag_enums[0]
        return Header(
            size=(dataset.height, dataset.width),
            transform=dataset.transform,
            crs="" if dataset.crs is None else dataset.crs.to_wkt(),
            dtypes=tuple(dataset.dtypes),
            descriptions=tuple(text or "" for text in dataset.descriptions),
            colours=tuple(colour.name for colour in dataset.colorinterp),
            nodata=tuple(dataset.nodatavals),
            tags=dict(dataset.tags()),
            masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
            raw=dataset.crs is None and (bool(dataset.gcps[0]) or dataset.rpcs is not None),
        )


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Attributes
    ----------
    folder
        The folder.
    names
        Files in it and in its folders, relative to it, with ``/`` between folders, and its folders
        with ``/`` at the end; sorted.
    header_of, text_of
        Read a raster's header, and a text file.
    """

    folder: Path
    names: tuple[str, ...]
    header_of: Callable[[Path], Header] = read_header
    text_of: Callable[[Path], str] = lambda path: path.read_text("utf-8", errors="replace")
    _headers: dict[str, Header | None] = field(default_factory=dict, compare=False, repr=False)

    def matches(self, pattern: str) -> list[re.Match[str]]:
        """Return the matches of a regular expression with complete names, case ignored."""
        found = (re.fullmatch(pattern, name, re.IGNORECASE) for name in self.names)
        return [match for match in found if match is not None]

    def find(self, pattern: str) -> list[str]:
        """Return the names that match a regular expression."""
        return [match.string for match in self.matches(pattern)]

    @property
    def rasters(self) -> list[str]:
        """Return the names of the rasters."""
        return [name for name in self.names if name.lower().endswith(_RASTERS)]

    @property
    def sample(self) -> list[str]:
        """Return the rasters whose headers may identify a tool: all, or the first of very many."""
        return sorted(self.rasters, key=lambda name: name.count("/"))[:_MOST]

    def header(self, name: str) -> Header | None:
        """Return the header of a raster; None if it cannot be read."""
        if name not in self._headers:
            try:
                self._headers[name] = self.header_of(self.folder / name)
            except DemiurgeError:
                self._headers[name] = None
        return self._headers[name]

    def text(self, name: str) -> str:
        """Return a text file; empty if there is none or it cannot be read."""
        try:
            if name not in self.names:
                return ""
            return self.text_of(self.folder / name)
        except OSError:
            return ""


def list_folder(folder: Path) -> Listing:
    """List the files of a folder and of the folders in it, except scenes.

    Raises
    ------
    ResourceError
        If the folder cannot be read.
    """
    try:
        names = sorted(_names(folder, "", _DEPTH))
    except OSError as error:
        raise ResourceError(
            f"{folder}: cannot be listed ({error.strerror})", "check the path and its permissions"
        ) from None
    return Listing(folder, tuple(names))


def _names(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                yield prefix + entry.name
                continue
            yield f"{prefix}{entry.name}/"
            if depth > 1 and not Path(entry.path, SPEC_NAME).exists():
                yield from _names(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)
