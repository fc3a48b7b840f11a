"""Exports of Google Earth Engine: GeoTIFFs with the band names of its catalogue.

A large export is split into ``NAME-ROW-COL.tif``, with the first row and column in ten digits.
Bands keep the names of the catalogue as descriptions: ``B2`` … of Sentinel-2, ``SR_B2`` … of
Landsat Collection 2, ``DEM`` and ``elevation`` of elevation models. Values are those of the
catalogue: ``SR_`` bands of integers are reflectance after × 0.0000275 − 0.2 (their NDVI is wrong
without it), bands of Sentinel-2 are reflectance × 10,000. Masked pixels are 0 in integers, without
a declared value, and NaN in floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from affine import Affine

from demiurge.layers import PRIOR, Kind, layer, numbered, recognise
from demiurge.scene.bands import SENSOR_NAMES, sensor_in
from demiurge.scene.recognise.found import Candidates, Conversion, Found, Taken, Tile, Tool
from demiurge.scene.recognise.listing import Header, Listing

_TILE = re.compile(r"(?P<stem>.*?)-?(?P<row>\d{10})-(?P<col>\d{10})\.tiff?", re.IGNORECASE)
#: Names of bands of the catalogue. Other tools write band numbers with a leading zero.
_NAMES = re.compile(
    r"(SR_|ST_)?B[1-9]\d?A?|(ST|SR|QA|MSK|TCI)_\w+|QA60|SCL|AOT|WVP|DEM|DSM|AVE_DSM|elevation"
)
#: Bands that only one family of sensors has.
_SENTINEL = {"B8A", "QA60", "SCL", "AOT", "WVP", "MSK_CLDPRB", "MSK_SNWPRB", "cs", "cs_cdf"}
_OLI = {"SR_B6", "ST_B10", "SR_QA_AEROSOL", "B10", "B11"}
_TM = {"ST_B6", "SR_ATMOS_OPACITY", "SR_CLOUD_QA", "B6_VCID_1", "B6_VCID_2"}
_HEIGHTS = {"dem", "dsm", "ave_dsm", "elevation", "dem_prior"}
_CLASSES = {"map", "label", "landcover"}
#: Conversion of integer surface reflectance of Landsat Collection 2.
_SCALE, _OFFSET = 2.75e-5, -0.2


@dataclass(frozen=True)
class Export:
    """One exported image: its name, tiles and the header of the first tile."""

    name: str
    tiles: tuple[Tile, ...]
    header: Header


def find(listing: Listing, chosen: Mapping[str, str]) -> Found | None:
    """Recognise exports of Google Earth Engine."""
    found: Found | None = None
    for export in _exports(listing):
        layers, sensor = bands_of_export(export)
        if not layers and sensor is not None:
            continue
        found = found or Found(evidence=export.name)
        fault = _fault(export, listing)
        if fault:
            found.refused |= dict.fromkeys(layers, (fault, "download all its tiles again"))
        elif sensor is None:
            found.refused["red"] = _unknown_sensor(export, listing)
        _take(found, export, layers, sensor or "")
    if found is not None:
        _find_doubles(found, set(chosen.values()))
    return found


def _exports(listing: Listing) -> list[Export]:
    """Return the exported images of a folder, with their tiles."""
    groups: dict[str, list[Tile]] = {}
    for name in (*listing.sample, *listing.find(rf"{_TILE.pattern}")):
        match = _TILE.fullmatch(name)
        stem = match["stem"] if match else name.rpartition(".")[0]
        tile = Tile(name, int(match["col"]), int(match["row"])) if match else Tile(name)
        if tile not in groups.setdefault(stem, []):
            groups[stem].append(tile)
    exports = []
    for stem, tiles in groups.items():
        tiles.sort(key=lambda tile: (tile.row, tile.col))
        header = listing.header(tiles[0].name)
        if header is not None and (_is_split(tiles[0].name) or _has_names(header.descriptions)):
            exports.append(Export(stem, tuple(tiles), header))
    return exports


def _is_split(name: str) -> bool:
    return _TILE.fullmatch(name) is not None


def _has_names(descriptions: Iterable[str]) -> bool:
    return any(_NAMES.fullmatch(text) for text in descriptions)


def bands_of_export(export: Export) -> tuple[dict[str, int], str | None]:
    """Return the bands of an export by layer, and the sensor of its band numbers.

    The sensor is empty if no band is numbered, and None if it is unknown.
    """
    texts = export.header.descriptions
    numbers = [text for text in texts if numbered(text)]
    sensor = _sensor(export.name, set(texts)) if numbers else ""
    layers: dict[str, int] = {}
    for band, text in enumerate(texts, start=1):
        name = recognise(text, sensor)
        if text.lower() in _HEIGHTS:
            name = PRIOR
        elif text.lower() in _CLASSES:
            name = "landcover"
        if name is not None and name not in layers:
            layers[name] = band
    return layers, sensor


def _sensor(name: str, bands: set[str]) -> str | None:
    """Return the sensor whose numbers the bands have; None if it is unknown."""
    if bands & _SENTINEL and not bands & (_OLI | _TM) - {"B11"}:
        return "sentinel2"
    if any(band.startswith("SR_") for band in bands) or "QA_PIXEL" in bands:
        if bands & _TM:
            return "landsat5"
        if bands & _OLI:
            return "landsat8"
    # Band 8 is panchromatic on Landsat, and is then exported with the near infrared, 5 or 4.
    if "B8" in bands and "B5" not in bands and {"B2", "B3", "B4"} <= bands:
        return "sentinel2"
    return sensor_in([name])


def _unknown_sensor(export: Export, listing: Listing) -> tuple[str, str]:
    shown = ", ".join(export.header.descriptions[:4])
    path = listing.folder / export.tiles[0].name
    return (
        f"{path}: its bands are numbered ({shown}), but the sensor is unknown",
        f"name them, as red={path}:1, or add the sensor to the name of the file, as LC08 or S2",
    )


def _take(found: Found, export: Export, layers: Mapping[str, int], sensor: str) -> None:
    """Take the bands of an export, with the conversion of their values."""
    integers = "float" not in export.header.dtypes[0]
    undeclared = export.header.nodata[0] is None
    by = f" of {SENSOR_NAMES[sensor]}" if sensor else ""
    for name, band in layers.items():
        text = export.header.descriptions[band - 1]
        conversion = Conversion(f"{export.name.rpartition('/')[2]}.tif", export.tiles)
        about = f"band {band}, {text}{by if numbered(text) else ''}"
        if integers and layer(name).kind is Kind.IMAGE:
            if undeclared:
                conversion = replace(conversion, nodata=(0.0,))
                about += "; 0 is masked"
            if text.startswith("SR_"):
                conversion = replace(conversion, scale=_SCALE, offset=_OFFSET)
                about += f"; reflectance is {_SCALE:g} × value − {-_OFFSET:g}"
        plain = len(export.tiles) == 1 and (conversion.nodata, conversion.scale) == (None, 1.0)
        found.take(name, export.tiles[0].name if plain else conversion, about, band)
    if PRIOR in layers:
        found.notes.append(
            f"{export.tiles[0].name}: the catalogue states the vertical reference of its heights "
            "(Copernicus GLO-30: EGM2008; SRTM, NASADEM: EGM96), and the file does not declare it"
        )
    if integers and sensor == "sentinel2":
        found.notes.append(
            f"{export.name}: COPERNICUS/S2_SR has an offset of 1,000 since 25 January 2022, "
            "which no file declares; S2_SR_HARMONIZED has none"
        )
    missing = _missing(export)
    if missing:
        found.notes.append(
            f"{export.name}: {missing} of its tiles are not in the folder: no data there"
        )


def _missing(export: Export) -> int:
    """Return how many tiles of the grid of tiles are missing; empty ones may be skipped."""
    rows, cols = {t.row for t in export.tiles}, {t.col for t in export.tiles}
    return len(rows) * len(cols) - len(export.tiles)


def _fault(export: Export, listing: Listing) -> str:
    """Return what contradicts that the tiles are parts of one image; else an empty text."""
    first, begin = export.header, export.tiles[0]
    for tile in export.tiles[1:]:
        header = listing.header(tile.name)
        path = listing.folder / tile.name
        if header is None:
            return f"{path}: cannot be read"
        shift = Affine.translation(tile.col - begin.col, tile.row - begin.row)
        expected = first.transform * shift
        size = abs(first.transform.a) + abs(first.transform.b)
        same = (header.crs, header.descriptions) == (first.crs, first.descriptions)
        if not same or not header.transform.almost_equals(expected, size * 0.01):
            return f"{path}: is not a tile of the same image as {begin.name}"
    return ""


def _find_doubles(found: Found, chosen: set[str]) -> None:
    """Make layers that several exports contain choices of the user.

    Parameters
    ----------
    chosen
        Files that the user names; their exports have priority.
    """
    by_layer: dict[str, list[Taken]] = {}
    for taken in found.taken:
        by_layer.setdefault(taken.layer, []).append(taken)
    for name, several in by_layer.items():
        first = [taken for taken in several if chosen & set(taken.names)]
        if len(several) > 1 and len(first) != 1:
            files = tuple(taken.names[0] for taken in several)
            found.choices.append(Candidates(name, files, "exports"))
        kept = (first or several)[0]
        found.taken = [t for t in found.taken if t.layer != name or t is kept]


def _is_sure(listing: Listing) -> bool:
    exports = _exports(listing)
    return any(_is_split(export.tiles[0].name) for export in exports) or any(
        any(numbered(text) for text in export.header.descriptions) for export in exports
    )


TOOL = Tool(
    "gee",
    "Google Earth Engine",
    "GeoTIFFs with bands such as B4 or SR_B4, or NAME-0000000000-0000000000.tif",
    _is_sure,
    find,
)
