"""The receptive field of a network in practice, measured on its exported graph."""

from __future__ import annotations

import numpy as np

from demiurge.arrays import Array
from demiurge.model.backend.openvino import OpenVinoRuntime
from demiurge.model.bundle import Bundle
from demiurge.training.dataset import ChipDataset

#: Side in pixels of the windows it is measured on, at least; and how many of them.
_SIDE, _WINDOWS = 512, 4
#: Changes below this share of the mean answer do not count.
_LEAST = 0.01


def measured_reach(bundle: Bundle, windows: ChipDataset) -> int:
    """Return how many pixels away a change of the inputs still changes the answer.

    The windows are mirrored to a side of 512 px or half the bundle's window, whichever is more:
    overlaps need no longer reach than a quarter of the window.

    Parameters
    ----------
    windows
        Validation windows; four of them are used, evenly spaced.
    """
    side = max(_SIDE, bundle.card.window.size // 2)
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), _WINDOWS)).round().astype(int)
    planes = [_extended(windows[int(i)]["planes"], side) for i in chosen]
    return reach_of(bundle, planes)


def reach_of(bundle: Bundle, planes: list[Array]) -> int:
    """Return the reach in pixels, at most half a side.

    The right half of each input is exchanged for that of another: how far into the left half does
    the answer change by more than a hundredth of the mean absolute answer?

    Parameters
    ----------
    planes
        float32 (channels, side, side) each, of one side.
    """
    side = planes[0].shape[-1]
    half, count = side // 2, len(bundle.contract.targets)
    # A single window is compared with itself turned round.
    others = [planes[-1], *planes[:-1]] if len(planes) > 1 else [planes[0][:, ::-1, ::-1]]
    runtime = OpenVinoRuntime(bundle, side, "f32")
    exact = list(runtime.run(planes, in_flight=2))
    grafted = (
        np.concatenate([own[..., :half], other[..., half:]], axis=-1)
        for own, other in zip(planes, others, strict=True)
    )
    changes = [
        np.abs(found[:count, :, :half] - before[:count, :, :half]).mean(axis=(0, 1))
        for found, before in zip(runtime.run(grafted, in_flight=2), exact, strict=True)
    ]
    change = np.mean(changes, axis=0)[::-1]
    typical = float(np.mean([np.abs(answer[:count]).mean() for answer in exact]))
    felt = np.flatnonzero(change > _LEAST * typical)
    return int(felt[-1]) + 1 if felt.size else 0


def _extended(planes: Array, side: int) -> Array:
    """Return the middle of a window, mirrored where it is smaller than ``side``."""
    own = planes.shape[-1]
    if own >= side:
        first = (own - side) // 2
        return np.ascontiguousarray(planes[:, first : first + side, first : first + side])
    before = (side - own) // 2
    pad = (before, side - own - before)
    return np.pad(planes, ((0, 0), pad, pad), mode="symmetric")
