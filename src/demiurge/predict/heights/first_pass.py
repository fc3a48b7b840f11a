"""A first pass over a raster that finds the level of every window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array
from demiurge.errors import DataError
from demiurge.layers import PRIOR
from demiurge.predict.heights.adjustment import (
    SCALES,
    Adjustment,
    Anchored,
    mismatch,
    pair_up,
    solve,
)
from demiurge.predict.inference import Network, predict_windows
from demiurge.predict.tiling import Tiling
from demiurge.progress import progress
from demiurge.scene.scene import Scene

Indices = npt.NDArray[np.int64]
Samples = tuple[Indices, Indices, Array]

#: Samples across the pixels that neighbours share.
_ACROSS = 4
#: Share of windows whose relief runs against the prior from which the result would mean nothing.
_AGAINST = 0.8


def measure(
    scene: Scene,
    network: Network,
    tiling: Tiling,
    *,
    keep_voids: bool,
    absolute: bool,
    quiet: bool = True,
) -> Adjustment:
    """Predict every window once and return the scales and offsets at which they agree.

    Parameters
    ----------
    absolute
        Fit the heights to the scene's prior, which makes them absolute.
    """
    step = max(1, tiling.overlap // _ACROSS)
    windows: dict[tuple[int, int], int] = {}
    samples: list[Samples] = []
    below: list[Array] = []
    predicted = predict_windows(scene, network, tiling, keep_voids=keep_voids)
    total = tiling.count * tiling.size**2 / 1e6
    with progress("level", total, quiet=quiet, unit="Mpx of windows") as advance:
        for item, values in predicted:
            window = item.window
            windows[window.row, window.col] = len(samples)
            rows, columns = (
                _lattice(window.row, window.height, step),
                _lattice(window.col, window.width, step),
            )
            inside = np.ix_(rows - window.row, columns - window.col)
            found = np.full((len(rows), len(columns)), np.nan, np.float32)
            if values is not None:
                found = np.where(item.valid[inside], values[0][inside], np.float32(np.nan))
            samples.append((rows, columns, found))
            if absolute:
                below.append(scene.read(window, [PRIOR])[0][inside])
            scene.release()
            advance(window.height * window.width / 1e6)
    pairs = pair_up(windows, samples, tiling.size)
    anchors = _anchors(samples, below) if absolute else None
    scales, offsets = solve(pairs, anchors, len(samples), scaled=True)
    if anchors is not None and np.mean(scales <= SCALES[0]) > _AGAINST:
        raise DataError(
            f"{scene.name}: the relief that bundle '{network.bundle.card.name}' sees in the image "
            "runs against the prior nearly everywhere",
            "check that image and prior show the same place, or use a bundle that sees the prior",
        )
    return Adjustment(
        windows,
        scales,
        offsets,
        mismatch(pairs, np.ones(len(samples)), np.zeros(len(samples))),
        mismatch(pairs, scales, offsets),
        absolute,
    )


def _lattice(first: int, length: int, step: int) -> Indices:
    return np.arange(-(-first // step) * step, first + length, step, dtype=np.int64)


def _anchors(samples: list[Samples], below: list[Array]) -> Anchored:
    numbers, heights, known = [], [], []
    for number, ((_, _, found), prior) in enumerate(zip(samples, below, strict=True)):
        both = np.isfinite(found) & np.isfinite(prior)
        numbers.append(np.full(int(both.sum()), number))
        heights.append(found[both])
        known.append(prior[both])
    return Anchored(
        np.concatenate(numbers).astype(np.int64),
        np.concatenate(heights).astype(np.float64),
        np.concatenate(known).astype(np.float64),
    )


def kept_levels(path: Path, key: str) -> Adjustment | None:
    """Read the levels of an interrupted run, if they are those of the same work."""
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["key"]) != key:
                return None
            places = {(int(r), int(c)): i for i, (r, c) in enumerate(found["places"])}
            before, after = found["mismatch"]
            return Adjustment(
                places,
                found["scales"],
                found["offsets"],
                float(before),
                float(after),
                bool(found["absolute"]),
            )
    except (OSError, ValueError, KeyError):
        return None


def keep_levels(path: Path, key: str, levels: Adjustment) -> None:
    """Write levels down for an interrupted run to go on with."""
    with path.open("wb") as file:
        np.savez(
            file,
            key=key,
            places=np.array(list(levels.places), np.int64).reshape(-1, 2),
            scales=levels.scales,
            offsets=levels.offsets,
            mismatch=np.array([levels.before, levels.after]),
            absolute=levels.absolute,
        )
