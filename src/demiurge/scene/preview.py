"""The summary of a scene for notebooks: pictures, grid, layers, vertical reference, origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DemiurgeError
from demiurge.layers import PANCHROMATIC, Kind, layer
from demiurge.paths import is_remote
from demiurge.scene.grid import Window, crs_name
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical
from demiurge.summary import Picture, Table, html_summary, shaded, stretched, thinning

#: Largest number of pixels of a scene that is read for its thumbnails.
_MOST = 10**8
_COLOURS = ("red", "green", "blue")


class Previewed(Protocol):
    """What of a scene its summary shows."""

    @property
    def name(self) -> str:
        """Return the name."""

    @property
    def grid(self) -> GeoBox:
        """Return the grid."""

    @property
    def sources(self) -> dict[str, Source]:
        """Return the stored layers."""

    @property
    def vertical(self) -> Vertical:
        """Return the vertical reference of heights."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes."""

    @property
    def views(self) -> Mapping[str, Any]:
        """Return the directions to the sensor by image."""

    @property
    def sun(self) -> Any:
        """Return the direction to the sun, or None."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""

    @property
    def pixel_size(self) -> float:
        """Return the pixel size in metres."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers."""

    @property
    def base(self) -> str | None:
        """Return the layer of initial heights."""

    def read(
        self, window: Window | None = None, layers: Sequence[str] | None = None, step: int = 1
    ) -> Array:
        """Read layers."""


def grid_facts(grid: GeoBox) -> list[tuple[str, str]]:
    """Return size, CRS and extent of a grid as headings and texts."""
    rows, columns = (int(n) for n in grid.shape)
    size = abs(grid.affine.a)
    box = grid.extent.boundingbox
    km2 = rows * columns * size**2 / 1e6
    return [
        ("grid", f"{rows} × {columns} pixels of {size:g} m ({km2:.4g} km²)"),
        ("CRS", crs_name(grid.crs)),
        ("extent", f"x {box.left:.10g} to {box.right:.10g}, y {box.bottom:.10g} to {box.top:.10g}"),
    ]


def scene_html(scene: Previewed) -> str:
    """Return the summary of a scene as self-contained HTML."""
    views = [f"{name} from {view}" for name, view in scene.views.items()]
    facts = [
        *grid_facts(scene.grid),
        ("vertical reference", str(scene.vertical)),
        ("views", "; ".join(views)),
        ("sun", "" if scene.sun is None else str(scene.sun)),
    ]
    pictures, reason = _pictures(scene)
    return html_summary(
        f"Scene '{scene.name}'",
        [*facts, ("thumbnails", reason)],
        pictures=pictures,
        tables=[_layers(scene)],
        notes=scene.notes,
    )


def _layers(scene: Previewed) -> Table:
    rows = []
    for name in scene.layers:
        source = scene.sources.get(name)
        if source is None:
            rows.append((name, layer(name).unit, layer(name).about, "computed", ""))
            continue
        native = source.native or source.grid
        size = (native.affine.determinant**2) ** 0.25
        unit = "°" if native.crs is not None and native.crs.geographic else " m"
        file = source.path if is_remote(source.path) else Path(source.path).name
        text = f"{file}, band {source.band}"
        rows.append((name, layer(name).unit, layer(name).about, text, f"{size:.4g}{unit}"))
    return Table(("layer", "unit", "content", "from", "its pixels"), rows)


def _pictures(scene: Previewed) -> tuple[list[Picture], str]:
    """Return thumbnails, or the reason for none: nothing slow is read to show an object."""
    names = _shown(scene)
    sources = [scene.sources[name] for group in names for name in group]
    if any(is_remote(source.path) for source in sources):
        return [], "not shown: the files are remote"
    if any(source.array is not None and source.array.lazy for source in sources):
        return [], "not shown: the arrays are not computed"
    if scene.shape[0] * scene.shape[1] > _MOST:
        return [], "not shown: the scene is large"
    step, pictures = thinning(scene.shape), []
    try:
        for group in names:
            bands = scene.read(layers=group, step=step)
            if layer(group[0]).kind is Kind.HEIGHT:
                pixels, low, high = shaded(bands[0], scene.pixel_size * step)
                pictures.append(Picture(f"{group[0]}, {low:.1f} to {high:.1f} m", pixels))
            else:
                pictures.append(Picture(", ".join(group), stretched(bands)))
    except DemiurgeError as error:
        return [], f"not shown: {error}"
    return pictures, ""


def _shown(scene: Previewed) -> list[tuple[str, ...]]:
    """Return the layers of each thumbnail: an image, then heights."""
    have = scene.sources
    grey = [name for name in (*PANCHROMATIC, *have) if name in have]
    images = [name for name in grey if layer(name).kind is Kind.IMAGE][:1]
    image = _COLOURS if set(_COLOURS) <= {*have} else tuple(images)
    heights = scene.base or next((n for n in have if layer(n).kind is Kind.HEIGHT), None)
    return [group for group in (image, () if heights is None else (heights,)) if group]
