"""Folders of other tools as files by layer: the choice of the tool, errors and notes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demiurge.errors import DataError, DemiurgeError, ResourceError, UsageError
from demiurge.paths import PathLike, is_raster_folder, local_file, split_band
from demiurge.scene.bands import name_inputs
from demiurge.scene.crs import parse_crs
from demiurge.scene.options import FolderKind
from demiurge.scene.recognise import (
    asp,
    cars,
    earth_engine,
    metashape,
    micmac,
    named,
    odm,
    s2p,
    setsm,
)
from demiurge.scene.recognise.found import Conversion, Found, Tool
from demiurge.scene.recognise.listing import Listing, list_folder
from demiurge.scene.recognise.vrt import vrt_of
from demiurge.scene.spec import SPEC_NAME

TOOLS: dict[str, Tool] = {
    module.TOOL.key: module.TOOL
    for module in (asp, cars, s2p, micmac, setsm, metashape, odm, earth_engine, named)
}
#: Number of files that a note lists.
_SHOWN = 6


@dataclass(frozen=True)
class Recognised:
    """The files of a folder by layer.

    Attributes
    ----------
    folder, tool
        The folder, and the name of the tool that wrote it.
    files
        Layer name to file, with its band if it is known.
    notes
        What was taken for what, and what is not used and why; one sentence each.
    converted
        Files that are virtual rasters, which exist only for the time of the context, and the files
        that they are made from.
    """

    folder: Path
    tool: str
    files: dict[str, PathLike]
    notes: tuple[str, ...]
    converted: dict[str, str]

    def shown(self, text: str) -> str:
        """Return a message with the names of the user's files instead of virtual rasters."""
        for conversion, file in self.converted.items():
            text = text.replace(conversion, file)
        return text


@contextmanager
def recognise(
    folder: PathLike,
    *,
    kind: FolderKind | None = None,
    files: Mapping[str, PathLike] | None = None,
    source_crs: str | None = None,
) -> Iterator[Recognised]:
    """Recognise the output folder of another tool.

    >>> with recognise("run") as found:  # doctest: +SKIP
    ...     prepare(found.files, "scene")

    Files that need a conversion (units of MicMac, masks, tiles) are represented by virtual rasters
    in a temporary folder, which exists as long as the context.

    Parameters
    ----------
    kind
        The tool; recognised from the files if None.
    files
        Files by layer that replace those of the folder, or decide between several files of the
        folder: a file of the folder without a band number is still read as the tool means it.
    source_crs
        CRS of files that declare none, such as those of MicMac.

    Raises
    ------
    UsageError
        If the folder could be of several tools, or several files could be one layer.
    ResourceError, DataError
        If the folder does not exist, is of no known tool, or a file cannot be used.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ResourceError(f"{folder}: there is no such folder", "check the path")
    requested = dict(files or {})
    listing = list_folder(path)
    tool = _tool_of(listing, kind)
    chosen = {name: inside for name, file in requested.items() if (inside := _inside(path, file))}
    found = tool.find(listing, chosen)
    if found is None:
        raise DataError(
            f"{path}: contains no {tool.content or f'output of {tool.title}'}",
            f"it is recognised by {tool.sign}; name the files as dsm=FILE",
        )
    named.take_named(found, listing)
    given = {name: file for name, file in requested.items() if not _is_own(found, name, chosen)}
    _require_clear(path, found, requested, given)
    with tempfile.TemporaryDirectory(prefix="demiurge-") as folder_of_rasters:
        conversions = _write_conversions(listing, found, given, source_crs, Path(folder_of_rasters))
        by_layer: dict[str, PathLike] = {}
        for taken in found.taken:
            if taken.layer in given:
                continue
            file = (
                conversions[taken.file] if isinstance(taken.file, Conversion) else path / taken.file
            )
            by_layer[taken.layer] = str(file) if taken.band is None else f"{file}:{taken.band}"
        by_layer |= given
        notes = tuple(describe(listing, tool, found, given))
        converted = {
            str(p): str(path / conversion.tiles[0].name) for conversion, p in conversions.items()
        }
        recognised = Recognised(path, tool.title, by_layer, notes, converted)
        try:
            yield recognised
        except DemiurgeError as error:
            what, cure = recognised.shown(error.what), recognised.shown(error.cure)
            raise type(error)(what, cure) from None


def is_foreign_folder(place: PathLike) -> bool:
    """Return whether a path is a folder, but neither a scene nor a raster."""
    path = Path(place)
    product = path.is_dir() and any(path.glob("MTD_MSIL*.xml"))  # a Sentinel-2 product
    scene = (path / SPEC_NAME).exists()
    return path.is_dir() and not (product or scene or is_raster_folder(path))


@contextmanager
def name_files(
    inputs: Sequence[str], kind: FolderKind | None = None, source_crs: str | None = None
) -> Iterator[Recognised]:
    """Parse inputs of a command, one of which may be the output folder of another tool.

    Yields
    ------
    The files by layer, with notes on those of the folder.

    Raises
    ------
    UsageError
        For several folders, options of folders without one, and as
        :func:`demiurge.scene.bands.name_inputs`.
    ResourceError, DataError
        As :func:`recognise`.
    """
    folders = [text for text in inputs if is_foreign_folder(text)]
    if len(folders) > 1:
        raise UsageError(
            f"{folders[0]} and {folders[1]} are both folders", "name one folder, and further files"
        )
    files: dict[str, PathLike] = {}
    files |= name_inputs([text for text in inputs if text not in folders])
    for option, value in (("--as", kind), ("--source-crs", source_crs)):
        if value is not None and not folders:
            raise UsageError(f"{option} {value}: no folder is given", f"leave out {option}")
    if not folders:
        yield Recognised(Path(), "", files, (), {})
        return
    with recognise(folders[0], kind=kind, files=files, source_crs=source_crs) as found:
        yield found


def _tool_of(listing: Listing, kind: FolderKind | None) -> Tool:
    """Return the tool that wrote a folder."""
    if kind is not None:
        return TOOLS[kind]
    sure = [tool for tool in TOOLS.values() if tool is not named.TOOL and tool.is_sure(listing)]
    if not sure and named.TOOL.is_sure(listing):
        return named.TOOL
    if len(sure) == 1:
        return sure[0]
    if sure:
        names = " and of ".join(tool.title for tool in sure)
        options = " or ".join(f"--as {tool.key}" for tool in sure)
        raise UsageError(
            f"{listing.folder}: contains output of {names}",
            f"choose one with {options}, or name the files as dsm=FILE",
        )
    known = "; ".join(f"{tool.key}: {tool.sign}" for tool in TOOLS.values())
    raise DataError(
        f"{listing.folder}: is not a scene, nor recognised as the output of a tool ({known})",
        "name the files as dsm=FILE, or the tool with --as if files are missing",
    )


def _inside(folder: Path, file: PathLike) -> str | None:
    """Return the name of a file in a folder; None if it is elsewhere, or a band is given."""
    path, band = split_band(str(file))
    local = local_file(path)
    if local is None or band is not None:
        return None
    try:
        return local.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return None


def _is_own(found: Found, layer: str, chosen: Mapping[str, str]) -> bool:
    """Return whether the user names the file of the folder that the recogniser uses."""
    if layer in found.refused:
        return layer in chosen
    return any(t.layer == layer and t.names[0] == chosen.get(layer) for t in found.taken)


def _require_clear(
    folder: Path, found: Found, requested: Mapping[str, PathLike], given: Mapping[str, PathLike]
) -> None:
    """Raise if the user must choose between files, or a layer cannot be used.

    Parameters
    ----------
    requested, given
        Files that the user names, and those of them that replace files of the folder.
    """
    for choice in found.choices:
        if not choice.is_decided(requested):
            shown = ", ".join(choice.names[:_SHOWN])
            layer = f"{choice.layer}=" if choice.layer else ""
            raise UsageError(
                f"{folder}: contains {len(choice.names)} {choice.what}: {shown}",
                f"name one after the folder, as {layer}{folder / choice.names[0]}",
            )
    for name, (what, cure) in found.refused.items():
        if name not in given:
            raise DataError(what, cure)


def _write_conversions(
    listing: Listing,
    found: Found,
    given: Mapping[str, PathLike],
    source_crs: str | None,
    folder: Path,
) -> dict[Conversion, Path]:
    """Write a virtual raster for each conversion that is used."""
    crs = None if source_crs is None else parse_crs(source_crs).to_wkt()
    conversions = {
        taken.file: taken.file.tiles[0].name
        for taken in found.taken
        if isinstance(taken.file, Conversion) and taken.layer not in given
    }
    paths = {}
    for number, (conversion, name) in enumerate(conversions.items()):
        header = listing.header(name)
        if conversion.needs_crs and crs is None and (header is None or not header.crs):
            raise UsageError(
                f"{listing.folder / name}: declares no CRS",
                f"add that of the project, as --source-crs {conversion.crs_hint or 'EPSG:32633'}",
            )
        # Messages and scene.yaml name the file: folders keep conversions of one name apart.
        place = folder / str(number)
        place.mkdir()
        paths[conversion] = (place / conversion.name).with_suffix(".vrt")
        paths[conversion].write_text(vrt_of(listing, conversion, crs), encoding="utf-8")
    return paths


def describe(
    listing: Listing, tool: Tool, found: Found, given: Mapping[str, PathLike]
) -> list[str]:
    """Return what was taken for what, and what is not used and why, one sentence each."""
    lines = [f"{listing.folder}: {tool.content or f'output of {tool.title}'}"]
    for taken in found.taken:
        if taken.layer not in given:
            about = f" ({taken.about})" if taken.about else ""
            lines.append(f"{taken.layer} is {taken.names[0]}{about}")
    used = {name for taken in found.taken for name in taken.names}
    found.leave(
        [n for n in listing.rasters if n not in used], tool.rest or f"no layer of {tool.title}"
    )
    reasons: dict[str, list[str]] = {}
    for name, reason in found.left.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"not used: {', '.join(names[:_SHOWN])}{more} ({reason})")
    return [*lines, *found.notes]
