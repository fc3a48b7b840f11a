"""CARS 0.x and 1.x (CNES): the folder ``dsm`` of a run, or the run folder of older versions.

``dsm.tif`` is float32, in UTM or the CRS of the configuration, with −32768 for no data. Its heights
are above the ellipsoid or above EGM96, by the option ``geoid``; only recent versions declare it in
the CRS. ``image.tif`` (``color.tif``, before that ``clr.tif``) is the image of the first sensor on
the same grid. ``filling.tif`` marks heights that were not measured but filled, from a coarse DEM,
the geoid or the surroundings; the codes are in the metadata of the run. ``classification.tif`` has
one band of class numbers, or in 0.x a mask per class. ``ambiguity.tif`` and ``performance_map.tif``
rate the matching; neither is the miss distance of rays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from demiurge.scene.recognise.found import (
    Candidates,
    Conversion,
    Found,
    Mask,
    Tile,
    Tool,
    take_image,
)
from demiurge.scene.recognise.listing import Listing

_AUXILIARY = (
    r"(dsm/)?(ambiguity|performance_map|confidence_\w+|classification|classif|contributing_pair|"
    r"filling|image|color|clr|msk|mask|weights|source_pc)\.tif"
)
_SIGNS = rf"dsm/dsm\.tif|dsm/index\.json|content\.json|metadata\.(json|ya?ml)|{_AUXILIARY}"
_METADATA = r"(metadata|.*used_conf.*|.*config.*)\.(json|ya?ml)"
#: Names of codes in ``filling.tif`` of pixels that were not filled.
_MEASURED = {"no_data", "no_edition"}
_LEFT = {
    "ambiguity": "ambiguity of matching, not an error in metres",
    "performance_map": "estimated precision of the height, not the miss distance of rays",
    "confidence_.*": "confidence of matching, not the miss distance of rays",
    "(mask|msk)": "mask of the sensor images; the no data of the DSM counts",
    "filling": "marks filled heights; it applies to dsm.tif",
    "(weights|contributing_pair|source_pc|dsm_.*)": "auxiliary product",
}


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise the output of CARS."""
    dsms = listing.find(r"(dsm/)?dsm\.tif")
    if not dsms:
        return None
    dsm = chosen.get("dsm", dsms[0])
    found = Found(evidence=dsms[0])
    if len(dsms) > 1 and "dsm" not in chosen:
        found.choices.append(Candidates("dsm", tuple(dsms), "DSMs"))
    place = dsm.removesuffix("dsm.tif") if dsm in dsms else ""
    _take_dsm(found, listing, place)
    for name in listing.find(rf"{place}(image|color|clr)\.tif")[:1]:
        take_image(found, listing, name, "image of the first sensor on the grid of the DSM")
    for name in listing.find(rf"{place}(classification|classif)\.tif"):
        header = listing.header(name)
        if header is not None and header.bands == 1:
            found.take("landcover", name, "classes of the sensor images")
        else:
            found.leave([name], "a mask per class; landcover takes one band of class numbers")
    for stem, reason in _LEFT.items():
        found.leave(listing.find(rf"(dsm/)?{stem}\.tif"), reason)
    found.leave(listing.find(r"depth_map/.*\.tif"), "in the geometry of the image pair")
    header = listing.header(f"{place}dsm.tif")
    if header is not None and "VERT" not in header.crs:
        found.notes.append(
            f"{place}dsm.tif: its heights are above the ellipsoid or above EGM96, by CARS's option "
            "geoid, and the file does not declare it"
        )
    return found


def _take_dsm(found: Found, listing: Listing, place: str) -> None:
    """Take the DSM, without the heights that were filled."""
    dsm, filling = f"{place}dsm.tif", f"{place}filling.tif"
    if filling not in listing.names:
        found.take("dsm", dsm, "DSM")
        return
    codes = filled_codes(listing)
    if not codes:
        found.refused["dsm"] = (
            f"{listing.folder / filling} marks heights that CARS filled, but the metadata of the "
            "run that explain its values are missing",
            "add metadata.json of the run; to keep filled heights, name the files without the "
            f"folder, as dsm={listing.folder / dsm}",
        )
        return
    mask = Mask(filling, frozenset(range(256)) - set(codes))
    conversion = Conversion("dsm.tif", (Tile(dsm),), mask)
    methods = ", ".join(sorted({name for names in codes.values() for name in names}))
    found.take(
        "dsm", conversion, f"DSM; heights that filling.tif marks as filled ({methods}) are void"
    )


def filled_codes(listing: Listing) -> dict[int, list[str]]:
    """Return the codes of filled pixels with their methods, from the metadata of a run."""
    for name in listing.find(_METADATA):
        try:
            content = yaml.safe_load(listing.text(name))  # JSON is YAML
        except yaml.YAMLError:
            continue
        for table in _tables(content, "filling"):
            codes = _codes(table)
            filled = {code: names for code, names in codes.items() if not _MEASURED & set(names)}
            if filled:
                return filled
    return {}


def _tables(content: Any, key: str) -> Iterator[Any]:
    """Yield the values of a key at any depth."""
    if isinstance(content, dict):
        if key in content:
            yield content[key]
        content = list(content.values())
    for value in content if isinstance(content, list) else ():
        yield from _tables(value, key)


def _codes(table: Any) -> dict[int, list[str]]:
    """Return the methods by code; empty for another table of this name."""
    if not isinstance(table, dict) or not all(str(code).isdecimal() for code in table):
        return {}
    return {
        int(code): [str(name) for name in (names if isinstance(names, list) else [names])]
        for code, names in table.items()
    }


def _is_sure(listing: Listing) -> bool:
    return bool(listing.find(r"(dsm/)?dsm\.tif") and listing.find(_SIGNS))


TOOL = Tool(
    "cars", "CARS", "dsm/dsm.tif, or dsm.tif with image.tif or metadata.json", _is_sure, find
)
