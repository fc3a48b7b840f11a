"""The vocabulary of layers: every band name that demiurge knows, and what it means.

No other module spells out what a band is; they ask here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Literal

from demiurge.errors import UsageError


class Kind(StrEnum):
    """What the numbers of a layer are."""

    HEIGHT = "height"
    IMAGE = "image"
    INDEX = "index"
    ERROR = "error"
    MASK = "mask"
    CLASS = "class"


class Role(StrEnum):
    """What a layer is used for."""

    INPUT = "input"
    TRUTH = "truth"
    AUXILIARY = "auxiliary"


@dataclass(frozen=True)
class Layer:
    """One named band.

    Attributes
    ----------
    name
        The name used in scenes, recipes, bundles and on the command line.
    kind, role
        What its numbers are, and what it is used for.
    unit
        Unit of its values; ``DN`` is a digital number of unknown scale, ``1`` has no unit.
    resampling
        Name of GDAL's resampling that brings it to another grid.
    void
        What a missing value means and how a network is told.
    about
        One line for people.
    aliases
        Other band descriptions by which files name it (lower case).
    """

    name: str
    kind: Kind
    role: Role
    unit: str
    resampling: str
    void: str
    about: str
    aliases: tuple[str, ...] = ()


_NOT_MEASURED = "NaN where not measured; filled for the network, which is told by a mask"
_NO_IMAGE = "NaN outside the image; the network sees the image's mean there"


def _height(name: str, about: str, role: Role = Role.INPUT, *aliases: str) -> Layer:
    # The prior is far coarser than its scene, so it is upsampled smoothly.
    resampling = "cubic" if name == "dem_prior" else "bilinear"
    void = "NaN where unknown; never part of a loss" if role is Role.TRUTH else _NOT_MEASURED
    return Layer(name, Kind.HEIGHT, role, "m", resampling, void, about, aliases)


def _image(name: str, about: str, *aliases: str) -> Layer:
    return Layer(name, Kind.IMAGE, Role.INPUT, "DN", "bilinear", _NO_IMAGE, about, aliases)


_ALL = (
    _height("dsm", "initial digital surface model, as stereo matching made it", Role.INPUT),
    _height("dtm", "bare-earth heights known beforehand", Role.INPUT),
    _height("dem_prior", "coarse elevation model that covers the scene", Role.INPUT, "prior"),
    _image("ortho_left", "left panchromatic image, orthorectified with the initial DSM", "left"),
    _image("ortho_right", "right panchromatic image, orthorectified likewise", "right"),
    _image("coastal", "coastal aerosol band, about 443 nm", "coastal aerosol"),
    _image("blue", "blue band, about 490 nm"),
    _image("green", "green band, about 560 nm"),
    _image("red", "red band, about 665 nm"),
    _image("red_edge1", "red edge band, about 705 nm", "rededge1"),
    _image("red_edge2", "red edge band, about 740 nm", "rededge2"),
    _image("red_edge3", "red edge band, about 783 nm", "rededge3"),
    _image("nir", "near infrared band, about 840 nm", "near infrared"),
    _image("nir_narrow", "narrow near infrared band, about 865 nm"),
    _image("swir1", "short-wave infrared band, about 1610 nm"),
    _image("swir2", "short-wave infrared band, about 2190 nm"),
    Layer("ndvi", Kind.INDEX, Role.INPUT, "1", "bilinear", "NaN where red or NIR is missing",
          "normalised difference vegetation index, -1 to 1"),
    Layer("triangulation_error", Kind.ERROR, Role.INPUT, "m", "bilinear",
          "NaN where no rays were intersected", "miss distance of the two rays",
          ("intersection_error", "intersectionerr")),
    Layer("valid", Kind.MASK, Role.INPUT, "1", "min", "never missing",
          "1 where the inputs were truly measured, 0 elsewhere"),
    _height("truth_dsm", "reference surface, as lidar sees it", Role.TRUTH),
    _height("truth_dtm", "reference bare-earth heights", Role.TRUTH),
    _height("truth_height", "height above ground: truth_dsm less truth_dtm", Role.TRUTH),
    Layer("landcover", Kind.CLASS, Role.AUXILIARY, "1", "nearest", "NaN where unclassified",
          "land-cover class numbers, for reports by class"),
)  # fmt: skip

LAYERS: dict[str, Layer] = {layer.name: layer for layer in _ALL}

#: A coarse elevation model: heights of the ground, none of what an image shows beyond it.
PRIOR = "dem_prior"

#: Layers that can carry a scene's grid and its measured heights, the first present wins.
BASES = ("dsm", "dem_prior", "dtm")

#: Panchromatic images whose contrast is equalised.
PANCHROMATIC = ("ortho_left", "ortho_right")

#: Heights that a network can be asked for, and the truth it learns them from.
TARGETS = {"dsm": "truth_dsm", "dtm": "truth_dtm"}
#: Bands that it can be asked to imagine; they are their own truth.
PAINTED = ("red", "green", "blue", "nir")
Target = Literal["dsm", "dtm", "red", "green", "blue", "nir"]


def truth_of(target: str) -> str:
    """Return the layer that a target is learned from."""
    return TARGETS.get(target, target)


_ALIASES = {alias: layer.name for layer in _ALL for alias in (layer.name, *layer.aliases)}


def layer(name: str) -> Layer:
    """Return the layer called ``name``.

    Raises
    ------
    UsageError
        If there is none; names the closest.
    """
    try:
        return LAYERS[name]
    except KeyError:
        close = get_close_matches(name, LAYERS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "the names are: " + ", ".join(LAYERS)
        raise UsageError(f"there is no layer called '{name}'", hint.rstrip("?.")) from None


_TM = {"1": "blue", "2": "green", "3": "red", "4": "nir", "5": "swir1", "7": "swir2"}
_OLI = {
    "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "nir", "6": "swir1", "7": "swir2",
}  # fmt: skip
#: Layers by band number, which means something else for every sensor.
SENSOR_BANDS: dict[str, dict[str, str]] = {
    "sentinel2": {
        "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "red_edge1",
        "6": "red_edge2", "7": "red_edge3", "8": "nir", "8a": "nir_narrow", "11": "swir1",
        "12": "swir2",
    },
    "landsat4": _TM,
    "landsat5": _TM,
    "landsat7": _TM,
    "landsat8": _OLI,
    "landsat9": _OLI,
}  # fmt: skip
_NUMBERED = re.compile(r"^(?:(?:sr|toa|boa)_)?b0*(\d{1,2}a?)(?:$|[,;( ].*)", re.IGNORECASE)


def numbered(description: str | None) -> str | None:
    """Return the number of a band that is named by its number alone, or None.

    >>> numbered("B08"), numbered("SR_B4"), numbered("B8A"), numbered("blue")
    ('8', '4', '8a', None)
    """
    match = _NUMBERED.match((description or "").strip())
    return match[1].lower() if match else None


def recognise(description: str | None, sensor: str | None = None) -> str | None:
    """Return the layer that a band description names, or None.

    Parameters
    ----------
    sensor
        One of ``SENSOR_BANDS``; without it, band numbers name nothing.

    >>> recognise("B08", "sentinel2"), recognise("B08"), recognise("Red"), recognise("foo")
    ('nir', None, 'red', None)
    """
    number = numbered(description)
    if number is not None:
        return SENSOR_BANDS.get(sensor or "", {}).get(number)
    return _ALIASES.get((description or "").strip().lower().replace("-", "_"))
