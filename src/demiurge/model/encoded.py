"""The input of a network for a window."""

from __future__ import annotations

from dataclasses import dataclass

from demiurge.arrays import Array, Mask


@dataclass(frozen=True)
class Encoded:
    """The input of the network for a window.

    Attributes
    ----------
    planes
        float32 (channels, height, width), finite.
    starts
        float32 (targets, height, width) in metres: heights that the corrections are added to. The
        base with its voids filled; for the bare earth its largest smooth opening, if the contract
        has one.
    unit
        Metres of one unit of the network's output.
    base
        float32 (height, width) in metres: the base with its voids filled; 0 without one.
    measured
        bool (height, width): where the base was measured; False without one.
    gsd
        Pixel size in metres.
    """

    planes: Array
    starts: Array
    unit: float
    base: Array
    measured: Mask
    gsd: float
