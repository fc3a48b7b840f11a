"""What a simulated place is drawn on, and the classes of what covers it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demiurge.arrays import Array

#: Land-cover class numbers.
GRASS, FOREST, BUILDING, ROAD, WATER, ROCK, SNOW, CROPS = 1, 2, 3, 4, 5, 6, 7, 8

CLASSES = {
    GRASS: "grass and soil",
    FOREST: "trees",
    BUILDING: "buildings",
    ROAD: "roads",
    WATER: "water",
    ROCK: "rock and gravel",
    SNOW: "snow",
    CROPS: "crops",
}


@dataclass
class Canvas:
    """Rasters that the makers of trees, towns and fields draw on, all (rows, columns).

    Attributes
    ----------
    dtm, dsm
        float32 bare earth and surface in metres.
    landcover
        uint8 class numbers.
    shade
        float32 share by which a thing is brighter than its class.
    gsd
        Pixel size in metres.
    """

    dtm: Array
    dsm: Array
    landcover: npt.NDArray[np.uint8]
    shade: Array
    gsd: float

    @classmethod
    def bare(cls, dtm: Array, gsd: float) -> Canvas:
        """Return a canvas of grass."""
        cover = np.full(dtm.shape, GRASS, np.uint8)
        return cls(dtm, dtm.copy(), cover, np.zeros(dtm.shape, np.float32), gsd)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.dtm.shape[0], self.dtm.shape[1]
