"""Height layers whose vertical reference the user declares or changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Values
from demiurge.errors import DataError, UsageError
from demiurge.layers import Kind
from demiurge.scene.geoid import (
    VerticalChange,
    compound,
    height_offset,
    interpolate,
    reference_of,
    vertical_crs,
)
from demiurge.scene.grid import Window
from demiurge.scene.source import Source
from demiurge.scene.spec import GeoidStep, HeightTransformation, Vertical
from demiurge.scene.vertical import agree


@dataclass(frozen=True)
class ReferencedSource(Source):
    """A height layer with a declared vertical reference, and what is added to its heights.

    Attributes
    ----------
    reference
        The reference of the heights that :meth:`read` returns.
    offsets, frame
        What is added, float64 metres on a lattice, and the grid of the scene, over which it
        extends. None adds nothing.
    made
        How the heights are transformed; None if they are not.
    """

    reference: Vertical = field(kw_only=True)
    offsets: Values | None = field(default=None, compare=False, repr=False, kw_only=True)
    frame: GeoBox | None = field(default=None, kw_only=True)
    made: HeightTransformation | None = field(default=None, compare=False, kw_only=True)

    @property
    def vertical(self) -> Vertical:
        """Return the reference of the heights that are read."""
        return self.reference

    @property
    def transformation(self) -> HeightTransformation | None:
        """Return how the heights are transformed; None if they are not."""
        return self.made

    @property
    def variant(self) -> tuple[str, ...]:
        """Return what the heights depend on in addition to file and grid."""
        added = "" if self.offsets is None else f"{float(np.nansum(self.offsets)):.4f}"
        return (str(self.reference), added)

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window as :meth:`Source.read` does, in the reference of the scene."""
        data = super().read(grid, window, step)
        rows = window.row + step * np.arange(data.shape[0], dtype=np.float64)
        cols = window.col + step * np.arange(data.shape[1], dtype=np.float64)
        return self._added(data, grid, rows, cols)

    def read_reduced(self, grid: GeoBox) -> Array:
        """Read a small grid as :meth:`Source.read_reduced` does, in the scene's reference."""
        data = super().read_reduced(grid)
        rows, cols = (np.arange(n, dtype=np.float64) for n in data.shape)
        return self._added(data, grid, rows, cols)

    def _added(self, data: Array, grid: GeoBox, rows: Values, cols: Values) -> Array:
        if self.offsets is None or self.frame is None:
            return data
        if grid.crs != self.frame.crs or grid.affine.b or grid.affine.d:
            raise DataError(
                f"{self.path}: its heights are transformed on the grid of the scene only",
                "prepare the scene with --crs first",
            )
        a: Any = grid.affine
        inverse = ~self.frame.affine
        x, y = a.c + a.a * (cols + 0.5), a.f + a.e * (rows + 0.5)
        at_cols = inverse.a * x + inverse.c - 0.5
        at_rows = inverse.e * y + inverse.f - 0.5
        shape = (int(self.frame.shape[0]), int(self.frame.shape[1]))
        return (data + interpolate(self.offsets, shape, at_rows, at_cols)).astype(np.float32)


def with_references(
    sources: dict[str, Source], grid: GeoBox, change: VerticalChange
) -> tuple[dict[str, Source], GeoBox, list[str]]:
    """Declare and transform the vertical references of height layers.

    Returns
    -------
    The sources and the grid, whose CRSs no longer have a vertical part, and a note by layer.

    Raises
    ------
    UsageError, DataError, ResourceError
        If a reference is not declared, is declared twice differently, or a geoid grid is missing.
    """
    heights = {n: s for n, s in sources.items() if s.layer.kind is Kind.HEIGHT}
    for name in change.declared or {}:
        if name not in heights:
            raise UsageError(
                f"--vertical {name}: the scene has no such layer of heights",
                "its height layers are: " + ", ".join(heights),
            )
    known = {n: _declared(n, s, change) for n, s in heights.items()}
    target = None if change.to is None else reference_of(change.to)[0]
    frame, notes = _flat(grid), []
    result = {n: replace(s, grid=_flat(s.grid)) for n, s in sources.items()}
    offsets: dict[str, tuple[Values, list[GeoidStep]]] = {}
    for name, source in heights.items():
        kept = {f.name: getattr(result[name], f.name) for f in fields(Source) if f.init}
        reference = known[name]
        if target is None or _same(reference, target):
            result[name] = ReferencedSource(**kept, reference=target or reference)
            continue
        if reference.reference == "unknown":
            raise DataError(
                f"{source.path}: layer '{name}' declares no vertical reference to transform from",
                f"declare it, such as --vertical {name}=egm2008 or --vertical {name}=ellipsoidal",
            )
        key = str(reference)
        if key not in offsets:
            from_, to = (vertical_crs(v, source.path) for v in (reference, target))
            offsets[key] = height_offset(frame, from_, to, change)
        values, steps = offsets[key]
        made = HeightTransformation(
            source=reference, target=target, steps=steps, least=round(float(values.min()), 4),
            most=round(float(values.max()), 4),
        )  # fmt: skip
        result[name] = ReferencedSource(
            **kept, reference=target, offsets=values, frame=frame, made=made
        )
        notes.append(f"{name}: {made}")
    return result, frame, notes


def _declared(name: str, source: Source, change: VerticalChange) -> Vertical:
    text = (change.declared or {}).get(name)
    own = source.vertical
    if text is None:
        return own
    said = reference_of(text)[0]
    if own.reference != "unknown" and not _same(own, said):
        raise DataError(
            f"{source.path}: its heights are declared as {own}, but --vertical says {said}",
            "leave the option out, or correct the file with gdal_edit.py -a_srs",
        )
    return said


def _same(a: Vertical, b: Vertical) -> bool:
    both = a.reference == b.reference and a.reference != "unknown"
    return both and (a.reference == "ellipsoidal" or a.datum == b.datum)


def _flat(grid: GeoBox) -> GeoBox:
    """Return a grid whose CRS has no vertical part."""
    proj: Any = None if grid.crs is None else grid.crs.proj
    if proj is None or not (proj.is_compound or len(proj.axis_info) == 3):
        return grid
    flat = next((p for p in proj.sub_crs_list if not p.is_vertical), proj).to_2d()
    code = flat.to_epsg(min_confidence=100)
    return GeoBox(grid.shape, grid.affine, CRS(f"EPSG:{code}" if code else flat.to_wkt()))


def shared_reference(sources: Mapping[str, Source]) -> Vertical:
    """Return the vertical reference that all height layers share; see :func:`agree`."""
    heights = [s for s in sources.values() if s.layer.kind is Kind.HEIGHT]
    return agree({source.path: source.vertical for source in heights})


def declaring_grid(grid: GeoBox, sources: dict[str, Source], vertical: Vertical) -> GeoBox:
    """Return the grid to write: with a compound CRS if the references were declared or changed.

    Ellipsoidal heights are declared in ``scene.yaml`` only: GeoTIFF has no projected 3-D CRS.
    """
    changed = any(isinstance(source, ReferencedSource) for source in sources.values())
    if not changed or vertical.reference != "orthometric" or not vertical.datum:
        return grid
    part = vertical_crs(vertical, "scene")
    return GeoBox(grid.shape, grid.affine, CRS(compound(grid.crs, part).to_wkt()))
