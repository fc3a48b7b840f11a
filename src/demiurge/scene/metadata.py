"""Directions to sensor and sun in the metadata files next to satellite images.

Azimuths in metadata are degrees clockwise from true north, from the ground to sensor or sun.
Missing and impossible values are ignored.

- Maxar: ``.IMD`` (``meanSatAz`` …) and ``.XML`` (``MEANSATAZ`` …).
- Pléiades and SPOT: DIMAP 1 and 2, with the sun and the incidence angle. The azimuth of the view
  is not read: some products and programs use ``AZIMUTH_ANGLE`` for the orientation of the scene.
- Landsat: ``_MTL.txt``, with the sun.
- Sentinel-2: ``MTD_TL.xml``; the view is the mean over the bands.
- GeoTIFF tags ``SUN_AZIMUTH`` and ``SUN_ELEVATION``.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from demiurge.errors import DataError
from demiurge.paths import local_file, split_band
from demiurge.scene.camera import Direction
from demiurge.scene.files import open_raster

#: Largest metadata file in bytes that is read.
_MOST = 2**24
#: Part of an image's name that numbers its tiles, and prefix of a DIMAP image.
_TILE, _IMAGE = re.compile(r"_R\d+C\d+(?=[-_]|$)", re.IGNORECASE), re.compile(r"^IMG_")
#: End of the name of a Landsat band.
_LANDSAT_BAND = re.compile(r"_(?:(?:SR|ST|TOA)_)?(?:B\d+|band\d+)\w*$", re.IGNORECASE)
#: ``key = value`` of an IMD or MTL file.
_ENTRY = re.compile(r'^\s*(\w+)\s*=\s*"?([-+.\deE]+)"?\s*;?\s*$', re.MULTILINE)
#: GDAL's metadata item for the acquisition time of satellite images.
_TIME_TAG, _TIME_FORMAT = "ACQUISITIONDATETIME", "%Y-%m-%d %H:%M:%S"
#: Numbers by name, in lower case.
_Numbers = Mapping[str, float]


@dataclass(frozen=True)
class ImageMetadata:
    """Directions of an image; azimuths are from true north.

    Attributes
    ----------
    file
        The file that contains them.
    view, sun
        Directions to the sensor and to the sun; None if unknown.
    incidence
        Angle of the view from the vertical in degrees; None if unknown.
    """

    file: str
    view: Direction | None = None
    sun: Direction | None = None
    incidence: float | None = None


def read_metadata(path: str) -> ImageMetadata | None:
    """Return the directions in the metadata of an image, or None if there are none."""
    file = local_file(split_band(path)[0])
    if file is not None:
        for candidate in _candidates(file):
            metadata = _read(candidate, file)
            if metadata is not None:
                return metadata
    return _of_tags(path)


def _candidates(image: Path) -> Iterator[Path]:
    """Yield the paths of possible metadata files of an image, most specific first."""
    stems = dict.fromkeys((image.stem, _TILE.sub("", image.stem)))
    for stem in stems:
        yield from (image.with_name(stem + end) for end in (".IMD", ".imd", ".XML", ".xml"))
        yield from (image.with_name(_IMAGE.sub("DIM_", stem) + end) for end in (".XML", ".xml"))
    for name in ("metadata.dim", "METADATA.DIM"):
        yield image.with_name(name)
    for stem in dict.fromkeys((_LANDSAT_BAND.sub("", image.stem), image.stem)):
        yield image.with_name(f"{stem}_MTL.txt")
    for folder in list(image.parents)[:3]:
        yield folder / "MTD_TL.xml"


def _read(file: Path, image: Path) -> ImageMetadata | None:
    """Read a metadata file; None if it does not exist or has another content."""
    with suppress(OSError, ElementTree.ParseError):
        if file.is_file() and file.stat().st_size <= _MOST:
            return _parse(file, file.read_bytes(), image)
    return None


def _parse(file: Path, data: bytes, image: Path) -> ImageMetadata | None:
    if file.suffix.lower() in (".imd", ".txt"):
        text = data.decode("utf-8", errors="replace")
        return _of_numbers(file, {k.lower(): _number(v) for k, v in _ENTRY.findall(text)})
    root = ElementTree.fromstring(data)
    kind = root.tag.rpartition("}")[2].lower()
    if kind == "dimap_document":
        return _of_dimap(file, root, image)
    if "tile_id" in kind:
        return _of_sentinel(file, root)
    return _of_numbers(file, {node.tag.lower(): _number(node.text) for node in root.iter()})


def _of_numbers(file: Path, numbers: _Numbers) -> ImageMetadata | None:
    """Return the directions of Maxar and Landsat metadata."""
    view = _direction(numbers.get("meansataz"), numbers.get("meansatel"))
    sun = _direction(numbers.get("meansunaz"), numbers.get("meansunel"))
    sun = sun or _direction(numbers.get("sun_azimuth"), numbers.get("sun_elevation"))
    return ImageMetadata(str(file), view, sun) if view or sun else None


def _of_dimap(file: Path, root: Any, image: Path) -> ImageMetadata | None:
    """Return the sun and the incidence angle of a DIMAP document that describes an image."""
    paths = [node.get("href", "") for node in root.iter("DATA_FILE_PATH")]
    names = {Path(path.replace("\\", "/")).name.lower() for path in paths}
    if file != image and file.stem.lower() == "metadata" and image.name.lower() not in names:
        return None
    values = list(root.iter("Located_Geometric_Values"))
    centre = [v for v in values if (v.findtext("LOCATION_TYPE") or "").lower() == "center"]
    for node in (*centre, *values, *root.iter("Scene_Source")):
        numbers = {n.tag.lower(): _number(n.text) for n in node.iter()}
        sun = _direction(numbers.get("sun_azimuth"), numbers.get("sun_elevation"))
        incidence = numbers.get("incidence_angle", numbers.get("satellite_incidence_angle"))
        known = incidence is not None and abs(incidence) < 90
        if sun or known:
            return ImageMetadata(str(file), None, sun, abs(incidence or 0.0) if known else None)
    return None


def _of_sentinel(file: Path, root: Any) -> ImageMetadata | None:
    """Return the mean directions of a Sentinel-2 tile."""
    suns = [_of_zenith(node) for node in root.iter("Mean_Sun_Angle")]
    views = [_of_zenith(node) for node in root.iter("Mean_Viewing_Incidence_Angle")]
    sun, view = _mean(suns), _mean(views)
    return ImageMetadata(str(file), view, sun) if view or sun else None


def _of_zenith(node: Any) -> Direction | None:
    azimuth = _number(node.findtext("AZIMUTH_ANGLE"))
    return _direction(azimuth, 90 - _number(node.findtext("ZENITH_ANGLE")))


def _mean(directions: list[Direction | None]) -> Direction | None:
    """Return the mean of the known directions."""
    units = [direction.unit for direction in directions if direction is not None]
    if not units:
        return None
    east, north, up = np.mean(units, axis=0)
    elevation = math.degrees(math.atan2(up, math.hypot(east, north)))
    return Direction(math.degrees(math.atan2(east, north)), elevation)


def acquisition_time(path: str) -> dt.datetime | None:
    """Return the acquisition time, UTC, of the metadata of an image, or None."""
    with open_raster(path) as dataset:
        text = dataset.tags(ns="IMAGERY").get(_TIME_TAG, "")
    try:
        return dt.datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def _of_tags(path: str) -> ImageMetadata | None:
    """Return the sun in the tags of an image."""
    with open_raster(split_band(path)[0]) as dataset:
        tags = dataset.tags()
    sun = _direction(_number(tags.get("SUN_AZIMUTH")), _number(tags.get("SUN_ELEVATION")))
    return None if sun is None else ImageMetadata(path, None, sun)


def _number(text: str | None) -> float:
    """Return the number of a text, NaN if it has none."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _direction(azimuth: float | None, elevation: float | None) -> Direction | None:
    """Return a direction, or None if an angle is missing or impossible."""
    if azimuth is None or elevation is None:
        return None
    try:
        return Direction(azimuth, elevation)
    except DataError:
        return None
