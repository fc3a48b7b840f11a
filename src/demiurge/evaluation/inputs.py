"""Rasters of a comparison: opened, checked and brought to one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import PRIOR, layer
from demiurge.paths import PathLike, RasterLike, split_band
from demiurge.scene.arrays import as_path
from demiurge.scene.files import open_raster
from demiurge.scene.footprint import bounds_in, is_plain
from demiurge.scene.grid import Window, intersection
from demiurge.scene.open import choose_grid
from demiurge.scene.options import NoData
from demiurge.scene.source import Source
from demiurge.scene.spec import Vertical
from demiurge.scene.undeclared import for_layers
from demiurge.scene.vertical import agree, read_vertical

#: Roles whose rasters hold heights.
HEIGHTS = ("surface", "reference", "baseline", "ground")
#: Layer that declares resampling and units of a role; the DSM for all others.
_LAYERS = {"reference": "truth_dsm", "baseline": PRIOR, "landcover": "landcover", "mask": "valid"}


#: Pixels along the side of the blocks that are read at once.
BLOCK = 1024


@dataclass(frozen=True)
class AlignedSource:
    """A raster of heights with a linear transform and a horizontal shift.

    Attributes
    ----------
    source
        The raster.
    scale, offset
        Heights are read as ``scale`` · height + ``offset`` (metres). A scale of 0 gives a flat
        surface with the raster's voids.
    east, north
        Shift of the raster in metres.
    """

    source: Source
    scale: float = 1.0
    offset: float = 0.0
    east: float = 0.0
    north: float = 0.0

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window of a grid: float32 in metres, NaN for no data."""
        if self.east or self.north:
            grid = GeoBox(grid.shape, Affine.translation(-self.east, -self.north) * grid.affine,
                          grid.crs)  # fmt: skip
        heights = self.source.read(grid, window, step)
        if self.scale != 1:
            heights *= np.float32(self.scale)
        if self.offset:
            heights += np.float32(self.offset)
        return heights


@dataclass(frozen=True)
class Inputs:
    """The opened rasters of a comparison and its grid.

    Attributes
    ----------
    sources
        Rasters by role.
    grid
        The surface's grid, cropped to the reference.
    uncertainty
        Band of the surface's standard deviations in metres; None if the file has none.
    relative
        Whether the surface's heights are relative instead of metres above a datum.
    notes
        Sentences on how the rasters were brought to the grid.
    """

    sources: Mapping[str, Source]
    grid: GeoBox
    uncertainty: Source | None
    relative: bool
    notes: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """Return the number of pixels of the grid."""
        return int(self.grid.shape[0]) * int(self.grid.shape[1])

    @property
    def files(self) -> dict[str, str]:
        """Return the files by role."""
        return {role: source.path for role, source in self.sources.items()}


def open_inputs(roles: Mapping[str, RasterLike | None], nodata: NoData | None = None) -> Inputs:
    """Open the rasters of a comparison; roles without a file are skipped.

    Parameters
    ----------
    roles
        Files or objects of xarray by role: ``surface``, ``reference``, optionally ``baseline``,
        ``landcover``, ``ground`` and ``mask``.
    nodata
        By role, stored values to treat as no data in addition to those that files declare.

    Raises
    ------
    ResourceError, DataError
        For missing files, no overlap, or different units or vertical references.
    """
    given = {role: as_path(file, role) for role, file in roles.items() if file is not None}
    values = for_layers(nodata, given)
    above = is_above_ground(split_band(str(given["surface"]))[0])
    sources = {
        role: _open(role, path, values.get(role), above_ground=above)
        for role, path in given.items()
    }
    surface = sources["surface"]
    relative = is_relative(surface.path)
    heights = [s for role, s in sources.items() if role in HEIGHTS]
    if relative:
        heights.remove(surface)
    agree({s.path: vertical_reference(s) for s in heights})
    grid, notes = common_grid(sources)
    notes += [f"{role}: {text}" for role, source in sources.items() for text in source.remarks]
    return Inputs(sources, grid, uncertainty_of(surface), relative, tuple(notes))


def vertical_reference(source: Source) -> Vertical:
    """Return the vertical reference of a raster: that of its CRS, else of the tags of a surface.

    GeoTIFF has no projected three-dimensional CRS, so surfaces declare ellipsoidal heights in the
    tag ``vertical_reference`` only.
    """
    declared = source.vertical
    if declared.reference != "unknown" or source.in_memory:
        return declared
    with open_raster(source.path) as dataset:
        return read_vertical(dataset.tags().get("vertical_reference", ""))


def open_absolute(role: str, path: PathLike) -> Source:
    """Open a raster of heights in metres.

    Raises
    ------
    UsageError
        If its heights are relative.
    ResourceError, DataError
        If it cannot be opened.
    """
    source = _open(role, path)
    if is_relative(source.path):
        raise UsageError(
            f"{source.path}: its heights are relative and cannot be compared in metres",
            "use demiurge evaluate, or give generate a --prior to make them absolute",
        )
    return source


def _open(
    role: str,
    path: PathLike,
    nodata: Sequence[float] | None = None,
    *,
    above_ground: bool = False,
) -> Source:
    file, band = split_band(str(path))
    kind = layer(_LAYERS.get(role, "dsm"))
    if above_ground and role in HEIGHTS:
        kind = layer("truth_height")  # 0 is the ground
    if role == "surface" and is_relative(file):
        kind = replace(kind, unit="relative")  # its bands are not in metres
    return Source.open(file, kind, band, nodata=nodata, role=role)


def is_relative(path: str) -> bool:
    """Return whether the tags of a raster declare relative heights."""
    with open_raster(path) as dataset:
        return bool(dataset.tags().get("units") == "relative")


def is_above_ground(path: str) -> bool:
    """Return whether the tags of a raster declare heights above ground."""
    with open_raster(path) as dataset:
        return bool(dataset.tags().get("heights") == "above ground")


def uncertainty_of(surface: Source) -> Source | None:
    """Return the band of standard deviations that follows the heights, if there is one."""
    with open_raster(surface.path) as dataset:
        names = dataset.descriptions
    name, after = names[surface.band - 1], surface.band + 1
    if name and after <= len(names) and names[after - 1] == f"{name}_uncertainty":
        kind = replace(layer("triangulation_error"), unit=surface.layer.unit)
        return Source.open(surface.path, kind, after)
    return None


def common_grid(sources: Mapping[str, Source]) -> tuple[GeoBox, list[str]]:
    """Return the surface's grid cropped to the reference, and notes on warping.

    Raises
    ------
    DataError
        If a raster does not overlap the surface.
    """
    grid, notes = sources["surface"].grid, list[str]()
    if not is_plain(grid):
        grid, notes = choose_grid({"dsm": sources["surface"]})
    return _overlap(grid, sources), notes


def _overlap(grid: GeoBox, sources: Mapping[str, Source]) -> GeoBox:
    """Crop a grid to the extent of the reference."""
    extent = bounds_in(grid, grid.crs)
    for role in sources:
        shared = intersection([extent, bounds_in(sources[role].grid, grid.crs)])
        if shared is None:
            raise DataError(
                f"{sources['surface'].path} and {sources[role].path} do not overlap",
                "check their CRS and extents with gdalinfo",
            )
    shared = intersection([extent, bounds_in(sources["reference"].grid, grid.crs)])
    assert shared is not None
    a = grid.affine
    first_col = max(0, int((shared[0] - a.c) / a.a))
    first_row = max(0, int((shared[3] - a.f) / a.e))
    last_col = min(grid.shape[1], -int(-(shared[2] - a.c) / a.a // 1))
    last_row = min(grid.shape[0], -int(-(shared[1] - a.f) / a.e // 1))
    part = grid[first_row : max(last_row, first_row + 1), first_col : max(last_col, first_col + 1)]
    assert isinstance(part, GeoBox)
    return part
