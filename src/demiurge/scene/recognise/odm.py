"""OpenDroneMap (ODM, WebODM): a project folder or an unpacked ``all.zip``.

``odm_dem/dsm.tif`` and ``odm_dem/dtm.tif`` are float32 in UTM (or the CRS of the ground control
points), with −9999 for no data; the DTM is what ODM's ground filter leaves of the point cloud.
Heights have the reference of the GPS tags or ground control points, which no file declares.
``odm_orthophoto/odm_orthophoto.tif`` has 8-bit red, green, blue and alpha, or described bands of a
multispectral camera.
"""

from __future__ import annotations

from collections.abc import Mapping

from demiurge.scene.recognise.found import Found, Tool, take_image
from demiurge.scene.recognise.listing import Listing

_ORTHO = r"(odm_orthophoto/)?odm_orthophoto\.tif"
_SIGNS = rf"odm_dem/d[st]m\.tif|{_ORTHO}|odm_georeferencing/.*"


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise the output of OpenDroneMap."""
    files = [*listing.find(r"(odm_dem/)?d[st]m\.tif"), *listing.find(_ORTHO)]
    if not files:
        return None
    found = Found(evidence=files[0])
    for name in listing.find(r"(odm_dem/)?dsm\.tif")[:1]:
        found.take("dsm", name, "DSM")
        found.notes.append(
            f"{name}: its heights have the reference of the GPS tags or ground control points, "
            "and the file does not declare it"
        )
    for name in listing.find(r"(odm_dem/)?dtm\.tif")[:1]:
        found.take("dtm", name, "ODM's ground filter, not a survey")
    for name in listing.find(_ORTHO)[:1]:
        take_image(found, listing, name, "orthophoto")
    found.leave(listing.find(r"(odm_dem/)?d[st]m[.\w]+\.tif"), "intermediate DEM")
    found.leave(
        listing.find(r"odm_georeferencing/.*\.(la[sz]|ply)"),
        "point cloud, from which the DEMs were made",
    )
    return found


TOOL = Tool(
    "odm",
    "OpenDroneMap",
    "odm_dem/dsm.tif or odm_orthophoto/odm_orthophoto.tif",
    lambda listing: bool(listing.find(_SIGNS)),
    find,
)
