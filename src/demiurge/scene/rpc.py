"""Readers of rational polynomial coefficients (RPC) from tags and from side files of vendors.

Offsets of lines and samples count from the centre of the first pixel, as in GDAL's metadata. DIMAP
files count from 1; the reader subtracts 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from demiurge.errors import DataError, ResourceError

_SCALARS = (
    "line_off",
    "samp_off",
    "lat_off",
    "long_off",
    "height_off",
    "line_scale",
    "samp_scale",
    "lat_scale",
    "long_scale",
    "height_scale",
)
_SERIES = ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff")

#: Names of Maxar's RPB and XML files (Image Support Data, 1 October 2008).
_MAXAR = {
    "lineoffset": "line_off",
    "sampoffset": "samp_off",
    "latoffset": "lat_off",
    "longoffset": "long_off",
    "heightoffset": "height_off",
    "linescale": "line_scale",
    "sampscale": "samp_scale",
    "latscale": "lat_scale",
    "longscale": "long_scale",
    "heightscale": "height_scale",
    "linenumcoef": "line_num_coeff",
    "linedencoef": "line_den_coeff",
    "sampnumcoef": "samp_num_coeff",
    "sampdencoef": "samp_den_coeff",
}

#: RPC values by name in lower case.
RpcValues = dict[str, Any]


def read_rpc(path: str | Path) -> Any:
    """Read RPCs from a side file: ``_RPC.TXT``, ``.RPB``, Maxar XML or DIMAP XML.

    Parameters
    ----------
    path
        The side file.

    Returns
    -------
    rasterio's ``RPC``.

    Raises
    ------
    ResourceError
        If the file does not exist or cannot be read.
    DataError
        If its RPCs are incomplete or invalid.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be read ({error.strerror})", "check the path"
        ) from None
    if text.lstrip().startswith("<"):
        values = _from_xml(path, text)
    elif re.search(r"lineoffset\s*=", text, re.IGNORECASE):
        values = _from_rpb(text)
    else:
        values = _from_text(text)
    return make_rpc(values, str(path))


def make_rpc(values: Mapping[str, Any], where: str) -> Any:
    """Validate RPC values and return rasterio's ``RPC``.

    Parameters
    ----------
    values
        By name in lower case; offsets and scales as numbers, coefficients as 20 numbers.
    where
        The file, for error messages.

    Raises
    ------
    DataError
        For values that are missing, not finite, wrong in number, or impossible.
    """
    from rasterio.rpc import RPC

    missing = [name for name in (*_SCALARS, *_SERIES) if name not in values]
    if missing:
        raise DataError(
            f"{where}: contains no RPC value {missing[0].upper()}",
            "name the image's _RPC.TXT, .RPB, Maxar XML or DIMAP RPC XML file",
        )
    series = {name: [float(v) for v in values[name]] for name in _SERIES}
    scalars = {name: float(values[name]) for name in _SCALARS}
    for name, numbers in (*series.items(), *((n, [v]) for n, v in scalars.items())):
        if name in _SERIES and len(numbers) != 20:
            raise DataError(f"{where}: {name.upper()} has {len(numbers)} values, not 20", _DAMAGED)
        if not all(math.isfinite(v) for v in numbers):
            raise DataError(f"{where}: {name.upper()} is not a finite number", _DAMAGED)
    if any(scalars[name] == 0 for name in _SCALARS if name.endswith("scale")):
        raise DataError(f"{where}: a scale of the RPCs is 0", _DAMAGED)
    if not (abs(scalars["lat_off"]) <= 90 and abs(scalars["long_off"]) <= 360):
        raise DataError(f"{where}: the RPC offsets are not on the Earth", _DAMAGED)
    if any(not any(series[name]) for name in _SERIES):
        raise DataError(f"{where}: the RPC coefficients are all 0", _DAMAGED)
    return RPC(
        **scalars,
        **series,
        err_bias=_optional(values, "err_bias"),
        err_rand=_optional(values, "err_rand"),
    )


_DAMAGED = "copy the file again, or contact its provider"


def _optional(values: Mapping[str, Any], name: str) -> float | None:
    return float(values[name]) if name in values else None


def _from_text(text: str) -> RpcValues:
    """Read ``LINE_OFF: +005000.00 pixels`` and ``LINE_NUM_COEFF_1: …``."""
    values: RpcValues = {}
    for line in text.splitlines():
        match = re.match(r"\s*([A-Z_]+?)(?:_(\d+))?\s*[:=]\s*([-+0-9.eEdD]+)", line, re.IGNORECASE)
        if not match:
            continue
        _put(values, match[1].lower(), match[2], match[3])
    return _ordered(values)


def _from_rpb(text: str) -> RpcValues:
    """Read ``lineOffset = 5000;`` and ``lineNumCoef = (1, 2, …);``."""
    values: RpcValues = {}
    for name, body in re.findall(r"(\w+)\s*=\s*(\([^)]*\)|[^;\n]+)\s*;?", text):
        key = _MAXAR.get(name.lower())
        if key is None:
            if name.lower() in ("errbias", "errrand"):
                values["err_" + name.lower()[3:]] = _number(body)
            continue
        numbers = [_number(v) for v in re.findall(r"[-+0-9.eEdD]+", body)]
        values[key] = numbers if key in _SERIES else numbers[0] if numbers else math.nan
    return values


def _from_xml(path: str | Path, text: str) -> RpcValues:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise DataError(f"{path}: is not readable XML", _DAMAGED) from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # remove the namespace
    if root.find(".//RFM_Validity") is not None:
        return _from_dimap(root)
    values: RpcValues = {}
    for element in root.iter():
        key = _MAXAR.get(element.tag.lower())
        if key is None:
            continue
        numbers = [_number(v) for v in (element.text or "").split()]
        if numbers:
            values[key] = numbers if key in _SERIES else numbers[0]
    return values


def _from_dimap(root: ElementTree.Element) -> RpcValues:
    """Read DIMAP: Pléiades, SPOT 6 and 7 (``Inverse_Model``), Pléiades Neo (``GroundtoImage``)."""
    values: RpcValues = {}
    model = root.find(".//Inverse_Model")
    if model is None:
        model = root.find(".//GroundtoImage_Values")
    validity = root.find(".//RFM_Validity")
    assert validity is not None
    for element in (*(model if model is not None else ()), *validity):
        match = re.fullmatch(r"([A-Z_]+?)(?:_(\d+))?", element.tag)
        if match and element.text and not len(element):
            _put(values, match[1].lower(), match[2], element.text.strip())
    for name in ("line_off", "samp_off"):
        if name in values:
            values[name] -= 1
    return _ordered(values)


def _put(values: RpcValues, name: str, index: str | None, text: str) -> None:
    if name in _SERIES and index is not None:
        values.setdefault(name, {})[int(index)] = _number(text)
    elif name in _SCALARS or name in ("err_bias", "err_rand"):
        values[name] = _number(text)


def _ordered(values: RpcValues) -> RpcValues:
    """Convert numbered coefficients to lists."""
    return {
        name: [value[k] for k in sorted(value)] if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _number(text: str) -> float:
    try:
        return float(text.strip().replace("D", "E").replace("d", "e"))
    except ValueError:
        return math.nan
