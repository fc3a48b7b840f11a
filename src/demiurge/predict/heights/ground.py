"""Correction of predicted bare earth under large roofs, block by block over finished rows.

It is lowered to that of a wider view, or interpolated in two passes: the first sums the reliable
ground in cells of 32 pixels over the raster, the second interpolates from them. Pixels do not
depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
#: Corrected planes of a block by band, and the number of changed pixels.
_Changes = tuple[dict[str, Array], int]


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
    return _rewritten(source, lambda block: _interpolated(source, block, coarse))


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
    source = _Planes(rows, bands, shape, gsd)
    return _rewritten(source, lambda block: _lowered(source, block, wide))


def _rewritten(source: _Planes, corrected: Callable[[Window], _Changes]) -> tuple[Path, int]:
    """Write all rows with the bands that are corrected, block by block; return file and count."""
    out, full = source.rows.with_name("ground.f32"), (len(source.bands), *source.shape)
    given = np.memmap(source.rows, np.float32, "r", shape=full)
    target, total = np.memmap(out, np.float32, "w+", shape=full), 0
    for block in _blocks(source.shape):
        part = _slices(block)
        target[:, *part] = given[:, *part]
        planes, count = corrected(block)
        total += count
        for name, plane in planes.items():
            target[source.bands.index(name), *part] = plane
    target.flush()
    return out, total


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


def _interpolated(source: _Planes, block: Window, coarse: Values) -> _Changes:
    """Return the interpolated bare earth of a block."""
    wide = grown(block, _MARGIN, source.shape)
    surface, earth, weight, zone = source.weighted(wide)
    inner = _slices(block, wide)
    if not zone[inner].any():
        return {}, 0
    levels = ground.gather(np.nan_to_num(earth).astype(np.float64), weight)
    filled = ground.spread(levels, coarse[_cells(wide)]).astype(np.float32)
    changed = (zone & np.isfinite(earth) & (weight < 1))[inner]
    # The ground is not above the surface.
    heights = np.where(changed, np.fmin(filled, surface)[inner], earth[inner])
    return {"dtm": heights}, int(changed.sum())


def _lowered(source: _Planes, block: Window, wide: WideGround) -> _Changes:
    """Return the lowered bare earth of a block and its uncertainty."""
    _, earth, uncertainty, zone = source.zone(block)
    if not zone.any():
        return {}, 0
    heights, deviations, known = wide.under(block)
    lower, spread = ground.lowered(earth, uncertainty, heights, deviations, zone & known)
    return {"dtm": lower, "dtm_uncertainty": spread}, int((lower < earth).sum())


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
