"""The vocabulary of layers: all names of bands, with their meaning.

Other modules do not define band names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Literal

from demiurge.errors import UsageError


class Kind(StrEnum):
    """Type of a layer's values."""

    HEIGHT = "height"
    IMAGE = "image"
    INDEX = "index"
    ERROR = "error"
    MASK = "mask"
    CLASS = "class"
    DENSITY = "density"


class Role(StrEnum):
    """Use of a layer."""

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
        Type of its values, and its use.
    unit
        Unit of its values; ``DN`` is a digital number of unknown scale, ``1`` has no unit.
    resampling
        GDAL's resampling method for warping it to another grid.
    void
        Meaning of a missing value, and its representation in network inputs.
    about
        Description in one line.
    aliases
        Other band descriptions that name it in files (lower case).
    """

    name: str
    kind: Kind
    role: Role
    unit: str
    resampling: str
    void: str
    about: str
    aliases: tuple[str, ...] = ()


_NOT_MEASURED = "NaN where not measured; filled for the network, with a mask as further input"
_NO_IMAGE = "NaN outside the image; the network gets the image's mean there"


def _height(name: str, about: str, role: Role = Role.INPUT, *aliases: str) -> Layer:
    # The prior is much coarser than the scene: cubic upsampling is smooth.
    resampling = "cubic" if name == "dem_prior" else "bilinear"
    void = "NaN where unknown; never part of a loss" if role is Role.TRUTH else _NOT_MEASURED
    return Layer(name, Kind.HEIGHT, role, "m", resampling, void, about, aliases)


def _image(name: str, about: str, *aliases: str) -> Layer:
    return Layer(name, Kind.IMAGE, Role.INPUT, "DN", "bilinear", _NO_IMAGE, about, aliases)


_ALL = (
    _height("dsm", "initial digital surface model from stereo matching", Role.INPUT),
    _height("dtm", "known bare-earth heights", Role.INPUT),
    _height("dem_prior", "coarse elevation model that covers the scene", Role.INPUT, "prior"),
    _image("ortho_left", "left panchromatic image, orthorectified with the initial DSM", "left"),
    _image("ortho_right", "right panchromatic image, orthorectified with the initial DSM", "right"),
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
          "1 where the inputs are measured, 0 elsewhere"),
    _height("truth_dsm", "reference surface, such as first returns of lidar", Role.TRUTH),
    _height("truth_dtm", "reference bare-earth heights", Role.TRUTH),
    _height("truth_height", "height above ground: truth_dsm less truth_dtm", Role.TRUTH),
    Layer("landcover", Kind.CLASS, Role.AUXILIARY, "1", "nearest", "NaN where unclassified",
          "land-cover class numbers, for reports by class"),
    Layer("intensity", Kind.IMAGE, Role.AUXILIARY, "DN", "bilinear", "NaN without points",
          "mean intensity of the lidar points in a pixel"),
    Layer("point_density", Kind.DENSITY, Role.AUXILIARY, "1/m²", "bilinear", "0 without points",
          "lidar points per square metre"),
)  # fmt: skip

LAYERS: dict[str, Layer] = {layer.name: layer for layer in _ALL}

#: A coarse elevation model, without the detail that an image shows.
PRIOR = "dem_prior"

#: Layers that can define a scene's grid and its measured heights; the first one present does.
BASES = ("dsm", "dem_prior", "dtm")

#: Panchromatic images, whose contrast is equalised.
PANCHROMATIC = ("ortho_left", "ortho_right")

#: Height above ground as a target: neither an elevation nor an input.
ABOVE_GROUND = "height"
#: Heights that a network can predict, and the layers of their reference.
TARGETS = {"dsm": "truth_dsm", "dtm": "truth_dtm", ABOVE_GROUND: "truth_height"}
#: Bands that a network can predict from heights; each is its own reference.
PAINTED = ("red", "green", "blue", "nir")
Target = Literal["dsm", "dtm", "height", "red", "green", "blue", "nir"]


def truth_of(target: str) -> str:
    """Return the layer that holds the reference of a target."""
    return TARGETS.get(target, target)


_ALIASES = {alias: layer.name for layer in _ALL for alias in (layer.name, *layer.aliases)}


def layer(name: str) -> Layer:
    """Return the layer called ``name``.

    Raises
    ------
    UsageError
        If there is none; the message names the closest one.
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
#: Layers by band number; the numbering differs between sensors.
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
    """Return the number in a band description that is only a number, or None.

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
        Key of ``SENSOR_BANDS``; without it, band numbers are not recognised.

    >>> recognise("B08", "sentinel2"), recognise("B08"), recognise("Red"), recognise("foo")
    ('nir', None, 'red', None)
    """
    number = numbered(description)
    if number is not None:
        return SENSOR_BANDS.get(sensor or "", {}).get(number)
    return _ALIASES.get((description or "").strip().lower().replace("-", "_"))
