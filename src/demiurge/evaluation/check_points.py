"""Check points of a surface, from a file of points or a reference raster, and their sampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Indices, Mask, Values
from demiurge.errors import DataError
from demiurge.evaluation.inputs import open_absolute, vertical_reference
from demiurge.scene.crs import transform
from demiurge.scene.grid import Window, pixel_size
from demiurge.scene.points import read_points
from demiurge.scene.source import Source
from demiurge.scene.vertical import agree, vertical_of

#: Suffixes of files of points; any other file is a raster.
POINT_SUFFIXES = (".csv", ".txt", ".gpkg", ".las", ".laz", ".h5", ".hdf5")
#: Least number of check points.
FEWEST = 10
#: Side in pixels of the cells that are thinned to one check point each, for independence.
SPACING = 10
#: Largest number of points drawn from a raster, and least side in pixels of their cells.
MOST, CELL = 2000, 32
#: Parts per side of the surface, for the check that the points cover it.
PARTS = 10
_BLOCK = 512


@dataclass(frozen=True)
class CheckPoints:
    """Check points on the pixels of a grid.

    Attributes
    ----------
    rows, columns
        float64 (count,): 0 is the centre of the first pixel.
    heights
        float64 (count,): heights of the check points in metres.
    notes
        Sentences on assumptions and on points left out.
    """

    rows: Values
    columns: Values
    heights: Values
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.heights)

    def at(self, chosen: Indices) -> CheckPoints:
        """Return some of the points."""
        return CheckPoints(
            self.rows[chosen], self.columns[chosen], self.heights[chosen], self.notes
        )


def open_check_points(
    path: str | Path, surface: Source, grid: GeoBox, crs: str | None = None, seed: int = 0
) -> CheckPoints:
    """Read check points from a file of points or a reference raster.

    Parameters
    ----------
    path
        CSV, GeoPackage, LAS, LAZ or ICESat-2 granule (ATL06, ATL08) of points; or a raster of
        heights in metres, from which one random pixel is drawn for each of up to 2,000 cells of
        32 pixels or more a side.
    surface, grid
        The surface to be tested, and the grid that its pixels are on.
    crs
        CRS of the points if the file has none.

    Raises
    ------
    ResourceError, DataError, UsageError
        If the file is missing or not understood, lies elsewhere, or has another vertical
        reference.
    """
    if Path(str(path)).suffix.lower() in POINT_SUFFIXES:
        return _from_file(path, surface, grid, crs, seed)
    return _from_raster(str(path), surface, grid, seed)


def _from_file(
    path: str | Path, surface: Source, grid: GeoBox, crs: str | None, seed: int
) -> CheckPoints:
    points = read_points(path, crs)
    if points.crs is not None:
        agree({surface.path: vertical_reference(surface), str(path): vertical_of(points.crs)})
    assert grid.crs is not None
    moved = points.in_crs(grid.crs.proj)
    rows, columns, inside = _placed(moved.x, moved.y, grid)
    if not inside.any():
        raise DataError(
            f"{path}: none of its {len(rows)} points lies on {surface.path}",
            "check the CRS of the points, or set it with --points-crs",
        )
    kept = CheckPoints(rows[inside], columns[inside], moved.z[inside], points.notes)
    return _thinned(kept, str(path), seed)


def _placed(x: Values, y: Values, grid: GeoBox) -> tuple[Values, Values, Mask]:
    """Return rows and columns of map coordinates, and which of them lie on the grid."""
    a = ~grid.affine
    columns = a.a * x + a.b * y + a.c - 0.5
    rows = a.d * x + a.e * y + a.f - 0.5
    height, width = grid.shape
    inside = (rows > -0.5) & (rows < height - 0.5) & (columns > -0.5) & (columns < width - 0.5)
    return rows, columns, inside


def moved_between(points: CheckPoints, grid: GeoBox, other: GeoBox) -> tuple[Values, Values, Mask]:
    """Return rows and columns of points on another grid, 0 outside it, and which lie on it."""
    assert grid.crs is not None
    assert other.crs is not None
    a = grid.affine
    columns, rows = points.columns + 0.5, points.rows + 0.5
    x, y = a.a * columns + a.b * rows + a.c, a.d * columns + a.e * rows + a.f
    if other.crs != grid.crs:
        x, y = transform(x, y, grid.crs.proj, other.crs.proj)
    rows, columns, inside = _placed(x, y, other)
    return np.where(inside, rows, 0), np.where(inside, columns, 0), inside


def _thinned(points: CheckPoints, name: str, seed: int) -> CheckPoints:
    """Keep one random point of each cell of ``SPACING`` pixels a side."""
    order = np.random.default_rng(seed).permutation(len(points))
    cells = np.stack([points.rows[order] // SPACING, points.columns[order] // SPACING], axis=1)
    first = np.unique(cells, axis=0, return_index=True)[1]
    if len(first) == len(points):
        return points
    kept = points.at(np.sort(order[first]))
    text = (
        f"{name}: {len(points) - len(kept)} of {len(points)} points lie within {SPACING} pixels "
        "of another and are left out, so that the others are independent"
    )
    return CheckPoints(kept.rows, kept.columns, kept.heights, (*kept.notes, text))


def _from_raster(path: str, surface: Source, grid: GeoBox, seed: int) -> CheckPoints:
    """Draw one random pixel of each cell where the reference has a height."""
    reference = open_absolute("reference", path)
    agree({s.path: vertical_reference(s) for s in (surface, reference)})
    rng = np.random.default_rng(seed)
    pixels: list[tuple[int, int, float]] = []
    for cell in _cells(grid, rng):
        heights = reference.read(grid, cell)
        known = np.flatnonzero(np.isfinite(heights))
        if known.size:
            row, column = np.unravel_index(rng.choice(known), heights.shape)
            height = float(heights[row, column])
            pixels.append((cell.row + int(row), cell.col + int(column), height))
    if not pixels:
        raise DataError(
            f"{path}: has no heights on {surface.path}", "check their CRS and extents with gdalinfo"
        )
    rows, columns, values = np.array(pixels, np.float64).T
    text = f"{path}: one random pixel of each of {len(pixels)} cells is a check point"
    return CheckPoints(rows, columns, values, (text,))


def _cells(grid: GeoBox, rng: np.random.Generator) -> Iterator[Window]:
    """Yield cells that cover the grid, at most ``MOST`` of them."""
    height, width = grid.shape
    side = max(CELL, int(np.ceil(np.sqrt(height * width / MOST))))
    for top in range(0, height, side):
        for left in range(0, width, side):
            # Only a random window of a wide cell is read.
            row = top + int(rng.integers(0, max(1, min(side, height - top) - CELL + 1)))
            col = left + int(rng.integers(0, max(1, min(side, width - left) - CELL + 1)))
            yield Window(row, col, min(CELL, height - row), min(CELL, width - col))


def sample(source: Source, grid: GeoBox, points: CheckPoints) -> Values:
    """Interpolate a raster bilinearly at check points.

    Returns
    -------
    float64 (count,); NaN where any of the pixels with weight is no data.
    """
    height, width = grid.shape
    values = np.full(len(points), np.nan)
    blocks = (points.rows // _BLOCK).astype(int) * 10**6 + (points.columns // _BLOCK).astype(int)
    for block in np.unique(blocks):
        chosen = np.flatnonzero(blocks == block)
        rows, columns = points.rows[chosen], points.columns[chosen]
        top, left = max(0, int(rows.min())), max(0, int(columns.min()))
        bottom = min(height, int(np.floor(rows.max())) + 2)
        right = min(width, int(np.floor(columns.max())) + 2)
        plane = source.read(grid, Window(top, left, bottom - top, right - left))
        values[chosen] = _bilinear(plane, rows - top, columns - left)
    return values


def _bilinear(plane: Array, rows: Values, columns: Values) -> Values:
    """Interpolate a plane at fractional pixels; coordinates are clipped to its edge."""
    height, width = plane.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    total = np.zeros(len(rows))
    for row, by_row in ((top, 1 - down), (top + 1, down)):
        for column, by_column in ((left, 1 - right), (left + 1, right)):
            weight = by_row * by_column
            value = plane[np.minimum(row, height - 1), np.minimum(column, width - 1)]
            total += np.where(weight > 0, weight * value.astype(np.float64), 0)
    return total


def require_spread(points: CheckPoints, grid: GeoBox, name: str) -> tuple[str, ...]:
    """Raise if all check points lie in one hundredth of the surface.

    Returns
    -------
    A sentence where they represent only part of it.
    """
    height, width = grid.shape
    parts = {
        (int(r * PARTS / height), int(c * PARTS / width))
        for r, c in zip(np.maximum(points.rows, 0), np.maximum(points.columns, 0), strict=True)
    }
    extent = max(np.ptp(points.rows), np.ptp(points.columns))
    if len(parts) == 1:
        metres = extent * abs(pixel_size(grid))
        raise DataError(
            f"{name}: all {len(points)} points lie within {metres:.0f} m, in one hundredth of the "
            "surface",
            "add check points spread over the surface, or cut the surface to their surroundings",
        )
    if len(parts) < PARTS**2 // 5 and len(points) >= 2 * len(parts):
        return (
            f"the check points lie in {len(parts)} of {PARTS**2} equal parts of the surface: the "
            "figures hold for these parts",
        )
    return ()
