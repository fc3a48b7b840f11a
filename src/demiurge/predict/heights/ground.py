"""Correction of predicted bare earth under large roofs, block by block over finished rows.

It is lowered to that of a wider view, or interpolated in two passes: the first sums the reliable
ground in cells of 32 pixels over the raster, the second interpolates from them. Pixels do not
depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demiurge.arrays import Array, Mask, Values
from demiurge.predict.heights.wide_ground import WideGround
from demiurge.raster import ground
from demiurge.raster.ground import CELL
from demiurge.scene.grid import Window, grown

#: Side of a block in pixels, a multiple of the cells.
_BLOCK = 24 * CELL
#: Cells around a block that its interpolation depends on.
_MARGIN = 2 * CELL
_NAMES = ("dsm", "dtm", "dtm_uncertainty")


def can_correct(bands: Sequence[str]) -> bool:
    """Return whether the bands of a result allow the correction: DSM, DTM and its uncertainty."""
    return all(name in bands for name in _NAMES)


def correct_rows(
    rows: Path, bands: Sequence[str], shape: tuple[int, int], gsd: float
) -> tuple[Path, int]:
    """Correct the bare earth under large roofs and write the result to a file next to the rows.

    Parameters
    ----------
    rows
        float32 (bands, rows, columns) without a header, NaN for no data; not changed.
    bands
        Names of the bands, with ``dsm``, ``dtm`` and ``dtm_uncertainty``.
    shape
        Rows and columns.
    gsd
        Pixel size in metres.

    Returns
    -------
    The file of the corrected rows, ``rows`` itself if nothing is corrected; and the number of
    corrected pixels.
    """
    source = _Planes(rows, bands, shape, gsd)
    cells = _sums(source)
    if cells is None:
        return rows, 0
    coarse = ground.complete(*cells)
    out = rows.with_name("ground.f32")
    full = (len(bands), *shape)
    target = np.memmap(out, np.float32, "w+", shape=full)
    index, count = bands.index("dtm"), 0
    given = np.memmap(rows, np.float32, "r", shape=full)
    for block in _blocks(shape):
        rows_of, columns_of = _slices(block)
        target[:, rows_of, columns_of] = given[:, rows_of, columns_of]
        earth, changed = _corrected(source, block, coarse)
        if changed:
            target[index, rows_of, columns_of] = earth
            count += changed
    target.flush()
    return out, count


def has_roofs(rows: Path, bands: Sequence[str], shape: tuple[int, int], gsd: float) -> bool:
    """Return whether there is bare earth to correct; parameters as in :func:`correct_rows`."""
    source = _Planes(rows, bands, shape, gsd)
    return any(source.zone(block)[-1].any() for block in _blocks(shape))


def lower_rows(
    rows: Path, bands: Sequence[str], shape: tuple[int, int], gsd: float, wide: WideGround
) -> tuple[Path, int]:
    """Lower the bare earth under large roofs to that of a wider view.

    Parameters and results as in :func:`correct_rows`. Its uncertainty changes as well.
    """
    source, count = _Planes(rows, bands, shape, gsd), 0
    full = (len(bands), *shape)
    given = np.memmap(rows, np.float32, "r", shape=full)
    out = rows.with_name("lowered.f32")
    target = np.memmap(out, np.float32, "w+", shape=full)
    places = [bands.index("dtm"), bands.index("dtm_uncertainty")]
    for block in _blocks(shape):
        part = _slices(block)
        target[:, *part] = given[:, *part]
        _, earth, uncertainty, zone = source.zone(block)
        if not zone.any():
            continue
        heights, deviations, known = wide.under(block)
        both = ground.lowered(earth, uncertainty, heights, deviations, zone & known)
        count += int((both[0] < earth).sum())
        for place, plane in zip(places, both, strict=True):
            target[place, *part] = plane
    target.flush()
    return out, count


@dataclass(frozen=True)
class _Planes:
    """Surface, bare earth and its uncertainty of finished rows."""

    rows: Path
    bands: Sequence[str]
    shape: tuple[int, int]
    gsd: float

    def read(self, window: Window) -> list[Array]:
        """Return the three planes in a window."""
        shape = (len(self.bands), *self.shape)
        planes = np.memmap(self.rows, np.float32, "r", shape=shape)
        part = _slices(window)
        return [np.array(planes[(self.bands.index(name), *part)]) for name in _NAMES]

    def zone(self, window: Window) -> tuple[Array, Array, Array, Mask]:
        """Return the three planes and the zone to correct, in a window."""
        wide = grown(window, ground.halo(self.gsd), self.shape)
        surface, earth, uncertainty = self.read(wide)
        zone = ground.under_roofs(surface, earth, uncertainty, self.gsd)
        inner = _slices(window, wide)
        return surface[inner], earth[inner], uncertainty[inner], zone[inner]

    def weighted(self, window: Window) -> tuple[Array, Array, Values, Mask]:
        """Return surface, bare earth, its weights, and the zone to correct, in a window."""
        surface, earth, uncertainty, zone = self.zone(window)
        return surface, earth, ground.weights(earth, uncertainty, zone), zone


def _sums(source: _Planes) -> tuple[Values, Values] | None:
    """Return heights and weights of the cells of the raster; None without a zone."""
    size = tuple(-(-n // CELL) for n in source.shape)
    heights, weight, any_zone = np.zeros(size), np.zeros(size), False
    for block in _blocks(source.shape):
        _, earth, known, zone = source.weighted(block)
        any_zone |= bool(zone.any())
        levels = ground.gather(np.nan_to_num(earth).astype(np.float64), known)
        part = _cells(block)
        heights[part], weight[part] = levels[-1]
    return (heights, weight) if any_zone else None


def _corrected(source: _Planes, block: Window, coarse: Values) -> tuple[Array, int]:
    """Return the bare earth of a block, and the number of corrected pixels."""
    wide = grown(block, _MARGIN, source.shape)
    surface, earth, weight, zone = source.weighted(wide)
    inner = _slices(block, wide)
    if not zone[inner].any():
        return earth[inner], 0
    levels = ground.gather(np.nan_to_num(earth).astype(np.float64), weight)
    filled = ground.spread(levels, coarse[_cells(wide)]).astype(np.float32)
    changed = (zone & np.isfinite(earth) & (weight < 1))[inner]
    # The ground is not above the surface.
    heights = np.where(changed, np.fmin(filled, surface)[inner], earth[inner])
    return heights, int(changed.sum())


def _blocks(shape: tuple[int, int]) -> Iterator[Window]:
    height, width = shape
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            yield Window(top, left, min(_BLOCK, height - top), min(_BLOCK, width - left))


def _slices(window: Window, outer: Window | None = None) -> tuple[slice, slice]:
    row, col = (outer.row, outer.col) if outer is not None else (0, 0)
    top, left = window.row - row, window.col - col
    return slice(top, top + window.height), slice(left, left + window.width)


def _cells(window: Window) -> tuple[slice, slice]:
    rows, columns = _slices(window)
    return (
        slice(rows.start // CELL, -(-rows.stop // CELL)),
        slice(columns.start // CELL, -(-columns.stop // CELL)),
    )
