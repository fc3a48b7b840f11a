"""Files named as layers, such as ``dsm.tif`` and ``ortho_left.tif``: in any folder."""

from __future__ import annotations

from collections.abc import Mapping

from demiurge.layers import LAYERS
from demiurge.scene.recognise.found import Found, Tool
from demiurge.scene.recognise.listing import Listing


def named_files(listing: Listing) -> dict[str, str]:
    """Return the rasters of a folder that have the name of a layer, by layer."""
    stems = {name: name.rpartition(".")[0] for name in listing.rasters if "/" not in name}
    return {stem: name for name, stem in stems.items() if stem in LAYERS}


def take_named(found: Found, listing: Listing) -> None:
    """Take files named as layers that a tool's recogniser knows nothing about."""
    for layer, name in named_files(listing).items():
        known = name in found.left or any(name in taken.names for taken in found.taken)
        if not (known or found.has(layer) or layer in found.refused):
            found.take(layer, name, "by its name")


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Take all files named as layers."""
    files = named_files(listing)
    if not files:
        return None
    found = Found(evidence=next(iter(files.values())))
    take_named(found, listing)
    return found


#: Used if no other tool is recognised.
TOOL = Tool(
    "layers",
    "files named as layers",
    "several files named as layers, such as dsm.tif and ortho_left.tif",
    lambda listing: len(named_files(listing)) > 1,
    find,
    content="files named as layers",
    rest="not named as a layer",
)
