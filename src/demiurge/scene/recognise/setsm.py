"""SETSM strips and scenes: ArcticDEM, REMA, EarthDEM and own runs.

``*_dem.tif`` is float32, in polar stereographic or UTM, in metres above the WGS84 ellipsoid, with
−9999 for no data. ``*_matchtag.tif`` is 1 where a height was matched and 0 where it was
interpolated. ``*_bitmask.tif`` flags bad heights: 1 edges, 2 water, 4 clouds; since version s2s041
strips are distributed unmasked. Both declare 0 as no data, although it is a value. ``*_ortho.tif``
is the panchromatic image of the first sensor (``*_ortho2.tif`` of the second), with 0 for no data.
Mosaics have ``*_mad.tif``, ``*_count.tif`` and ``*_datamask.tif`` instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from demiurge.scene.recognise.found import Candidates, Conversion, Found, Mask, Tile, Tool
from demiurge.scene.recognise.listing import Listing

_DEM = r"(?P<stem>.*)_dem(_smooth)?\.tiff?"
#: Names of strips and mosaics of the Polar Geospatial Center.
_PGC = re.compile(r"(WV0\d|GE01|QB02)_\d{8}_|_seg\d+_|_\d+m_v\d\.\d|SETSM_", re.IGNORECASE)
#: Files with the name of a DEM that only SETSM writes.
_PARTNERS = r"_(matchtag(_mt)?|bitmask|datamask|mad|meta|mdf)\.(tiff?|txt)"
#: Values of the bitmask of good heights: no flag.
_GOOD = frozenset({0})
_LEFT = {
    r"_(mad|count|matchcount|maxdate|mindate)": "statistic of the mosaic",
    r"_datamask": "extent of the data; the no data of the DEM counts",
    r"_.*(shade|browse|hillshade).*": "picture of the DEM",
}


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise a strip or a mosaic tile of SETSM."""
    dems = {match.string: match["stem"] for match in listing.matches(_DEM)}
    if not dems:
        return None
    dem = chosen.get("dsm", "")
    dem = dem if dem in dems else next(iter(dems))
    found = Found(evidence=dem)
    if len(dems) > 1 and "dsm" not in chosen:
        found.choices.append(Candidates("dsm", tuple(dems), "DEMs"))
    stem = dems[dem]
    mask = _bitmask(found, listing, dem, f"{stem}_bitmask.tif")
    _take_dem(found, dem, mask)
    _take_matchtag(found, listing, f"{stem}_matchtag.tif", mask)
    for layer, end in (("ortho_left", "ortho"), ("ortho_right", "ortho2")):
        header = listing.header(name) if (name := f"{stem}_{end}.tif") in listing.names else None
        if header is not None and header.bands == 1:
            which = "first" if layer == "ortho_left" else "second"
            found.take(layer, name, f"panchromatic image of the {which} sensor")
    for end, reason in _LEFT.items():
        found.leave(listing.find(rf".*{end}\.tiff?"), reason)
    header = listing.header(dem)
    if header is not None and "VERT" not in header.crs:
        found.notes.append(
            f"{dem}: SETSM writes heights above the WGS84 ellipsoid, and the file does not "
            "declare it"
        )
    return found


def _bitmask(found: Found, listing: Listing, dem: str, name: str) -> Mask | None:
    """Return the mask of good heights; None without one."""
    if name not in listing.names:
        return None
    first, second = listing.header(dem), listing.header(name)
    if first is None or second is None:
        return None
    if (first.size, first.transform) == (second.size, second.transform):
        return Mask(name, _GOOD)
    found.refused["dsm"] = (
        f"{listing.folder / name} has another grid than {dem}",
        "resample it to the grid of the DEM; to ignore it, name the files without the folder, as "
        f"dsm={listing.folder / dem}",
    )
    return None


def _take_dem(found: Found, dem: str, mask: Mask | None) -> None:
    if mask is None:
        found.take("dsm", dem, "DEM")
    else:
        conversion = Conversion(dem.rpartition("/")[2], (Tile(dem),), mask)
        found.take("dsm", conversion, "DEM; what the bitmask flags (edges, water, clouds) is void")


def _take_matchtag(found: Found, listing: Listing, name: str, mask: Mask | None) -> None:
    if name in listing.names:
        conversion = Conversion(name.rpartition("/")[2], (Tile(name),), zero=mask, nodata=())
        found.take("valid", conversion, "1 where a height was matched, 0 where it was interpolated")


def _is_sure(listing: Listing) -> bool:
    return any(
        _PGC.search(match.string) or listing.find(re.escape(match["stem"]) + _PARTNERS)
        for match in listing.matches(_DEM)
    )


TOOL = Tool(
    "setsm",
    "SETSM (ArcticDEM, REMA, EarthDEM)",
    "*_dem.tif with *_matchtag.tif or *_bitmask.tif",
    _is_sure,
    find,
)
