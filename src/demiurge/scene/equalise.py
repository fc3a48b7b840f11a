"""Contrast-limited adaptive histogram equalisation that ignores no data and fits by parts.

After Zuiderveld (1994), "Contrast limited adaptive histogram equalization", Graphics Gems IV.
Differences to the common implementations: pixels without data count in no histogram, tiles have
a fixed size in pixels (so that a large scene is treated as a small one), tiles without data
borrow from their neighbours, and a fitted equaliser maps any window on its own, bit for bit as
it maps the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demiurge.scene.grid import Window

Array = npt.NDArray[np.float32]

TILE = 512
BINS = 256
CLIP = 3.0


@dataclass(frozen=True)
class Equaliser:
    """Look-up tables of all tiles.

    Attributes
    ----------
    low, high
        Digital numbers that the bins span.
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
            Where it lies in the whole image.

        Returns
        -------
        float32 in 0 … 1, NaN kept.
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
    """Return the two tiles beside each pixel of an axis and their weights."""
    place = (np.arange(start, start + count) + 0.5) / tile - 0.5
    first = np.floor(place).astype(np.int64)
    weight = (place - first).astype(np.float32)
    return [
        (np.clip(first, 0, tiles - 1), 1 - weight),
        (np.clip(first + 1, 0, tiles - 1), weight),
    ]


def fit_equaliser(sample: Array, shape: tuple[int, int], *, tile: int = TILE) -> Equaliser | None:
    """Fit an equaliser.

    Parameters
    ----------
    sample
        float32: the image, or an evenly thinned copy of it; NaN for no data.
    shape
        Rows and columns of the whole image.

    Returns
    -------
    None if there is no data or no contrast.
    """
    measured = sample[np.isfinite(sample)]
    if measured.size == 0:
        return None
    low, high = (float(v) for v in np.percentile(measured, (0.1, 99.9)))
    if not high > low:
        return None
    tiles = (-(-shape[0] // tile), -(-shape[1] // tile))
    rows = np.minimum(
        np.arange(sample.shape[0]) * shape[0] // sample.shape[0] // tile, tiles[0] - 1
    )
    columns = np.minimum(
        np.arange(sample.shape[1]) * shape[1] // sample.shape[1] // tile, tiles[1] - 1
    )
    bins = np.nan_to_num((sample - low) * (BINS / (high - low)), nan=-1.0)
    flat = (rows[:, None] * tiles[1] + columns[None, :]) * BINS
    flat = flat + np.clip(bins, 0, BINS - 1).astype(np.int64)
    counts = np.bincount(flat[np.isfinite(sample)], minlength=tiles[0] * tiles[1] * BINS)
    histograms = counts.reshape(*tiles, BINS).astype(np.float64)
    return Equaliser(low, high, _tables(_borrow(histograms)), tile)


def _borrow(histograms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give tiles with next to no data the histogram of the nearest tile that has some."""
    total = histograms.sum(axis=2)
    poor = total < 0.02 * total.max()
    if not poor.any():
        return histograms
    found = histograms.copy()
    rich = np.argwhere(~poor)
    for row, column in np.argwhere(poor):  # a few hundred tiles at most lie around a scene
        away = np.square(rich - (row, column)).sum(axis=1)
        found[row, column] = histograms[tuple(rich[int(np.argmin(away))])]
    return found


def _tables(histograms: npt.NDArray[np.float64]) -> Array:
    share = histograms / histograms.sum(axis=2, keepdims=True)
    limit = CLIP / BINS
    excess = np.clip(share - limit, 0, None).sum(axis=2, keepdims=True)
    share = np.minimum(share, limit) + excess / BINS
    cumulative = np.cumsum(share, axis=2)
    zero = np.zeros((*cumulative.shape[:2], 1))
    return np.concatenate([zero, cumulative], axis=2).astype(np.float32)
