"""Types of arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Heights, images and whatever else a raster holds; NaN for no data.
Array = npt.NDArray[np.float32]
#: Booleans by pixel.
Mask = npt.NDArray[np.bool_]
#: Values computed in double precision.
Values = npt.NDArray[np.float64]
#: Row, column and other index arrays.
Indices = npt.NDArray[np.intp]
