"""s2p and s2p-hd: ``dsm.tif`` of a run.

A run folder has ``dsm.tif`` (float32, UTM, metres above the WGS84 ellipsoid, NaN for no data), with
its virtual raster ``dsm.vrt``, the number or confidence of matches in ``confidence.tif``, the
configuration ``config.json``, ``tiles.txt`` and the folder ``tiles``. s2p-hd writes the same names,
also ``dsm-filtered.tif``. It writes no orthoimages.
"""

from __future__ import annotations

from collections.abc import Mapping

from demiurge.scene.recognise.found import Candidates, Found, Tool
from demiurge.scene.recognise.listing import Listing

_DSM = r"dsm(-filtered|_filtered)?\.tiff?"
_SIGNS = r"tiles\.txt|tiles/.*|global_pointing.*|dsm\.vrt|gdalbuildvrt_input_file_list\.txt"


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise the output of s2p and s2p-hd."""
    dsms = listing.find(_DSM)
    if not dsms:
        return None
    found = Found(evidence=dsms[0])
    if len(dsms) > 1 and "dsm" not in chosen:
        found.choices.append(Candidates("dsm", tuple(dsms), "DSMs"))
    found.take("dsm", dsms[0], "DSM")
    found.leave(listing.find(r"dsm\.vrt"), "virtual raster of the tiles of dsm.tif")
    found.leave(
        listing.find(r"confidence.*\.(tiff?|vrt)"),
        "confidence of matching, not the miss distance of rays in metres",
    )
    found.leave(listing.find(r"tiles/.*"), "tile of the run")
    found.notes.append(
        f"{dsms[0]}: s2p writes heights above the WGS84 ellipsoid, and the file does not declare it"
    )
    found.notes.append(
        "s2p writes no orthoimages: name images with RPCs as ortho_left=FILE and ortho_right=FILE "
        "to orthorectify them on the DSM"
    )
    return found


def _is_sure(listing: Listing) -> bool:
    return bool(listing.find(_DSM) and listing.find(_SIGNS))


TOOL = Tool("s2p", "s2p or s2p-hd", "dsm.tif with tiles.txt, tiles/ or dsm.vrt", _is_sure, find)
