"""Offset of two orthoimages, measured in several windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.raster.registration import Translation, translation
from demiurge.scene.grid import Window

#: Reads a window of an orthoimage, float32 with NaN for no data.
ReadWindow = Callable[[Window], Array]

#: Side in pixels of the central window, and largest offset in pixels that is searched there.
_SAMPLE, _FAR = 512, 128
#: Smallest and largest side in pixels of the windows, and the largest number along an axis.
_SIDES, _MOST = (48, 256), 5
#: Correlation below which a window does not count.
MIN_CORRELATION = 0.2
#: Distance in pixels from the median up to which a window agrees with the others.
_TOLERANCE = 0.5
#: Smallest number of windows that agree, and their smallest share of the measured windows.
_FEWEST, _SHARE = 4, 0.5


class Offset(NamedTuple):
    """Offset of the right orthoimage from the left one, in pixels of the grid.

    Attributes
    ----------
    row, col
        Pixels by which the right image is displaced down and to the right: medians of the
        windows that agree.
    nmad
        Normalised median distance of these windows from the medians.
    agreeing, measured
        Numbers of windows that agree, and that have enough texture in both images.
    """

    row: float
    col: float
    nmad: float
    agreeing: int
    measured: int


def central_offset(
    left: ReadWindow, right: ReadWindow, shape: tuple[int, int]
) -> Translation | None:
    """Return the offset in the central window; None if it cannot be measured there.

    Parameters
    ----------
    shape
        Rows and columns of the grid.
    """
    height, width = (min(n, _SAMPLE) for n in shape)
    window = Window((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)
    return translation(left(window), right(window), _FAR)


def measure_offset(left: ReadWindow, right: ReadWindow, shape: tuple[int, int]) -> Offset:
    """Return the offset in windows that are evenly distributed over the grid.

    Parameters
    ----------
    shape
        Rows and columns of the grid.

    Raises
    ------
    DataError
        If too few windows can be measured, or they disagree.
    """
    shifts = [translation(left(w), right(w)) for w in even_windows(shape)]
    measured = np.array(
        [(s.row, s.col) for s in shifts if s is not None and s.correlation >= MIN_CORRELATION]
    ).reshape(-1, 2)
    if len(measured) < _FEWEST:
        raise DataError(
            f"--adjust: the orthoimages can be compared in {len(measured)} windows only, of "
            f"{len(shifts)}",
            f"{_FEWEST} are needed: leave out --adjust, or give the shift with --shift-left",
        )
    near = np.hypot(*(measured - np.median(measured, axis=0)).T) <= _TOLERANCE
    if near.sum() < max(_FEWEST, _SHARE * len(measured)):
        raise DataError(
            f"--adjust: the offsets of the orthoimages disagree: {near.sum()} of {len(measured)} "
            f"windows are within {_TOLERANCE:g} px of the median",
            "leave out --adjust, or adjust the cameras with bundle_adjust first",
        )
    row, col = np.median(measured[near], axis=0)
    distances = np.abs(measured[near] - (row, col))
    nmad = 1.4826 * float(np.median(distances))
    return Offset(float(row), float(col), nmad, int(near.sum()), len(measured))


def even_windows(shape: tuple[int, int]) -> list[Window]:
    """Return disjoint square windows that are evenly distributed over a grid of ``shape``."""
    smallest, largest = _SIDES
    side = min(max(min(shape) // 4, smallest), largest, *shape)
    rows, cols = (
        np.linspace(0, n - side, min(_MOST, max(1, n // side))).astype(int) for n in shape
    )
    return [Window(int(row), int(col), side, side) for row in rows for col in cols]
