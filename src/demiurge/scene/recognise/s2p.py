"""s2p and s2p-hd: ``dsm.tif`` of a run.

A run folder has ``dsm.tif`` (float32, UTM or ``out_crs``, metres above the WGS84 ellipsoid, NaN
for no data), the number or confidence of matches in ``confidence.tif``, the configuration
``config.json``, ``tiles.txt``, ``global_pointing_pair_*.txt`` and the folder ``tiles``; s2p also
has ``dsm.vrt``, the virtual raster of the tiles. s2p-hd may add ``dsm-filtered.tif``, in which
small gaps are interpolated. Neither writes orthoimages.
"""

from __future__ import annotations

from collections.abc import Mapping

from demiurge.scene.recognise.found import Found, Tool
from demiurge.scene.recognise.listing import Listing

_DSM = "dsm.tif"
_SIGNS = r"tiles\.txt|tiles/.*|global_pointing.*|dsm\.vrt|gdalbuildvrt_input_file_list\.txt"


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise the output of s2p and s2p-hd."""
    if _DSM not in listing.names:
        return None
    found = Found(evidence=_DSM)
    found.take("dsm", _DSM, "DSM")
    found.leave(
        listing.find(r"dsm-filtered\.tif"),
        "small gaps are interpolated; dsm.tif has measured heights only",
    )
    found.leave(listing.find(r"dsm\.vrt"), "virtual raster of the tiles of dsm.tif")
    found.leave(
        listing.find(r"confidence.*\.(tiff?|vrt)"),
        "confidence of matching, not the miss distance of rays in metres",
    )
    found.leave(listing.find("tiles/"), "tiles of the run")
    found.notes.append(
        f"{_DSM}: s2p writes heights above the WGS84 ellipsoid, and the file does not declare it"
    )
    found.notes.append(
        "s2p writes no orthoimages: name images with RPCs as ortho_left=FILE and ortho_right=FILE "
        "to orthorectify them on the DSM"
    )
    return found


def _is_sure(listing: Listing) -> bool:
    return _DSM in listing.names and bool(listing.find(_SIGNS))


TOOL = Tool("s2p", "s2p or s2p-hd", "dsm.tif with tiles.txt, tiles/ or dsm.vrt", _is_sure, find)
