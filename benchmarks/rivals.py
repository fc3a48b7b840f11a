"""Classical methods for the same tasks, from libraries where available."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.fill import fillnodata
from scipy import ndimage

from demiurge.raster.morphology import opening
from demiurge.raster.voids import fill_voids
from demiurge.scene.geotiff import write_planes
from demiurge.scene.grid import wkt
from demiurge.scene.scene import Scene

Array = np.ndarray

_DSM2DTM = "import sys, dsm2dtm; dsm2dtm.generate_dtm_file(sys.argv[1], sys.argv[2], workers=1)"


def filled_by_gdal(heights: Array) -> Array:
    """Fill voids by GDAL's fillnodata: inverse distance weighting from their edges."""
    known = np.isfinite(heights)
    filtered = fillnodata(np.nan_to_num(heights), known, max_search_distance=200)
    return np.where(filtered == 0, fill_voids(heights), filtered).astype(np.float32)


def median(heights: Array, _image: Array) -> Array:
    return ndimage.median_filter(heights, 5)


def gaussian(heights: Array, _image: Array) -> Array:
    return ndimage.gaussian_filter(heights, 1.0)


def bilateral(heights: Array, _image: Array) -> Array:
    return cv2.bilateralFilter(heights, 9, sigmaColor=1.0, sigmaSpace=2.0)


def non_local_means(heights: Array, _image: Array) -> Array:
    """Apply OpenCV's filter to heights in centimetres above the lowest."""
    low = float(heights.min())
    integers = np.clip((heights - low) * 100, 0, 65535).astype(np.uint16)
    filtered = cv2.fastNlMeansDenoising(
        integers, h=[60.0], templateWindowSize=5, searchWindowSize=15, normType=cv2.NORM_L1
    )
    return (filtered.astype(np.float32) / 100 + low).astype(np.float32)


def guided(heights: Array, image: Array, radius: int = 3, epsilon: float = 0.01) -> Array:
    """Fit the heights locally as a linear function of the ortho image (He et al. 2013)."""
    guide = (image - np.nanmean(image)) / max(float(np.nanstd(image)), 1e-6)
    guide = np.nan_to_num(guide).astype(np.float64)

    def mean(plane: Array) -> Array:
        return cv2.boxFilter(plane, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    values = heights.astype(np.float64) - float(heights.mean())
    m_g, m_v = mean(guide), mean(values)
    slope = (mean(guide * values) - m_g * m_v) / (mean(guide * guide) - m_g**2 + epsilon)
    offset = m_v - slope * m_g
    filtered = mean(slope) * guide + mean(offset) + float(heights.mean())
    return filtered.astype(np.float32)


FILTERS: dict[str, Callable[[Array, Array], Array]] = {
    "median 5 × 5": median,
    "Gaussian 1 px": gaussian,
    "bilateral": bilateral,
    "non-local means": non_local_means,
    "guided by the ortho": guided,
}


def surfaces(scene: Scene) -> dict[str, Array]:
    """Return the initial DSM with voids filled by two methods, and every filter of the smoother."""
    initial, left = scene.read(layers=["dsm", "ortho_left"])
    smooth = fill_voids(initial)
    filtered = {"initial DSM, voids filled": smooth, "GDAL fillnodata": filled_by_gdal(initial)}
    return filtered | {name: apply(smooth, left) for name, apply in FILTERS.items()}


def progressive(surface: Array, size: float) -> Array:
    """Remove objects by a progressive morphological filter, and fill the gaps.

    After Zhang et al. (2003), on which SMRF is based; slope 0.3, sides up to 30 m.
    """
    ground = surface.copy()
    lowest = surface
    objects = np.zeros(surface.shape, bool)
    for side in (2.0, 4.0, 8.0, 16.0, 30.0):
        opened = opening(lowest, round(side / size))
        objects |= lowest - opened > 0.3 * side / 2 + 0.3
        lowest = opened
    ground[objects] = np.nan
    return fill_voids(ground)


def bulldozer_of(dsm: Path) -> Array | None:
    """Return the bare earth of CNES bulldozer with its default settings; NaN where it has none.

    None if $BULLDOZER does not name its command, or if it fails.
    """
    command = os.environ.get("BULLDOZER")
    if not command:
        return None
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run(
            [command, "--dsm_path", str(dsm), "--output_dir", name], capture_output=True
        )
        if done.returncode:
            return None
        with rasterio.open(Path(name) / "dtm.tif") as file:
            return file.read(1, masked=True).filled(np.nan).astype(np.float32)


def dsm2dtm_of(dsm: Path) -> Array | None:
    """Return the bare earth of dsm2dtm with its default settings; NaN where it has none.

    None if $DSM2DTM does not name a Python with it, or if it fails.
    """
    command = os.environ.get("DSM2DTM")
    if not command:
        return None
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run(
            [command, "-c", _DSM2DTM, str(dsm), f"{name}/dtm.tif"], capture_output=True
        )
        if done.returncode:
            return None
        with rasterio.open(Path(name) / "dtm.tif") as file:
            return file.read(1, masked=True).filled(np.nan).astype(np.float32)


def bulldozer(scene: Scene) -> Array | None:
    """Return :func:`bulldozer_of` of a scene's initial DSM, with voids filled."""
    with tempfile.TemporaryDirectory() as name:
        (initial,) = scene.read(layers=["dsm"])
        dsm = Path(name) / "dsm.tif"
        write_planes(dsm, [initial], wkt(scene.grid), scene.grid.affine, nodata=-32768.0)
        filtered = bulldozer_of(dsm)
    return None if filtered is None else fill_voids(filtered)


def grounds(scene: Scene) -> dict[str, Array]:
    """Return the bare earth by classical methods."""
    filled = fill_voids(scene.read(layers=["dsm"])[0])
    filtered = {
        "initial DSM": filled,
        "opening of 20 m": opening(filled, round(20 / scene.pixel_size)),
        "progressive morphological filter": progressive(filled, scene.pixel_size),
    }
    theirs = bulldozer(scene)
    return filtered if theirs is None else filtered | {"bulldozer": theirs}
