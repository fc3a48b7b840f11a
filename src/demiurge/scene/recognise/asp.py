"""Ames Stereo Pipeline: outputs of point2dem and mapproject.

``point2dem`` writes ``PREFIX-DEM.tif`` (float32, metres above the ellipsoid of the datum, no data
−3.4e38; in degrees by default in older versions), with ``--errorimage``
``PREFIX-IntersectionErr.tif`` (metres; of three bands, North, East and Down, after
``--compute-error-vector``) and with ``--orthoimage`` ``PREFIX-DRG.tif`` (the left aligned image on
the grid of the DEM). ``dem_geoid`` writes ``-adj.tif``, whose heights are orthometric.
``mapproject`` writes files of any name, with its camera and DEM in the metadata. All other files
with the prefix are intermediate ones of ``parallel_stereo``: its images ``-L.tif`` and ``-R.tif``
are aligned with each other, not with the ground.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from demiurge.scene.recognise.found import Candidates, Found, Tool
from demiurge.scene.recognise.listing import Header, Listing

_DEM = r"(?P<prefix>.*)-DEM(?P<tail>-adj|_\d+|)\.tiff?"
#: Keys that mapproject writes into the metadata of its images.
_MAPPROJECT = ("CAMERA_MODEL_TYPE", "BUNDLE_ADJUST_PREFIX", "DEM_FILE", "INPUT_IMAGE_FILE")
#: Logs of parallel_stereo, which begin with its command, and the part that is read.
_LOGS, _LOG_HEAD = r".*-log-(parallel_)?stereo.*\.txt", 4000
_MAPPED = re.compile(r"map|proj|ortho", re.IGNORECASE)
_SIDES = {
    "ortho_left": re.compile(r"(^|[^a-z])left([^a-z]|$)", re.IGNORECASE),
    "ortho_right": re.compile(r"(^|[^a-z])right([^a-z]|$)", re.IGNORECASE),
}
_ALIGNED = (
    "image that parallel_stereo aligned for matching, not an orthoimage: map-project "
    "the original image with mapproject, or run point2dem with --orthoimage"
)
#: Reasons for leaving files out, by the end of their names.
_LEFT = {
    r"-[LR](_cropped)?": _ALIGNED,
    r"-(D|B|RD|F|F-corrected|D_sub|D_sub_spread|L-R-disp-diff)": "disparity map",
    r"-PC(_sub)?": "point cloud in the pixels of the left image",
    r"-(GoodPixelMap|[lr]Mask|[lr]Mask_sub|[LR]_sub)": "intermediate file of parallel_stereo",
    r"-(Horizontal|Vertical)StdDev": "propagated uncertainty, not the miss distance of rays",
    r"-DEM.*(hillshade|cmap|colou?r).*": "picture of the DEM",
}


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise the output of Ames Stereo Pipeline."""
    dems = {match.string: match for match in listing.matches(_DEM)}
    if not dems:
        return None
    dem = chosen.get("dsm", "")
    dem = dem if dem in dems else next(iter(dems))
    found = Found(evidence=dem)
    if len(dems) > 1 and "dsm" not in chosen:
        found.choices.append(Candidates("dsm", tuple(dems), "DEMs"))
    adjusted = dems[dem]["tail"].lower() == "-adj"
    about = "heights above the geoid of dem_geoid" if adjusted else "DEM of point2dem"
    found.take("dsm", dem, about)
    prefix, tail = dems[dem]["prefix"], dems[dem]["tail"].removeprefix("-adj")
    _take_error(found, listing, f"{prefix}-IntersectionErr{tail}")
    _take_images(found, listing, f"{prefix}-DRG{tail}", dem)
    _explain_rest(found, listing)
    if not adjusted and not _has_vertical(listing.header(dem)):
        found.notes.append(
            f"{dem}: point2dem writes heights above the ellipsoid, and the file does not declare it"
        )
    return found


def _has_vertical(header: Header | None) -> bool:
    return header is not None and re.search(r"VERT|COMPD|ELLIPSOIDAL.*3D", header.crs) is not None


def _take_error(found: Found, listing: Listing, stem: str) -> None:
    for name in listing.find(re.escape(stem) + r"\.tiff?")[:1]:
        header = listing.header(name)
        vector = header is not None and header.bands == 3
        about = "error vector, whose length is used" if vector else "miss distance of the rays"
        found.take("triangulation_error", name, about)


def _take_images(found: Found, listing: Listing, drg: str, dem: str) -> None:
    """Take the images of mapproject, else the orthoimage of point2dem as the left one."""
    mapped = [name for name in listing.sample if _is_mapped(name, listing)]
    sides = {name: _side(name) for name in mapped}
    if not any(sides.values()) and len(mapped) == 2:
        sides |= _sides_of_log(mapped, listing)
    for layer in _SIDES:
        names = [name for name in mapped if sides[name] == layer]
        if len(names) == 1:
            found.take(layer, names[0], "image of mapproject")
            _compare_dem(found, listing, names[0], dem)
        elif names:
            found.choices.append(Candidates(layer, tuple(names), "images of mapproject"))
    found.leave(
        [name for name in mapped if sides[name] is None],
        "image of mapproject, of the left or right camera: name it as ortho_left=FILE or "
        "ortho_right=FILE",
    )
    for name in listing.find(re.escape(drg) + r"\.tiff?")[:1]:
        if found.has("ortho_left") or any(c.layer == "ortho_left" for c in found.choices):
            found.leave([name], "the image of mapproject is used instead")
        else:
            found.take("ortho_left", name, "left image on the grid of the DEM")


def _side(name: str) -> str | None:
    """Return the layer of an image by its name; None if the name does not tell."""
    sides = [layer for layer, pattern in _SIDES.items() if pattern.search(_stem(name))]
    return sides[0] if len(sides) == 1 else None


def _sides_of_log(mapped: list[str], listing: Listing) -> dict[str, str]:
    """Return the layers of two images in the order of the command in a log of stereo."""
    first, second = (name.rpartition("/")[2] for name in mapped)
    for log in listing.find(_LOGS):
        text = listing.text(log)[:_LOG_HEAD]
        places = text.find(first), text.find(second)
        if min(places) >= 0:
            order = mapped if places[0] < places[1] else mapped[::-1]
            return dict(zip(order, _SIDES, strict=True))
    return {}


def _compare_dem(found: Found, listing: Listing, name: str, dem: str) -> None:
    """Add a note if an image was map-projected on another DEM."""
    header = listing.header(name)
    own = "" if header is None else header.tags.get("DEM_FILE", "").rpartition("/")[2]
    if own and own != dem.rpartition("/")[2]:
        found.notes.append(
            f"{name}: was map-projected on {own}, not on {dem}; where the two differ, it is "
            "displaced"
        )


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _is_mapped(name: str, listing: Listing) -> bool:
    """Return whether a raster is an image of mapproject, by its metadata or its name."""
    if re.search(r"-(DEM|DRG|IntersectionErr)[^/]*$|-[LR]\.tiff?$", name):
        return False
    named = _MAPPED.search(_stem(name)) and _side(name)
    header = listing.header(name)
    if header is None or not header.crs or header.bands > 2:
        return False
    return bool(named) or any(key in header.tags for key in _MAPPROJECT)


def _explain_rest(found: Found, listing: Listing) -> None:
    for end, reason in _LEFT.items():
        found.leave(listing.find(rf".*{end}\.tiff?"), reason)
    for name in listing.sample:
        if name in found.left or any(name in taken.names for taken in found.taken):
            continue
        header = listing.header(name)
        if header is not None and header.raw:
            found.leave(
                [name],
                "raw image: to orthorectify it on the DEM, name it as ortho_left=FILE or "
                "ortho_right=FILE",
            )


TOOL = Tool(
    "asp",
    "Ames Stereo Pipeline",
    "PREFIX-DEM.tif",
    lambda listing: bool(listing.matches(_DEM)),
    find,
)
