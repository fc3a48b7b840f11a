"""What a recogniser finds in a folder: layers with their files, and files that are left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from demiurge.layers import Kind, layer, recognise
from demiurge.scene.recognise.listing import Listing


@dataclass(frozen=True)
class Mask:
    """A raster whose values say which pixels of another one are data.

    Attributes
    ----------
    name
        The raster, on the same grid; 8 bits.
    valid
        The values of pixels that are data.
    """

    name: str
    valid: frozenset[int]


@dataclass(frozen=True)
class Tile:
    """One file of a raster that is stored in tiles, with its first column and row."""

    name: str
    col: int = 0
    row: int = 0


@dataclass(frozen=True)
class Conversion:
    """How files are read if not as they declare.

    Attributes
    ----------
    name
        Name of the conversion, for messages.
    tiles
        The files that it consists of.
    mask
        Pixels that are no data in addition to the declared ones.
    zero
        Pixels of a raster of 0 and 1 that become 0.
    scale, offset
        Conversion of stored values.
    nodata
        Stored no-data value of all bands: None for the declared one, empty for none.
    needs_crs
        Whether the files declare no CRS, so that the user gives it.
    crs_hint
        What the project says about the CRS, for the user; empty if nothing.
    """

    name: str
    tiles: tuple[Tile, ...]
    mask: Mask | None = None
    zero: Mask | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: tuple[float, ...] | None = None
    needs_crs: bool = False
    crs_hint: str = ""


@dataclass(frozen=True)
class Taken:
    """A layer and where it is read from.

    Attributes
    ----------
    layer
        Name of the layer.
    file
        Name of the file in the folder, or a conversion of files.
    band
        Number of the band, from 1; None for the choice of the reader.
    about
        What the tool means by the file, for the user.
    """

    layer: str
    file: str | Conversion
    band: int | None = None
    about: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the files that the layer is read from."""
        if isinstance(self.file, str):
            return (self.file,)
        masks = [mask.name for mask in (self.file.mask, self.file.zero) if mask is not None]
        return (*(tile.name for tile in self.file.tiles), *masks)

    @property
    def name(self) -> str:
        """Return the name of the file or conversion."""
        return self.file if isinstance(self.file, str) else self.file.name


@dataclass(frozen=True)
class Candidates:
    """Several files that could be one layer: the user must choose.

    Attributes
    ----------
    layer
        The layer; empty for an image, whose bands decide the layers.
    names, what
        The files, and what they are, in the plural.
    """

    layer: str
    names: tuple[str, ...]
    what: str

    def is_decided(self, requested: Collection[str]) -> bool:
        """Return whether the user names a file for the layer, or for any image."""
        if self.layer:
            return self.layer in requested
        return any(layer(name).kind is Kind.IMAGE for name in requested)


@dataclass
class Found:
    """Result of a recogniser.

    Attributes
    ----------
    evidence
        The file that identifies the tool.
    taken, choices
        Layers, and layers that are ambiguous.
    refused
        By layer that cannot be used as it is, what is wrong and the cure.
    left
        Reason by file that is not used.
    notes
        What the user should know about the files as a group, one sentence each.
    """

    evidence: str
    taken: list[Taken] = field(default_factory=list)
    choices: list[Candidates] = field(default_factory=list)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def take(
        self, layer: str, file: str | Conversion, about: str = "", band: int | None = None
    ) -> None:
        """Add a layer."""
        self.taken.append(Taken(layer, file, band, about))

    def leave(self, names: list[str], reason: str) -> None:
        """Add files that are left out, unless they are used or have a reason already."""
        used = {name for taken in self.taken for name in taken.names}
        self.left |= {n: reason for n in names if n not in used and n not in self.left}

    def has(self, layer: str) -> bool:
        """Return whether a layer was taken."""
        return any(taken.layer == layer for taken in self.taken)


#: A recogniser: a listing, and the files in the folder that the user names by layer, to what is
#: found; None if there is nothing to use.
Find = Callable[[Listing, Mapping[str, str]], Found | None]


@dataclass(frozen=True)
class Tool:
    """A tool whose output is recognised.

    Attributes
    ----------
    key
        Value of ``--as``.
    title
        Name of the tool.
    sign
        The files that identify it, for messages.
    is_sure
        Whether a folder is one of the tool for certain.
    find
        The recogniser.
    content, rest
        What a folder contains, and what its other rasters are; from the title if empty.
    """

    key: str
    title: str
    sign: str
    is_sure: Callable[[Listing], bool]
    find: Find
    content: str = ""
    rest: str = ""


def colours_of(listing: Listing, name: str) -> dict[str, int]:
    """Return the bands of an image that its descriptions or colours name, by layer."""
    header = listing.header(name)
    bands: dict[str, int] = {}
    if header is None:
        return bands
    for texts in (header.descriptions, header.colours):
        for band, text in enumerate(texts, start=1):
            known = recognise(text)
            free = known not in bands and band not in bands.values()
            if known is not None and free and layer(known).kind is Kind.IMAGE:
                bands[known] = band
    return bands


def take_image(found: Found, listing: Listing, name: str, about: str) -> None:
    """Take an orthoimage: its colours if it names them, or one band as the left image."""
    header = listing.header(name)
    bands = colours_of(listing, name)
    if header is None:
        found.leave([name], "cannot be read")
    elif bands:
        for layer_name, band in bands.items():
            found.take(layer_name, name, about, band)
    elif len([colour for colour in header.colours if colour != "alpha"]) == 1:
        found.take("ortho_left", name, f"{about}; one band, taken as the left panchromatic image")
    else:
        found.leave(
            [name],
            f"{about} of {header.bands} bands without colours or descriptions: name them, as "
            f"red={listing.folder / name}:1",
        )
