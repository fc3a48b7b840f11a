"""Agisoft Metashape (PhotoScan): exported DEM and orthomosaic.

Exports have names of the user's choice. DEMs are float32 with −32767 for no data, the default of
the export. Orthomosaics have 8-bit red, green, blue and alpha, or bands in the order of
wavelengths; they are recognised by the program in the tag ``TIFFTAG_SOFTWARE`` or by ``ortho`` in
the name. Heights have the reference of the export's CRS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from demiurge.scene.recognise.found import Candidates, Found, Tool, take_image
from demiurge.scene.recognise.listing import Listing

_NO_DATA = -32767.0
_SURFACE = re.compile(r"(^|[^a-z])(dem|dsm)([^a-z]|$)", re.IGNORECASE)
_GROUND = re.compile(r"(^|[^a-z])dtm([^a-z]|$)", re.IGNORECASE)
_ORTHO = re.compile(r"ortho", re.IGNORECASE)


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise a DEM and an orthomosaic of Metashape."""
    heights = [name for name in listing.sample if _is_dem(name, listing)]
    grounds = [name for name in heights if _GROUND.search(_stem(name))]
    surfaces = [name for name in heights if name not in grounds]
    orthos = [name for name in listing.sample if _is_ortho(name, listing)]
    if not surfaces:
        return None
    found = Found(evidence=surfaces[0])
    if len(surfaces) > 1 and "dsm" not in chosen:
        found.choices.append(Candidates("dsm", tuple(surfaces), "DEMs"))
    found.take("dsm", surfaces[0], "DEM")
    if len(grounds) == 1:
        found.take("dtm", grounds[0], "DEM of the ground class, not a survey")
    if len(orthos) > 1:
        found.choices.append(Candidates("", tuple(orthos), "orthomosaics"))
    elif orthos:
        take_image(found, listing, orthos[0], "orthomosaic")
    header = listing.header(surfaces[0])
    if header is not None and "VERT" not in header.crs:
        found.notes.append(
            f"{surfaces[0]}: Metashape writes heights above the ellipsoid unless a geoid was "
            "selected, and the file does not declare it"
        )
    return found


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _is_dem(name: str, listing: Listing) -> bool:
    header = listing.header(name)
    if header is None or header.bands != 1 or header.dtypes[0] != "float32":
        return False
    named = _SURFACE.search(_stem(name)) or _GROUND.search(_stem(name))
    return header.nodata[0] == _NO_DATA or (bool(named) and _is_own(name, listing))


def _is_ortho(name: str, listing: Listing) -> bool:
    header = listing.header(name)
    if header is None or header.dtypes[0] == "float32" or not header.crs:
        return False
    return _is_own(name, listing) or bool(_ORTHO.search(_stem(name)))


def _is_own(name: str, listing: Listing) -> bool:
    """Return whether a raster names Metashape or PhotoScan as its program."""
    header = listing.header(name)
    software = "" if header is None else header.tags.get("TIFFTAG_SOFTWARE", "")
    return "metashape" in software.lower() or "photoscan" in software.lower()


def _is_sure(listing: Listing) -> bool:
    dems = [name for name in listing.sample if _is_dem(name, listing)]
    images = [name for name in listing.sample if _is_ortho(name, listing)]
    return bool(dems and images)


TOOL = Tool(
    "metashape",
    "Metashape",
    "a DEM with −32767 for no data and an orthomosaic",
    _is_sure,
    find,
)
