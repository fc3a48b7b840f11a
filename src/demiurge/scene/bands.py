"""What the bands of a file are: by description, sensor and colour; and what no heights can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demiurge.errors import DataError, UsageError
from demiurge.layers import Kind, Layer, layer, numbered, recognise
from demiurge.scene.paths import local_file, open_raster, split_band

SENSOR_NAMES = {
    "sentinel2": "Sentinel-2",
    **{f"landsat{number}": f"Landsat {number}" for number in (4, 5, 7, 8, 9)},
}
#: How products and people name sensors in file names, folders and tags.
_SENSORS = {
    "sentinel2": r"\bs2[abc]_|\bsentinel[-_ ]?2|\bt\d{2}[a-z]{3}_\d{8}t\d{6}_|\bhls[._]s30",
    "landsat4": r"\blt0?4(_|\d{4})|\blandsat[-_ ]?4",
    "landsat5": r"\blt0?5(_|\d{4})|\blandsat[-_ ]?5",
    "landsat7": r"\ble0?7(_|\d{4})|\blandsat[-_ ]?7",
    "landsat8": r"\bl[cot]0?8(_|\d{4})|\blandsat[-_ ]?8|\bhls[._]l30",
    "landsat9": r"\bl[cot]0?9(_|\d{4})|\blandsat[-_ ]?9",
}
_TAGS = re.compile(r"sensor|satellite|spacecraft|platform|mission|product|description|title", re.I)
_COLOURS = ("red", "green", "blue", "alpha", "palette", "cyan", "magenta", "yellow", "black",
            "hue", "saturation", "lightness")  # fmt: skip


@dataclass(frozen=True)
class Bands:
    """The layers found in a file.

    Attributes
    ----------
    layers
        Band number, from 1, by layer name.
    others
        Bands that are no layer that is known, and no alpha.
    sensor
        Name of the sensor by whose numbering they were found, if any was needed.
    """

    path: str
    layers: Mapping[str, int]
    others: tuple[int, ...]
    sensor: str | None = None

    def using(self, names: Mapping[str, int]) -> str:
        """Return a sentence on which bands are used, and which are not."""
        by = f", by the numbering of {self.sensor}" if self.sensor else ""
        used = ", ".join(f"{name} is band {band}" for name, band in names.items())
        rest = sorted({*self.layers.values(), *self.others} - {*names.values()})
        left = f"; not used: band{'s' if len(rest) > 1 else ''} {_ranges(rest)}" if rest else ""
        return f"{self.path}: {used}{by}{left}"


def _ranges(numbers: list[int]) -> str:
    """Return numbers with runs joined: 1, 4 to 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )


def bands_of(path: str, cure: str) -> Bands:
    """Find out which layers the bands of a file are.

    Band descriptions count first, band numbers by the sensor's own numbering, then colours, and
    the file's name if it has one band.

    Parameters
    ----------
    cure
        What the user can do where nothing is found.

    Raises
    ------
    UsageError
        If no band is recognised, or two claim one layer.
    """
    file, only = split_band(path)
    with open_raster(file) as dataset:
        descriptions = [d or "" for d in dataset.descriptions]
        colours = [c.name for c in dataset.colorinterp]
        sensor = sensor_of(file, dataset)
    stem = (local_file(file) or Path(file)).stem
    if len(descriptions) == 1 and not descriptions[0]:
        descriptions = [stem if recognise(stem) or numbered(stem) else ""]
    found = [recognise(d, sensor) for d in descriptions]
    for index, colour in enumerate(colours):
        plain = recognise(colour)
        if found[index] is None and plain not in found and not numbered(descriptions[index]):
            found[index] = plain
    layers: dict[str, int] = {}
    for band, name in enumerate(found, start=1):
        if name is None or (file != path and band != only):
            continue
        if name in layers:
            raise UsageError(f"{path}: bands {layers[name]} and {band} both say '{name}'", cure)
        layers[name] = band
    counted = [d for d in descriptions if numbered(d)]
    if not layers and counted:
        shown = ", ".join(counted[:3])
        raise UsageError(
            f"{path}: its bands are numbered ({shown}), and nothing says by which sensor", cure
        )
    if not layers:
        raise UsageError(f"{path}: it is not clear which layer this is", cure)
    others = tuple(
        band
        for band, name in enumerate(found, start=1)
        if name is None and colours[band - 1] != "alpha"
    )
    by_number = any(numbered(descriptions[band - 1]) for band in layers.values())
    return Bands(file, layers, others, SENSOR_NAMES.get(sensor or "") if by_number else None)


def sensor_of(path: str, dataset: Any) -> str | None:
    """Return the sensor that made an image, as tags, file and folder names and bands tell.

    Returns
    -------
    ``sentinel2``, ``landsat4`` … ``landsat9``; None where nothing tells, or things disagree.
    """
    if dataset.driver == "SENTINEL2":
        return "sentinel2"
    tags = [str(v) for k, v in dataset.tags().items() if _TAGS.search(k)]
    file = (local_file(path) or Path(path)).absolute()
    for texts in (tags, [file.name], [p.name for p in list(file.parents)[:4]]):
        text = re.sub(r"[\s/]+", " ", " ".join(texts)).lower()
        # An underscore is part of a word for \b, but not in file names.
        spaced = f"{text} {re.sub(r'[_.]+', ' ', text)}"
        found = {name for name, shape in _SENSORS.items() if re.search(shape, spaced)}
        if found:
            return found.pop() if len(found) == 1 else None
    if any(numbered(d) == "8a" for d in dataset.descriptions):
        return "sentinel2"  # alone in having it
    return None


def require_heights(path: str, dataset: Any, band: int, wanted: Layer) -> None:
    """Raise if a band that is to be heights is a picture.

    Raises
    ------
    DataError
        For colour bands, bands described as an image's, and 8-bit values without a scale.
    """
    if wanted.kind is not Kind.HEIGHT or wanted.name == "truth_height":
        return
    colour = dataset.colorinterp[band - 1].name
    said = (dataset.descriptions[band - 1] or "").strip()
    named = recognise(said)
    where = f"{path}: band {band}"
    cure = "give a raster of heights in metres"
    if colour in _COLOURS:
        cure += "; heights coded in colours (Terrain-RGB) must be decoded first"
        raise DataError(f"{where} is a colour ({colour}), and layer '{wanted.name}' heights", cure)
    is_image = named is not None and layer(named).kind is Kind.IMAGE
    if is_image or (numbered(said) and dataset.count > 2):
        text = f"{where} is described as '{said}', an image band, and layer '{wanted.name}' heights"
        raise DataError(text, cure)
    plain = (dataset.scales[band - 1], dataset.offsets[band - 1]) == (1.0, 0.0)
    if dataset.dtypes[band - 1] in ("uint8", "int8") and plain:
        raise DataError(
            f"{where} has 8 bits, as pictures have, and layer '{wanted.name}' is heights in metres",
            f"{cure}; if these are whole metres, convert them with gdal_translate -ot Int16",
        )
