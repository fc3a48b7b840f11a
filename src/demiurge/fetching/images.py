"""The images of a scene: choice of passes, download of their windows, calibration checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from demiurge.errors import DataError
from demiurge.fetching.calibration import is_contradicted
from demiurge.fetching.catalogues import MaskRule, Product
from demiurge.fetching.composite import LocalItem, clear_pixels, combined, reflectance
from demiurge.fetching.download import Access, window_of
from demiurge.fetching.http import MissingFileError
from demiurge.fetching.options import FetchOptions
from demiurge.fetching.search import Pass, SceneItem, passes_of
from demiurge.progress import progress
from demiurge.scene.camera import Direction
from demiurge.threads import map_ordered

#: Smallest share of the area that a pass must see clearly.
_LEAST = 0.01
#: Passes whose masks are looked at, for each one that is used.
_CANDIDATES = 3
#: Angle in degrees between suns up to which their mean is recorded.
_SUNS = 10.0
#: Layers on which a wrong offset shows best.
_DARK = ("blue", "green", "red", "coastal")


@dataclass
class Images:
    """Passes of a product over an area.

    Attributes
    ----------
    layers
        Lazy float32 (rows, columns) by layer.
    passes
        The passes that are used, with the share of the area that each sees clearly.
    notes
        What was left out and why.
    """

    layers: dict[str, Any]
    passes: list[tuple[Pass, float]]
    notes: list[str] = field(default_factory=list)

    @property
    def sun(self) -> Direction | None:
        """Return the direction to the sun from true north; None if the passes differ."""
        suns = [item.sun for item, _ in self.passes]
        first = suns[0]
        if first is None or any(sun is None or sun.angle_to(first) > _SUNS for sun in suns):
            return None
        return first


def images_of(
    product: Product,
    items: Sequence[SceneItem],
    layers: Sequence[str],
    grid: GeoBox,
    options: FetchOptions,
    access: Access,
) -> Images:
    """Choose the clearest passes, download their windows and return lazy images.

    Raises
    ------
    DataError
        If no item is clear enough.
    ResourceError
        If the service does not send a window.
    """
    assert product.rule is not None
    fair = [item for item in items if item.cloud <= options.cloud]
    if not fair:
        least = min(item.cloud for item in items)
        raise DataError(
            f"{product.name}: the least cloudy of {len(items)} items has {least:.0f} % clouds",
            "raise --cloud, or give another --when",
        )
    notes: list[str] = []
    ranked = _ranked(product, passes_of(fair), grid, options, access, notes)
    wanted = 1 if options.single else options.passes
    used: list[tuple[Pass, float]] = []
    local: list[list[LocalItem]] = []
    for one, masks, share in ranked:
        if len(used) == wanted:
            break
        files = _windows(one.items, layers, grid, options, access, notes, masks)
        files = _credible(files, layers, product.rule, grid, options, notes)
        if files:
            used.append((Pass([x.item for x in files]), share))
            local.append(files)
    if not used:
        raise DataError(
            f"{product.name}: no item can be used ({'; '.join(notes[:3])})",
            "give another --when or another --stac",
        )
    lazy = {
        layer: combined(local, layer, product.rule, grid, snow=options.snow) for layer in layers
    }
    return Images(lazy, used, notes)


def _ranked(
    product: Product,
    passes: list[Pass],
    grid: GeoBox,
    options: FetchOptions,
    access: Access,
    notes: list[str],
) -> list[tuple[Pass, list[LocalItem], float]]:
    """Return passes by the share of the grid that they see clearly, the clearest first."""
    rule: MaskRule | None = product.rule
    assert rule is not None
    wanted = 1 if options.single else options.passes
    candidates = sorted(passes, key=lambda p: p.cloud)[: _CANDIDATES * wanted + 3]
    items = [item for one in candidates for item in one.items]
    found = {x.item.name: x for x in _windows(items, ["mask"], grid, options, access, notes)}
    ranked, reached = [], 0.0
    for one in candidates:
        local = [found[item.name] for item in one.items if item.name in found]
        if not local:
            continue
        seen, covered = clear_pixels(local, rule, grid, snow=options.snow)
        reached = max(reached, covered)
        if seen >= _LEAST:
            ranked.append((Pass([x.item for x in local]), local, seen))
    if not ranked:
        text = "clouds or snow cover the area" if reached > 0 else "the area has no pixels"
        cure = ", raise --cloud, or keep snow with --snow" if reached > 0 else ""
        raise DataError(
            f"{product.name}: {text} in all {len(candidates)} passes", f"give another --when{cure}"
        )
    return sorted(ranked, key=lambda r: (-r[2], r[0].moment))


def _windows(
    items: Sequence[SceneItem],
    names: Sequence[str],
    grid: GeoBox,
    options: FetchOptions,
    access: Access,
    notes: list[str],
    known: Sequence[LocalItem] = (),
) -> list[LocalItem]:
    """Download the windows of items; leave out items with a missing file or without overlap."""
    jobs = [(item, name) for item in items for name in names]
    before = {x.item.name: dict(x.files) for x in known}
    files: dict[str, dict[str, Path]] = {item.name: before.get(item.name, {}) for item in items}
    refused: set[str] = set()

    def get(job: tuple[SceneItem, str]) -> Path | MissingFileError | None:
        item, name = job
        asset = item.mask if name == "mask" else item.assets[name]
        assert asset is not None
        try:
            return window_of(asset.url, grid, access)
        except MissingFileError as error:
            return error

    title = "download masks" if list(names) == ["mask"] else "download"
    with progress(title, len(jobs), quiet=options.quiet, unit="windows", passing=True) as advance:
        for (item, name), path in zip(jobs, map_ordered(get, jobs, options.jobs), strict=True):
            advance(1)
            if isinstance(path, MissingFileError):
                notes.append(f"left out: {item.name}: {path.what}")
            if isinstance(path, Path):
                files[item.name][name] = path
            else:
                refused.add(item.name)
    return [LocalItem(x, files[x.name]) for x in items if x.name not in refused]


def _credible(
    items: list[LocalItem],
    layers: Sequence[str],
    rule: MaskRule,
    grid: GeoBox,
    options: FetchOptions,
    notes: list[str],
) -> list[LocalItem]:
    """Return the items whose pixels do not contradict the offset that they state."""
    dark = next((name for name in _DARK if name in layers), None)
    step = max(1, max(grid.shape) // 512)
    coarse = grid.zoom_out(step) if step > 1 else grid
    kept = []
    for local in items:
        stated = local.item.assets[dark].calibration if dark else None
        if dark and stated is not None and local.item.product == "sentinel2" and stated.offset < 0:
            plane = reflectance(local, dark, rule, coarse, snow=options.snow, lazy=False)
            if is_contradicted(plane):
                notes.append(
                    f"left out: {local.item.name}: states an offset of {stated.offset:g}, which "
                    f"makes {dark} negative and is probably applied already"
                )
                continue
        kept.append(local)
    return kept
