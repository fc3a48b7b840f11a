"""A simulated scene as one file of the pool: 16-bit planes, their units and offsets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from demiurge.scene.equalise import fit_equaliser
from demiurge.scene.grid import Window

Array = np.ndarray

#: Pixels a side.
SIZE = 512
#: No data of stored planes.
NONE = -32768
#: Units of the stored planes, in order: those that the network sees, then the truth.
UNITS = {
    "dsm": 1 / 64,
    "ortho_left": 1e-4,
    "ortho_right": 1e-4,
    "ndvi": 1e-4,
    "triangulation_error": 1e-3,
    "truth_dsm": 1 / 64,
    "truth_dtm": 1 / 64,
}
#: Planes of the network's input; the truth follows.
INPUTS = 5
HEIGHTS = ("dsm", "truth_dsm", "truth_dtm")
_IMAGES = ("ortho_left", "ortho_right")


def pack(gsd: float, layers: Mapping[str, Array]) -> tuple[Array, Array]:
    """Turn a scene's layers into planes.

    Parameters
    ----------
    layers
        float32 (SIZE, SIZE) by name, NaN for no data.

    Returns
    -------
    int16 (7, SIZE, SIZE), heights about the mean of the true DSM, and float32 (5): pixel size,
    then mean and standard deviation of the equalised left and right image.
    """
    planes = np.full((len(UNITS), SIZE, SIZE), NONE, np.int16)
    level = float(np.nanmean(layers["truth_dsm"]))
    statistics = np.array([gsd, 0, 1, 0, 1], np.float32)
    for k, (name, unit) in enumerate(UNITS.items()):
        values = layers.get(name)
        if values is None:
            continue
        if name in _IMAGES:
            equaliser = fit_equaliser(values, values.shape)
            if equaliser is None:
                continue
            values = equaliser.apply(values, Window(0, 0, SIZE, SIZE))
            i = 1 + 2 * _IMAGES.index(name)
            statistics[i] = np.nanmean(values, dtype=np.float64)
            statistics[i + 1] = max(np.nanstd(values, dtype=np.float64), 1e-3)
        elif name in HEIGHTS:
            values = values - level
        code = np.rint(values / unit)
        code = np.where(np.isfinite(code), np.clip(code, -32767, 32767), NONE)
        planes[k] = code.astype(np.int16)
    return planes, statistics


def write(path: Path, planes: Array, statistics: Array, name: str) -> None:
    """Write a scene; it appears under its name only when complete."""
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.savez(file, planes=planes, statistics=statistics, name=name)
    partial.replace(path)


def read(path: Path) -> tuple[Array, Array, str]:
    """Return planes, statistics and name of a scene."""
    with np.load(path) as file:
        return file["planes"], file["statistics"], str(file["name"])
