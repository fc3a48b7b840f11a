"""Types of arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Heights, images and other raster values, float32; NaN for no data.
Array = npt.NDArray[np.float32]
#: One boolean per pixel.
Mask = npt.NDArray[np.bool_]
#: Values in double precision.
Values = npt.NDArray[np.float64]
#: Row, column and other index arrays.
Indices = npt.NDArray[np.intp]
