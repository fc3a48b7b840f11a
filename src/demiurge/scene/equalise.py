"""Contrast-limited adaptive histogram equalisation (CLAHE) with no data and fitting by parts.

After Zuiderveld (1994), "Contrast limited adaptive histogram equalization", Graphics Gems IV.
Differences from common implementations: no data is ignored; tiles have a fixed size in pixels, so
that the result does not depend on the size of the scene; tiles without data use the histogram of
the nearest tile with data; a fitted equaliser maps any window with the same bits as the entire
image.

Its benefit is not measured in any ablation. It costs 44 ms per image of 512 × 512 pixels. It
stays, because the bundles are trained with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array
from demiurge.scene.grid import Window

Counts = npt.NDArray[np.uint32]

#: Side of a tile in pixels, number of bins, and clip limit as a multiple of the mean count.
TILE = 512
BINS = 256
CLIP = 3.0


@dataclass(frozen=True)
class Equaliser:
    """Look-up tables of all tiles.

    Attributes
    ----------
    low, high
        Range of digital numbers of the bins.
    tables
        float32 (tile rows, tile columns, BINS + 1): cumulative shares 0 … 1 at the bin edges.
    tile
        Tile size in pixels.
    """

    low: float
    high: float
    tables: Array
    tile: int = TILE

    def apply(self, image: Array, window: Window) -> Array:
        """Equalise a window of the image that was fitted.

        Parameters
        ----------
        image
            float32 (height, width), NaN for no data.
        window
            Its position in the full image.

        Returns
        -------
        float32 in 0 … 1, NaN for no data.
        """
        scale = BINS / max(self.high - self.low, 1e-12)
        position = np.clip((image - np.float32(self.low)) * np.float32(scale), 0, BINS)
        position = np.nan_to_num(position, nan=0.0)
        lower = np.minimum(position.astype(np.int32), BINS - 1)
        share = position - lower
        out = np.zeros(image.shape, np.float32)
        rows = _neighbours(window.row, window.height, self.tile, self.tables.shape[0])
        columns = _neighbours(window.col, window.width, self.tile, self.tables.shape[1])
        for row, row_weight in rows:
            for column, column_weight in columns:
                table = self.tables[row[:, None], column[None, :], lower]
                table += share * (self.tables[row[:, None], column[None, :], lower + 1] - table)
                out += row_weight[:, None] * column_weight[None, :] * table
        out[np.isnan(image)] = np.nan
        return out


def _neighbours(
    start: int, count: int, tile: int, tiles: int
) -> list[tuple[npt.NDArray[np.int64], Array]]:
    """Return the two tiles next to each pixel along an axis, and their weights."""
    position = (np.arange(start, start + count) + 0.5) / tile - 0.5
    first = np.floor(position).astype(np.int64)
    weight = (position - first).astype(np.float32)
    return [
        (np.clip(first, 0, tiles - 1), 1 - weight),
        (np.clip(first + 1, 0, tiles - 1), weight),
    ]


def fit_equaliser(sample: Array, shape: tuple[int, int], *, tile: int = TILE) -> Equaliser | None:
    """Fit an equaliser.

    Parameters
    ----------
    sample
        float32: the image or a regular sample of it; NaN for no data.
    shape
        Rows and columns of the full image.

    Returns
    -------
    None if there is no data or no contrast.
    """
    return fit_in_parts(lambda: [sample], sample.shape[0], shape, tile=tile)


def fit_in_parts(
    read: Callable[[], Iterable[Array]], rows: int, shape: tuple[int, int], *, tile: int = TILE
) -> Equaliser | None:
    """Fit an equaliser to an image that is read in strips; see :func:`fit_equaliser`.

    Parameters
    ----------
    read
        Yields strips of the sample from north to south, float32 (rows, all columns). It is
        called three times.
    rows
        Number of rows of the sample.
    shape
        Rows and columns of the full image.
    """
    limits = percentiles(read, (0.1, 99.9))
    if limits is None or not limits[1] > limits[0]:
        return None
    low, high = limits
    tiles = (-(-shape[0] // tile), -(-shape[1] // tile))
    counts = np.zeros(tiles[0] * tiles[1] * BINS, np.uint32)
    first = 0
    for part in read():
        there = np.arange(first, first + part.shape[0])
        first += part.shape[0]
        down = np.minimum(there * shape[0] // rows // tile, tiles[0] - 1)
        across = np.arange(part.shape[1]) * shape[1] // part.shape[1] // tile
        across = np.minimum(across, tiles[1] - 1)
        bins = np.nan_to_num((part - low) * (BINS / (high - low)), nan=-1.0)
        above = int(down[0]) * tiles[1] * BINS
        flat = (down[:, None] * tiles[1] + across[None, :]) * BINS - above
        flat = flat + np.clip(bins, 0, BINS - 1).astype(np.int64)
        strip = np.bincount(flat[np.isfinite(part)])
        counts[above : above + strip.size] += strip.astype(np.uint32)
    histograms = counts.reshape(*tiles, BINS)
    return Equaliser(low, high, _tables(_borrow(histograms)), tile)


def percentiles(
    read: Callable[[], Iterable[Array]], wanted: Sequence[float]
) -> tuple[float, ...] | None:
    """Return exact percentiles of float32 values that are read in parts; NaN is ignored.

    They equal NumPy's with linear interpolation. The bits of floats, with the sign mapped, sort as
    the floats do: the first pass counts their upper halves, the second pass the lower halves of
    the values next to a percentile. ``read`` is called twice.

    Returns
    -------
    None if there is no data.
    """
    upper = np.zeros(2**16, np.int64)
    for part in read():
        upper += np.bincount(_ordered(part) >> np.uint32(16), minlength=2**16)
    count = int(upper.sum())
    if not count:
        return None
    positions = [(count - 1) * float(np.true_divide(q, 100)) for q in wanted]
    ranks = sorted({r for p in positions for r in (int(p), min(int(p) + 1, count - 1))})
    below = np.cumsum(upper)
    halves = {rank: int(np.searchsorted(below, rank, side="right")) for rank in ranks}
    lower = {half: np.zeros(2**16, np.int64) for half in halves.values()}
    for part in read():
        bits = _ordered(part)
        for half in lower:
            here = bits[bits >> np.uint32(16) == half] & np.uint32(0xFFFF)
            lower[half] += np.bincount(here, minlength=2**16)
    values = {}
    for rank, half in halves.items():
        rest = rank - int(below[half] - upper[half])
        low = int(np.searchsorted(np.cumsum(lower[half]), rest, side="right"))
        values[rank] = _value((half << 16) | low)
    return tuple(
        _between(values[int(p)], values[min(int(p) + 1, count - 1)], p - int(p)) for p in positions
    )


def _ordered(part: Array) -> npt.NDArray[np.uint32]:
    """Map the finite values to unsigned integers of the same order."""
    bits = part[np.isfinite(part)].view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))


def _value(ordered: int) -> np.float32:
    bits = ordered ^ (1 << 31) if ordered >> 31 else ordered ^ 0xFFFFFFFF
    return np.uint32(bits).view(np.float32)


def _between(low: np.float32, high: np.float32, share: float) -> float:
    step = float(high - low)
    return float(low) + step * share if share < 0.5 else float(high) - step * (1 - share)


def _borrow(histograms: Counts) -> Counts:
    """Give tiles with almost no data the histogram of the nearest tile with data."""
    total = histograms.sum(axis=2)
    poor = total < 0.02 * total.max()
    if not poor.any():
        return histograms
    filled = histograms.copy()
    rich = np.argwhere(~poor)
    for row, column in np.argwhere(poor):  # at most a few hundred tiles
        distance = np.square(rich - (row, column)).sum(axis=1)
        filled[row, column] = histograms[tuple(rich[int(np.argmin(distance))])]
    return filled


def _tables(histograms: Counts) -> Array:
    """Return cumulative shares of clipped histograms, float32 (tile rows, columns, BINS + 1)."""
    tables = np.zeros((*histograms.shape[:2], BINS + 1), np.float32)
    for row, counts in enumerate(histograms):
        share = counts / counts.sum(axis=1, keepdims=True, dtype=np.float64)
        limit = CLIP / BINS
        excess = np.clip(share - limit, 0, None).sum(axis=1, keepdims=True)
        share = np.minimum(share, limit) + excess / BINS
        tables[row, :, 1:] = np.cumsum(share, axis=1)
    return tables
