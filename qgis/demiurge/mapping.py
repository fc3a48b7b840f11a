"""Parameters of an algorithm from the options of a command, and arguments from their values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .specification import CommandCard, Layer, Option

#: Options that the plugin decides itself: QGIS shows progress and results.
HIDDEN = ("quiet", "view")
#: Layers that a scene for refine or generate usually has; the others are advanced parameters.
_USUAL = (
    "dsm", "dem_prior", "ortho_left", "ortho_right", "triangulation_error", "ndvi", "truth_dsm",
    "truth_dtm",
)  # fmt: skip
KINDS = (
    "raster", "rasters", "band", "file", "folder", "points_layer", "integer", "number", "boolean",
    "choice", "text", "lines", "crs", "bounds", "raster_output", "file_output", "folder_output",
)  # fmt: skip
_FILTERS = {
    "points": "Points (*.csv *.txt *.gpkg *.las *.laz *.h5);;All files (*)",
    "bundle": "Bundles (*.bundle);;All files (*)",
}
_NAMES = {
    ".las": "LAS",
    ".laz": "LAZ",
    ".ply": "PLY",
    ".glb": "glTF",
    ".obj": "OBJ",
    ".json": "JSON",
    ".html": "HTML",
    ".tif": "GeoTIFF",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of an algorithm.

    ``kind`` is one of ``KINDS``, ``parent`` the raster of a band.
    ``option`` is the name of the option that the value belongs to.
    """

    name: str
    kind: str
    label: str
    help: str
    option: str
    required: bool = False
    advanced: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple = ()
    filter: str = ""
    parent: str = ""


def parameters(card: CommandCard, layers: tuple) -> list:
    """Return the parameters of a command: inputs, options, expert options, outputs."""
    found = [p for o in card.options if o.name not in HIDDEN for p in _parameters(o, layers)]
    inputs = [p for p in found if not p.kind.endswith("output")]
    outputs = [p for p in found if p.kind.endswith("output")]
    return [*sorted(inputs, key=lambda p: p.advanced), *outputs]


def _parameters(option: Option, layers: tuple) -> list:
    if option.suffixes:
        return [_output(option)]
    several = {
        "scene": lambda: _scene(option),
        "band": lambda: _band(option),
        "points": lambda: _points(option),
        "layers": lambda: _layers(option, layers),
    }
    if option.kind in several:
        return several[option.kind]()
    return [_single(option)]


def _base(option: Option, **changes: Any) -> dict:
    help_text = option.help if option.positional else f"{option.help} ({option.option})"
    return {
        "name": option.name,
        "label": label(option.name if option.positional else option.option.lstrip("-")),
        "help": help_text,
        "option": option.name,
        "required": option.required,
        "advanced": option.tier == "expert",
    } | changes


def label(name: str) -> str:
    """Return the label of a name: ``NDVI`` for ndvi, ``Left RPC`` for left-rpc."""
    if name == "nodata":
        return "No data values"
    words = [w.upper() if w in _ABBREVIATIONS else w for w in re.split("[_-]", name)]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


_ABBREVIATIONS = (
    "dsm", "dtm", "dem", "ndvi", "rpc", "crs", "gsd", "json", "stac", "tta", "nir", "html",
)  # fmt: skip


def _single(option: Option) -> Parameter:
    limits = option.limits
    kind = {"choice": "choice", "raster": "raster", "bundle": "file"}.get(option.kind, option.kind)
    if option.repeatable:
        kind = {"raster": "rasters"}.get(kind, "lines")
    help_text = _base(option)["help"]
    if kind == "lines":
        help_text = f"{help_text} One per line."
    return Parameter(
        **_base(option, help=help_text),
        kind=kind,
        default=str(option.default) if kind == "choice" and option.default else option.default,
        minimum=limits.get("ge", limits.get("gt")),
        maximum=limits.get("le", limits.get("lt")),
        choices=tuple(str(choice) for choice in option.choices),
        filter=_FILTERS.get(option.kind, ""),
    )


def _scene(option: Option) -> list:
    folder = f"{_base(option)['label']}: folder instead of a raster"
    return [
        Parameter(**_base(option, required=False), kind="raster"),
        Parameter(
            **_base(option, name=f"{option.name}_folder", label=folder, required=False),
            kind="folder",
        ),
    ]


def _band(option: Option) -> list:
    band = {"name": f"{option.name}_band", "label": f"{_base(option)['label']}: band"}
    return [
        Parameter(**_base(option), kind="raster"),
        Parameter(
            **_base(option, **band, required=False, help="The band with the heights if not set."),
            kind="band",
            parent=option.name,
        ),
    ]


def _points(option: Option) -> list:
    layer = f"{_base(option)['label']}: layer instead of a file"
    return [
        Parameter(**_base(option, required=False), kind="file", filter=_FILTERS["points"]),
        Parameter(
            **_base(option, name=f"{option.name}_layer", label=layer, required=False),
            kind="points_layer",
        ),
    ]


def _layers(option: Option, layers: tuple) -> list:
    return [
        *(_layer(option, layer) for layer in layers),
        Parameter(
            **_base(
                option,
                label="Rasters whose bands are described or coloured",
                help="Their band descriptions or colours name the layers.",
                required=False,
            ),
            kind="rasters",
        ),
        Parameter(
            **_base(
                option,
                name=f"{option.name}_folder",
                label="Output folder of another tool",
                required=False,
            ),
            kind="folder",
        ),
    ]


def _layer(option: Option, layer: Layer) -> Parameter:
    return Parameter(
        **_base(
            option,
            name=f"{option.name}_{layer.name}",
            label=f"{label(layer.name)}: {layer.about}",
            help=f"Layer {layer.name}.",
            required=False,
            advanced=layer.name not in _USUAL,
        ),
        kind="raster",
    )


def _output(option: Option) -> Parameter:
    folder = option.suffixes == ["/"]
    kind = (
        "folder_output" if folder else f"{'raster' if option.kind == 'raster' else 'file'}_output"
    )
    filters = [f"{_NAMES.get(s, s[1:].upper())} (*{s})" for s in option.suffixes if not folder]
    return Parameter(**_base(option), kind=kind, filter=";;".join(filters))


def fault(card: CommandCard, layers: tuple, values: dict) -> str:
    """Return what is wrong with a set of values, as one sentence; empty if nothing is."""
    by_option: dict = {}
    for parameter in parameters(card, layers):
        by_option.setdefault(parameter.option, []).append(parameter)
    for option in card.options:
        group = [p for p in by_option.get(option.name, []) if p.kind != "band"]
        given = [p for p in group if not _empty(values.get(p.name))]
        if option.required and len(group) > 1 and not given:
            return f"Set '{group[0].label}' or '{group[-1].label}'."
        if option.kind in ("scene", "points") and len(given) > 1:
            return f"Set only one of '{given[0].label}' and '{given[1].label}'."
    return ""


def arguments(card: CommandCard, layers: tuple, values: dict) -> list:
    """Return the words of the command line after ``demiurge``.

    ``values`` holds text, numbers, booleans and lists of text by the name of a parameter; values
    that are missing or equal to the default are left out.
    """
    words, places = [], []
    for option in card.options:
        if option.name in HIDDEN:
            continue
        texts = _texts(option, layers, values)
        if option.positional:
            places += texts
        elif option.kind == "boolean":
            value = values.get(option.name)
            if value is not None and bool(value) != bool(option.default):
                words.append(option.option if value else option.off)
        else:
            words += [word for text in texts for word in (option.option, text)]
    return [card.name, *words, *(["--", *places] if places else [])]


def _texts(option: Option, layers: tuple, values: dict) -> list:
    """Return the values of an option as texts."""
    value = values.get(option.name)
    if option.kind == "layers":
        named = {layer.name: values.get(f"{option.name}_{layer.name}") for layer in layers}
        texts = [f"{name}={path}" for name, path in named.items() if not _empty(path)]
        folder = values.get(f"{option.name}_folder")
        return [*texts, *(value or []), *([] if _empty(folder) else [folder])]
    if option.kind == "scene" and _empty(value):
        value = values.get(f"{option.name}_folder")
    if option.kind == "points" and _empty(value):
        value = values.get(f"{option.name}_layer")
    if _empty(value):
        return []
    band = values.get(f"{option.name}_band")
    if option.kind == "band" and band:
        return [f"{value}:{band}"]
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value if not _empty(item)]
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    default = option.default
    same = value == default or text == str(default)
    return [] if same and default is not None else [text]


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, tuple)) and not value)
