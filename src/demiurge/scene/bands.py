"""Recognition of the layers in a file by band description, sensor, colour and file name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demiurge.errors import DataError, UsageError
from demiurge.layers import PANCHROMATIC, Kind, Layer, Role, layer, numbered, recognise
from demiurge.paths import is_there, local_file, split_band
from demiurge.scene.files import ARRAY, open_raster

SENSOR_NAMES = {
    "sentinel2": "Sentinel-2",
    **{f"landsat{number}": f"Landsat {number}" for number in (4, 5, 7, 8, 9)},
}
#: Sensor names in file names, folders and tags.
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
#: Suffix of the descriptions of uncertainty bands.
_UNCERTAINTY = "_uncertainty"
#: Number of components of an error vector.
_VECTOR = 3


@dataclass(frozen=True)
class Bands:
    """The layers in a file.

    Attributes
    ----------
    layers
        Band number, from 1, by layer name.
    others
        Bands that are neither a known layer nor alpha.
    sensor
        Name of the sensor whose band numbers were used, or None.
    """

    path: str
    layers: Mapping[str, int]
    others: tuple[int, ...]
    sensor: str | None = None

    def using(self, names: Mapping[str, int]) -> str:
        """Return a sentence that lists used and unused bands."""
        by = f", by the numbering of {self.sensor}" if self.sensor else ""
        used = ", ".join(f"{name} is band {band}" for name, band in names.items())
        rest = sorted({*self.layers.values(), *self.others} - {*names.values()})
        left = f"; not used: band{'s' if len(rest) > 1 else ''} {_ranges(rest)}" if rest else ""
        return f"{self.path}: {used}{by}{left}"


def _ranges(numbers: list[int]) -> str:
    """Return numbers as text with runs joined: ``1, 4 to 7``."""
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
    """Recognise the layers of the bands of a file.

    Band descriptions have priority, then band numbers of a known sensor, then colours. The name
    of a file with one band serves as its description.

    Parameters
    ----------
    cure
        Cure of the error messages.

    Raises
    ------
    UsageError
        If no band is recognised, or two bands name the same layer.
    DataError
        If a band has a palette.
    """
    file, only = split_band(path)
    with open_raster(file) as dataset:
        descriptions, names = _recognised(file, dataset)
        colours = [c.name for c in dataset.colorinterp]
        sensor = sensor_of(file, dataset)
        if "palette" in colours:
            raise _palette(f"{file}: band {colours.index('palette') + 1}")
    layers: dict[str, int] = {}
    for band, name in enumerate(names, start=1):
        if name is None or only not in (None, band):
            continue
        if name in layers:
            raise UsageError(
                f"{path}: bands {layers[name]} and {band} both describe '{name}'", cure
            )
        layers[name] = band
    counted = [d for d in descriptions if numbered(d)]
    if not layers and counted:
        shown = ", ".join(counted[:3])
        raise UsageError(
            f"{path}: its bands are numbered ({shown}), but the sensor is unknown", cure
        )
    if not layers:
        raise UsageError(f"{path}: no layer is recognised in its bands", cure)
    others = tuple(
        band
        for band, name in enumerate(names, start=1)
        if name is None and colours[band - 1] != "alpha"
    )
    by_number = any(numbered(descriptions[band - 1]) for band in layers.values())
    return Bands(file, layers, others, SENSOR_NAMES.get(sensor or "") if by_number else None)


def name_inputs(inputs: Sequence[str]) -> dict[str, str]:
    """Parse ``LAYER=FILE[:BAND]`` and plain files into files by layer.

    The bands of a plain file are recognised by description or colour, or by the file name if it
    has one band.

    Raises
    ------
    UsageError
        If no band is recognised, or two files name the same layer.
    """
    files: dict[str, str] = {}
    for text in inputs:
        head, equals, rest = text.partition("=")
        file_with_equals = is_there(split_band(text)[0]) and not is_there(split_band(rest)[0])
        if equals and re.fullmatch(r"\w+", head) and not file_with_equals:
            if not rest:
                raise UsageError(f"'{text}' names no file", "write LAYER=FILE")
            named = {layer(head).name: rest}
        else:
            named = recognise_bands(text, f"write LAYER={text}:BAND, e.g. dsm={text}")
        for name, file in named.items():
            if name in files:
                raise UsageError(
                    f"layer '{name}' is given twice: {files[name]} and {file}", "keep one"
                )
            files[name] = file
    return files


def recognise_bands(path: str, cure: str = "") -> dict[str, str]:
    """Return the layers in a file by band description, sensor, colour or file name.

    Parameters
    ----------
    cure
        Cure of the error messages.

    Raises
    ------
    UsageError
        If no band is recognised, or two bands name the same layer.
    """
    bands = bands_of(path, cure or "give its bands a colour or a description: red, green, blue")
    return {name: f"{bands.path}:{band}" for name, band in bands.layers.items()}


def _recognised(path: str, dataset: Any) -> tuple[list[str], list[str | None]]:
    """Return the description of each band, and its layer or None."""
    descriptions = [d or "" for d in dataset.descriptions]
    stem = (local_file(path) or Path(path)).stem
    if len(descriptions) == 1 and not descriptions[0]:
        descriptions = [stem if recognise(stem) or numbered(stem) else ""]
    sensor = sensor_of(path, dataset)
    names = [recognise(d, sensor) for d in descriptions]
    for index, colour in enumerate(c.name for c in dataset.colorinterp):
        plain = recognise(colour)
        if names[index] is None and plain not in names and not numbered(descriptions[index]):
            names[index] = plain
    return descriptions, names


def choose_bands(path: str, dataset: Any, wanted: Layer) -> tuple[tuple[int, ...], str]:
    """Choose the band of a file for a layer, if the user gives none.

    A description (or colour) that names the layer decides; for heights, so does another input
    layer of heights. For panchromatic images, the first band that is not another layer is used.
    Three bands of an error without descriptions are the error vector of Ames Stereo Pipeline; its
    norm is used.

    Returns
    -------
    The band, or the three bands whose norm is the layer; and a sentence for the user, empty if
    there is only one band.

    Raises
    ------
    UsageError
        If the choice is ambiguous.
    DataError
        If the layer is heights and the file is a picture.
    """
    descriptions, names = _recognised(path, dataset)
    bands = [
        band
        for band, colour in enumerate(dataset.colorinterp, start=1)
        if colour.name != "alpha" and not descriptions[band - 1].endswith(_UNCERTAINTY)
    ]
    if len(bands) < 2:
        return (bands[0] if bands else 1,), ""
    names = [
        name or recognise(text.removesuffix("_relative"))
        for name, text in zip(names, descriptions, strict=True)
    ]
    chosen = _named(bands, names, wanted)
    if not chosen and wanted.name in PANCHROMATIC:
        plain = (b for b in bands if layer(names[b - 1] or wanted.name).kind is Kind.IMAGE)
        chosen = list(plain)[:1]
    if len(chosen) == 1:
        return (chosen[0],), _remark(chosen[0], descriptions, names, wanted)
    undescribed = not any(descriptions[b - 1] or names[b - 1] for b in bands)
    if wanted.kind is Kind.ERROR and len(bands) == _VECTOR and undescribed:
        return tuple(bands), "its 3 bands are the components of an error vector: the norm is used"
    require_values(path, dataset, bands[0], wanted)
    shown = ", ".join(descriptions[b - 1] or names[b - 1] or "?" for b in bands[:6])
    shown = f" ({shown}{', …' if len(bands) > 6 else ''})" if not undescribed else ""
    raise UsageError(
        f"{path}: contains {len(bands)} bands{shown}, and '{wanted.name}' could be any of them",
        f"name the band, as {path}:BAND",
    )


def _remark(band: int, descriptions: list[str], names: list[str | None], wanted: Layer) -> str:
    """Return a sentence on the chosen band; empty if it is the first and named as the layer."""
    if band == 1 and names[0] == wanted.name:
        return ""
    text = descriptions[band - 1] or names[band - 1]
    about = f" ({text})" if text else ""
    return f"band {band}{about} of {len(descriptions)} is used"


def _named(bands: list[int], names: list[str | None], wanted: Layer) -> list[int]:
    """Return the bands described as a layer, or as a layer that can replace it."""
    same = [band for band in bands if names[band - 1] == wanted.name]
    if same or wanted.kind is not Kind.HEIGHT or wanted.name == "truth_height":
        return same
    target = wanted.name.removeprefix("truth_")
    same = [band for band in bands if names[band - 1] == target]
    if same:
        return same
    known = {band: layer(name) for band in bands if (name := names[band - 1]) is not None}
    return [b for b, n in known.items() if n.kind is Kind.HEIGHT and n.role is Role.INPUT]


def sensor_of(path: str, dataset: Any) -> str | None:
    """Return the sensor of an image, from tags, file and folder names, and bands.

    Returns
    -------
    ``sentinel2``, ``landsat4`` … ``landsat9``; None if unknown or contradictory.
    """
    if dataset.driver == "SENTINEL2":
        return "sentinel2"
    tags = [str(v) for k, v in dataset.tags().items() if _TAGS.search(k)]
    file = local_file(path) or Path(path)
    file = file if dataset.driver == ARRAY else file.absolute()
    for texts in (tags, [file.name], [p.name for p in list(file.parents)[:4]]):
        sensors = _sensors_in(texts)
        if sensors:
            return sensors.pop() if len(sensors) == 1 else None
    if any(numbered(d) == "8a" for d in dataset.descriptions):
        return "sentinel2"  # the only sensor with such a band
    return None


def _sensors_in(texts: Sequence[str]) -> set[str]:
    """Return the sensors that texts name."""
    text = re.sub(r"[\s/]+", " ", " ".join(texts)).lower()
    # In regular expressions, but not in file names, an underscore is part of a word.
    spaced = f"{text} {re.sub(r'[_.]+', ' ', text)}"
    return {name for name, pattern in _SENSORS.items() if re.search(pattern, spaced)}


def sensor_in(texts: Sequence[str]) -> str | None:
    """Return the only sensor that texts name; None if they name none or several."""
    sensors = _sensors_in(texts)
    return sensors.pop() if len(sensors) == 1 else None


def _palette(where: str) -> DataError:
    return DataError(
        f"{where} has a palette: its values are indices of colours, not brightness",
        "convert it with gdal_translate -expand rgb, or -expand gray if all colours are grey",
    )


def require_values(path: str, dataset: Any, band: int, wanted: Layer) -> None:
    """Raise if the values of a band cannot be those of a layer.

    Raises
    ------
    DataError
        For a palette, except in classes and masks; for a colour, if the layer is a measurement;
        and for a picture, if the layer is heights.
    """
    colour = dataset.colorinterp[band - 1].name
    where = f"{path}: band {band}"
    if wanted.kind is Kind.HEIGHT and wanted.name != "truth_height":
        _require_heights(path, dataset, band, wanted)
    elif wanted.kind in (Kind.MASK, Kind.CLASS):
        return
    elif colour == "palette":
        raise _palette(where)
    elif colour in _COLOURS and wanted.kind is not Kind.IMAGE:
        raise DataError(
            f"{where} is a colour ({colour}), but layer '{wanted.name}' is {wanted.about}",
            "give the raster of measured values, not a picture of it",
        )


def _require_heights(path: str, dataset: Any, band: int, wanted: Layer) -> None:
    """Raise for colours, bands described as an image's, and 8-bit values without a scale."""
    colour = dataset.colorinterp[band - 1].name
    text = (dataset.descriptions[band - 1] or "").strip()
    named = recognise(text)
    where = f"{path}: band {band}"
    cure = "give a raster of heights in metres"
    if colour in _COLOURS:
        cure += "; heights coded in colours (Terrain-RGB) must be decoded first"
        raise DataError(
            f"{where} is a colour ({colour}), but layer '{wanted.name}' is heights", cure
        )
    is_image = named is not None and layer(named).kind is Kind.IMAGE
    if is_image or (numbered(text) and dataset.count > 2):
        raise DataError(
            f"{where} is described as '{text}', an image band, but layer '{wanted.name}' "
            "is heights",
            cure,
        )
    plain = (dataset.scales[band - 1], dataset.offsets[band - 1]) == (1.0, 0.0)
    if dataset.dtypes[band - 1] in ("uint8", "int8") and plain:
        raise DataError(
            f"{where} has 8 bits, like a picture, but layer '{wanted.name}' is heights in metres",
            f"{cure}; if its values are metres, convert them with gdal_translate -ot Int16",
        )
