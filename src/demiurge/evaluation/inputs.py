"""What plays which part in a comparison: files opened, checked, and brought to one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odc.geo.geobox import GeoBox

from demiurge.errors import DataError, UsageError
from demiurge.layers import PRIOR, layer
from demiurge.paths import PathLike, split_band
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import bounds_in, is_plain
from demiurge.scene.grid import intersection
from demiurge.scene.open import choose_grid
from demiurge.scene.source import Source
from demiurge.scene.undeclared import NoData, for_layers
from demiurge.scene.vertical import agree, vertical_of

HEIGHTS = ("surface", "reference", "baseline", "ground")
_LAYERS = {"reference": "truth_dsm", "baseline": PRIOR, "landcover": "landcover", "mask": "valid"}


@dataclass(frozen=True)
class Opened:
    """The rasters of a comparison, by role, and the grid it takes place on.

    Attributes
    ----------
    spread
        The surface's own uncertainty, where it has such a band.
    relative
        The surface's heights are relative, not metres above a datum.
    notes
        Sentences on what was done to bring them together.
    """

    sources: Mapping[str, Source]
    grid: GeoBox
    spread: Source | None
    relative: bool
    notes: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """Return how many pixels the grid has."""
        return int(self.grid.shape[0]) * int(self.grid.shape[1])

    @property
    def files(self) -> dict[str, str]:
        """Return the files by role."""
        return {role: source.path for role, source in self.sources.items()}


def open_all(roles: Mapping[str, PathLike | None], nodata: NoData | None = None) -> Opened:
    """Open the rasters of a comparison; roles of None are left out.

    Parameters
    ----------
    nodata
        By role, the stored values that are no data besides those that files declare.

    Raises
    ------
    ResourceError, DataError
        For missing files, no overlap, other units or vertical references.
    """
    given = {role: path for role, path in roles.items() if path is not None}
    told = for_layers(nodata, given)
    sources = {role: _open(role, path, told.get(role)) for role, path in given.items()}
    surface = sources["surface"]
    relative = is_relative(surface.path)
    heights = [s for role, s in sources.items() if role in HEIGHTS]
    if relative:
        heights.remove(surface)
    agree({s.path: vertical_of(s.grid.crs) for s in heights})
    grid, notes = common_grid(sources)
    notes += [f"{role}: {text}" for role, source in sources.items() for text in source.remarks]
    return Opened(sources, grid, _uncertainty(surface), relative, tuple(notes))


def open_role(role: str, path: PathLike) -> Source:
    """Open what plays a part in a comparison in metres; relative heights are refused."""
    source = _open(role, path)
    if is_relative(source.path):
        raise UsageError(
            f"{source.path}: its heights are relative and cannot be compared in metres",
            "use demiurge evaluate, or give generate a --prior to make them absolute",
        )
    return source


def _open(role: str, path: PathLike, nodata: Sequence[float] | None = None) -> Source:
    file, band = split_band(str(path))
    kind = layer(_LAYERS.get(role, "dsm"))
    return Source.open(file, kind, band, nodata=nodata, role=role)


def is_relative(path: str) -> bool:
    """Tell whether a raster says that its heights are relative."""
    with open_raster(path) as dataset:
        return bool(dataset.tags().get("units") == "relative")


def _uncertainty(surface: Source) -> Source | None:
    """Return the band that tells how sure the surface is, where it follows that of the heights."""
    with open_raster(surface.path) as dataset:
        names = dataset.descriptions
    name, after = names[surface.band - 1], surface.band + 1
    if name and after <= len(names) and names[after - 1] == f"{name}_uncertainty":
        return Source.open(surface.path, layer("triangulation_error"), after)
    return None


def common_grid(sources: Mapping[str, Source]) -> tuple[GeoBox, list[str]]:
    """Return the surface's grid where the reference covers it, and what was done to it."""
    grid, notes = sources["surface"].grid, list[str]()
    if not is_plain(grid):
        grid, notes = choose_grid({"dsm": sources["surface"]})
    return _overlap(grid, sources), notes


def _overlap(grid: GeoBox, sources: Mapping[str, Source]) -> GeoBox:
    """Return the part of the grid that the reference covers."""
    whole = bounds_in(grid, grid.crs)
    for role in sources:
        shared = intersection([whole, bounds_in(sources[role].grid, grid.crs)])
        if shared is None:
            raise DataError(
                f"{sources['surface'].path} and {sources[role].path} do not overlap",
                "check their CRS and extents with gdalinfo",
            )
    box = bounds_in(sources["reference"].grid, grid.crs)
    shared = intersection([whole, box])
    assert shared is not None
    a = grid.affine
    first_col = max(0, int((shared[0] - a.c) / a.a))
    first_row = max(0, int((shared[3] - a.f) / a.e))
    last_col = min(grid.shape[1], -int(-(shared[2] - a.c) / a.a // 1))
    last_row = min(grid.shape[0], -int(-(shared[1] - a.f) / a.e // 1))
    part = grid[first_row : max(last_row, first_row + 1), first_col : max(last_col, first_col + 1)]
    assert isinstance(part, GeoBox)
    return part
