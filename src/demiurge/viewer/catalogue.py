"""The layers that a viewer shows: bands of the given files, their ranges and their names."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.layers import Kind, layer, recognise
from demiurge.paths import PathLike, local_file, split_band
from demiurge.scene.files import open_raster
from demiurge.scene.georeference import in_degrees, pixel_size_without_crs
from demiurge.scene.grid import Bounds, intersection, union
from demiurge.scene.open import open_scene
from demiurge.scene.source import Source
from demiurge.viewer.layers import (
    LayerSource,
    Show,
    ViewLayer,
    degrees,
    difference,
    is_local,
    range_of,
)

#: Side in pixels from which a raster without tiles or overviews is slow.
_LARGE = 4096
#: Names of several layers in one expression: a difference.
_DIFFERENCE = re.compile(r"(L\d{1,3})-(L\d{1,3})")
_SUFFIXES = {".html", ".json"}


@dataclass
class Catalogue:
    """All layers of a viewer.

    Attributes
    ----------
    layers
        Layers by key.
    reports
        Files of ``evaluate`` by short name.
    notes
        Sentences for the user.
    """

    layers: dict[str, ViewLayer] = field(default_factory=dict)
    reports: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: Differences of layers that do not change: each tile needs the range, which takes two samples.
    _differences: dict[str, ViewLayer] = field(default_factory=dict)

    def find(self, key: str) -> ViewLayer:
        """Return a layer, or the difference of two (``L1-L0``).

        Raises
        ------
        UsageError
            If there is no such layer.
        """
        known = self.layers.get(key) or self._differences.get(key)
        if known is not None:
            return known
        match = _DIFFERENCE.fullmatch(key)
        if match is None or not all(name in self.layers for name in match.groups()):
            raise UsageError("there is no such layer")
        first, second = (self.layers[name] for name in match.groups())
        made = difference(first, second)
        if not (first.growing or second.growing):
            self._differences[key] = made
        return made

    @property
    def state(self) -> Hashable:
        """Return what changes when one of the files is written again."""
        return tuple(one.state for one in self.layers.values())

    @property
    def local(self) -> bool:
        """Return whether the rasters have no place on the earth."""
        return any(is_local(one.grid) for one in self.layers.values())


def open_catalogue(paths: Sequence[PathLike]) -> Catalogue:
    """Open all files, scenes and folders of scenes.

    Raises
    ------
    ResourceError, DataError, UsageError
        For missing files, files that are no rasters, or nothing to show.
    """
    result = Catalogue()
    frame: list[Affine] = []
    for path in paths:
        _add(result, str(path), frame)
    if not result.layers:
        raise DataError("there is no raster to show", "name a surface, an image or a scene")
    if result.local and not all(is_local(one.grid) for one in result.layers.values()):
        raise DataError(
            "some rasters have a CRS and others have none",
            "set the CRS of all, for example with gdal_edit.py -a_srs EPSG:32633",
        )
    _share_ranges(result)
    return result


def _add(result: Catalogue, path: str, frame: list[Affine]) -> None:
    file = local_file(path) or Path(path)
    if file.suffix.lower() in _SUFFIXES and file.is_file():
        result.reports[f"R{len(result.reports)}"] = file
    elif file.is_dir() and (file / "scene.yaml").is_file():
        _add_scene(result, file)
    elif file.is_dir() and (inside := sorted(p.parent for p in file.glob("*/scene.yaml"))):
        for folder in inside:
            _add_scene(result, folder)
    elif file.name == "scene.yaml":
        _add_scene(result, file.parent)
    else:
        _add_raster(result, path, frame)


def _add_scene(result: Catalogue, folder: Path) -> None:
    scene = open_scene(folder)
    colours = [scene.sources[name] for name in ("red", "green", "blue") if name in scene.sources]
    if len(colours) == 3:
        _append(result, "red, green, blue", scene.name, "image", "DN", colours)
    for name, source in scene.sources.items():
        if not (len(colours) == 3 and source in colours):
            _append(result, name, scene.name, _show(name), source.layer.unit, [source])
    result.notes += [f"{scene.name}: {text}" for text in scene.notes]


def _add_raster(result: Catalogue, path: str, frame: list[Affine]) -> None:
    text, band = split_band(path)
    group = (local_file(text) or Path(text)).name
    with open_raster(text) as dataset:
        names = _band_names(dataset, group)
        relative = dataset.tags().get("units") == "relative"
        colours = _colours(dataset) if band is None else []
        local = _local_size(text, dataset)
        _note_layout(result, group, dataset)
    chosen = [band] if band is not None else list(range(1, len(names) + 1))
    opened: dict[str, str] = {}
    if colours:
        sources = [_opened(text, b, "ortho_left", local, frame) for b in colours]
        _append(result, group, group, "image", "DN", sources)
        chosen = [b for b in chosen if b not in colours and names[b - 1] != "alpha"]
    for number in chosen:
        name = names[number - 1]
        show, known = meaning(name)
        source = _opened(text, number, known, local, frame)
        unit = "relative" if relative and source.layer.unit == "m" else source.layer.unit
        title = group if len(names) == 1 else f"{group}: {name}"
        opened[name] = _append(result, title, group, show, unit, [source])
        result.notes += [f"{group}: {remark}" for remark in source.remarks]
    _link_uncertainty(result, opened)


def _opened(path: str, band: int, name: str, local: float | None, frame: list[Affine]) -> Source:
    """Open a band; a raster without CRS gets the frame of the first one."""
    source = Source.open(path, layer(name), band, local=local, nodata=())
    if local is None or not is_local(source.grid):
        return source
    with open_raster(path) as dataset:
        transform = dataset.transform
    if transform.is_identity:
        return source
    if not frame:
        # Away from the origin: GDAL takes a unit transform there for none.
        frame.append(Affine.translation(transform.c - 1000, transform.f - 1000))
    return replace(source, grid=GeoBox(source.grid.shape, ~frame[0] * transform, source.grid.crs))


def _local_size(path: str, dataset: Any) -> float | None:
    """Return the pixel size of a raster without CRS; None if it has one."""
    if dataset.crs is not None:
        return None
    if in_degrees(dataset):
        raise DataError(
            f"{path}: has no CRS, and its coordinates look like degrees",
            "set it, for example with gdal_edit.py -a_srs EPSG:4326",
        )
    return pixel_size_without_crs(path, dataset) or 1.0


def _band_names(dataset: Any, group: str) -> list[str]:
    stem = group.rsplit(".", 1)[0]
    names = [d or "" for d in dataset.descriptions]
    if len(names) == 1 and not names[0]:
        return [stem]
    return [name or f"band {i}" for i, name in enumerate(names, start=1)]


def _colours(dataset: Any) -> list[int]:
    """Return the bands of red, green and blue, or an empty list."""
    for names in ([recognise(d) for d in dataset.descriptions],
                  [c.name for c in dataset.colorinterp]):  # fmt: skip
        if all(colour in names for colour in ("red", "green", "blue")):
            return [names.index(colour) + 1 for colour in ("red", "green", "blue")]
    return []


def meaning(name: str) -> tuple[Show, str]:
    """Return how a band is displayed, and the layer that it is read as."""
    if name.endswith("_uncertainty"):
        return "uncertainty", "triangulation_error"
    known = recognise(name.removesuffix("_relative"))
    if known is None:
        return ("image", "ortho_left") if "ortho" in name.lower() else ("height", "dsm")
    return _show(known), known


def _show(name: str) -> Show:
    kind = layer(name).kind
    table: dict[Kind, Show] = {
        Kind.HEIGHT: "height", Kind.IMAGE: "image", Kind.ERROR: "uncertainty",
        Kind.INDEX: "index", Kind.MASK: "class", Kind.CLASS: "class",
    }  # fmt: skip
    return table[kind]


def _append(
    result: Catalogue, title: str, group: str, show: Show, unit: str, sources: Sequence[LayerSource]
) -> str:
    key = f"L{len(result.layers)}"
    made = ViewLayer(key, title, group, show, unit, tuple(sources))
    low, high = range_of(made)
    result.layers[key] = replace(made, low=low, high=high)
    return key


def _link_uncertainty(result: Catalogue, opened: dict[str, str]) -> None:
    for name, key in opened.items():
        if (other := opened.get(f"{name}_uncertainty")) is not None:
            result.layers[key] = result.layers[key].with_uncertainty(other)


def _share_ranges(result: Catalogue) -> None:
    """Give all heights of one unit one range, and all uncertainties another."""
    for show in ("height", "uncertainty"):
        for unit in {one.unit for one in result.layers.values()}:
            alike = [o for o in result.layers.values() if o.show == show and o.unit == unit]
            for group in _overlapping(alike):
                low, high = min(o.low for o in group), max(o.high for o in group)
                for one in group:
                    result.layers[one.key] = replace(one, low=low, high=high)


def _overlapping(layers: Iterable[ViewLayer]) -> list[list[ViewLayer]]:
    """Group layers by place: scenes far from each other keep their own ranges."""
    groups: list[tuple[Bounds, list[ViewLayer]]] = []
    for one in layers:
        box = degrees(one.grid)
        for i, (other, members) in enumerate(groups):
            if intersection([box, other]) is not None:
                members.append(one)
                groups[i] = (union([box, other]), members)
                break
        else:
            groups.append((box, [one]))
    return [members for _, members in groups]


def _note_layout(result: Catalogue, group: str, dataset: Any) -> None:
    if max(dataset.shape) < _LARGE or not needs_cog(dataset):
        return
    result.notes.append(
        f"{group}: is large and has no tiles or overviews, which is slow; --make-cog writes a copy "
        "that is quick"
    )


def needs_cog(dataset: Any) -> bool:
    """Return whether an open raster has no tiles or no overviews, and is large."""
    tiled = dataset.block_shapes[0][1] < dataset.width or dataset.width <= 512
    return max(dataset.shape) >= _LARGE and not (tiled and dataset.overviews(1))
