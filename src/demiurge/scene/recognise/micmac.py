"""MicMac: the folder of a project, or ``MEC-Malt`` and ``Ortho-MEC-Malt``.

Each step of ``Malt`` writes ``Z_NumN_DeZoomM_STD-MALT.tif``; the last one is the DSM. Its values
are altitudes in units of ``ResolutionAlti`` above ``OrigineAlti`` of the ``.xml`` of the same name
(1 and 0 with ``EZA=1``). The position is in the ``.tfw``, in metres of the project's system, which
no file declares. ``AutoMask_STD-MALT_Num_(N-1).tif`` is 1 where matching succeeded; heights
elsewhere are not measured. ``Correl_*`` is the correlation. ``Tawny`` writes
``Ortho-MEC-Malt/Orthophotomosaic.tif``. Large rasters are split into ``*_Tile_X_Y.tif``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from demiurge.scene.recognise.found import (
    Candidates,
    Conversion,
    Found,
    Mask,
    Taken,
    Tile,
    Tool,
    take_image,
)
from demiurge.scene.recognise.listing import Listing

_DSM = r"(?P<place>(?:[^/]*/)?)Z_Num(?P<step>\d+)_DeZoom(?P<zoom>\d+)_STD-MALT\.tif"
_TILES = r".*(Z_Num\d+_DeZoom\d+_STD-MALT|Orthophotomosaic)_Tile_\d+_\d+\.tif"
#: Geometry of rasters in the coordinates of the ground.
_GROUND = "eGeomMNTEuclid"
#: Values of a mask of data: 1, or 255 in masks of 8 bits.
_DATA = frozenset(range(1, 256))


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise the output of MicMac's Malt and Tawny."""
    steps = {match.string: match for match in listing.matches(_DSM)}
    if not steps:
        return None
    places = sorted({match["place"] for match in steps.values()})
    last = {p: max((m for m in steps.values() if m["place"] == p), key=_order) for p in places}
    dsm = chosen.get("dsm", "")
    match = steps[dsm] if dsm in steps else last[places[0]]
    found = Found(evidence=match.string)
    if len(places) > 1 and "dsm" not in chosen:
        found.choices.append(Candidates("dsm", tuple(m.string for m in last.values()), "DSMs"))
    _take_dsm(found, listing, match)
    _take_ortho(found, listing, match["place"])
    found.leave(
        [name for name in steps if name.startswith(match["place"])], "coarser step of matching"
    )
    found.leave(listing.find(_TILES), "tile of a large raster")
    found.leave(
        listing.find(r".*Correl_.*\.tif"), "correlation of matching, not an error in metres"
    )
    found.leave(listing.find(r".*(AutoMask|Masq)_.*\.tif"), "mask of another step")
    return found


def _order(match: re.Match[str]) -> tuple[int, int]:
    return int(match["step"]), -int(match["zoom"])


def _take_dsm(found: Found, listing: Listing, match: re.Match[str]) -> None:
    """Take a step of Malt in metres, void where matching failed."""
    name, place = match.string, match["place"]
    path = listing.folder / name
    xml = listing.text(name[:-4] + ".xml")
    units, geometry = height_units(xml), _text(xml, "Geometrie")
    if geometry not in ("", _GROUND):
        found.refused["dsm"] = (
            f"{path}: is in the geometry of an image ({geometry}), not of the ground",
            "run Malt Ortho or Malt UrbanMNE",
        )
        return
    if units is None:
        found.refused["dsm"] = (
            f"{path}: the unit of its altitudes is unknown, because {path.stem}.xml is missing or "
            "contains no ResolutionAlti",
            "copy the file next to it",
        )
        return
    if listing.find(re.escape(name[:-4]) + r"_Tile_\d+_\d+\.tif"):
        found.refused["dsm"] = _tiled(listing, name)
        return
    mask = f"{place}AutoMask_STD-MALT_Num_{int(match['step']) - 1}.tif"
    about, masks = "DSM", None
    if mask in listing.names and _same_size(listing, name, mask):
        masks = Mask(mask, _DATA)
        about += "; void where AutoMask says that matching failed"
    else:
        found.notes.append(
            f"{name}: there is no {mask}, so heights where matching failed stay as they are"
        )
    origin, step = units
    if units != (0.0, 1.0):
        about += f"; metres are {step:g} × value + {origin:g}, from its .xml"
    conversion = Conversion(
        path.name,
        (Tile(name),),
        masks,
        scale=step,
        offset=origin,
        needs_crs=True,
        crs_hint=_crs_hint(listing),
    )
    found.take("dsm", conversion, about)


def _take_ortho(found: Found, listing: Listing, place: str) -> None:
    """Take the mosaic of Tawny that belongs to a folder of Malt, in the CRS that the user gives."""
    names = listing.find(r"(.*/)?Orthophotomosaic\.tif")
    own = f"Ortho-{place}Orthophotomosaic.tif"
    names = [own] if own in names else names
    if len(names) > 1:
        found.choices.append(Candidates("", tuple(names), "mosaics"))
    for name in names[:1]:
        if listing.find(re.escape(name[:-4]) + r"_Tile_\d+_\d+\.tif"):
            found.leave([name], _tiled(listing, name)[1])
            continue
        first = len(found.taken)
        take_image(found, listing, name, "mosaic of orthoimages")
        conversion = Conversion("Orthophotomosaic.tif", (Tile(name),), needs_crs=True)
        images = [Taken(t.layer, conversion, t.band, t.about) for t in found.taken[first:]]
        found.taken[first:] = images


def _crs_hint(listing: Listing) -> str:
    """Return the PROJ string in the description of a coordinate system, if there is only one.

    The project may use another system than that of the description.
    """
    texts = {_text(listing.text(name), "AuxStr"): name for name in listing.find(r"Sys\w*\.xml")}
    strings = [text for text in texts if text.startswith("+proj=")]
    return f"'{strings[0]}', if {texts[strings[0]]} describes it" if len(strings) == 1 else ""


def _tiled(listing: Listing, name: str) -> tuple[str, str]:
    return (
        f"{listing.folder / name} is split into tiles",
        f"merge them with: mm3d ConvertIm {name}",
    )


def _same_size(listing: Listing, name: str, other: str) -> bool:
    first, second = listing.header(name), listing.header(other)
    return first is not None and second is not None and first.size == second.size


def height_units(xml: str) -> tuple[float, float] | None:
    """Return origin and resolution of altitudes in metres, from the text of an ``.xml``."""
    try:
        origin, step = (float(_text(xml, key)) for key in ("OrigineAlti", "ResolutionAlti"))
    except ValueError:
        return None
    return (origin, step) if step else None


def _text(xml: str, key: str) -> str:
    """Return the text of an element; empty without it."""
    try:
        return (ElementTree.fromstring(xml).findtext(f".//{key}") or "").strip()
    except ElementTree.ParseError:
        return ""


TOOL = Tool(
    "micmac",
    "MicMac",
    "Z_NumN_DeZoomM_STD-MALT.tif",
    lambda listing: bool(listing.matches(_DSM)),
    find,
)
