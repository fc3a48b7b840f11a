"""Refine: simulated stereo pairs over a coarse real DEM.

The terrain is Matplotlib's DEM of the Jacksboro fault with pixels of 90 m, so that relief at the
1 m of the scenes is smooth. The simulation adds woods, houses and fields and renders two images; a
real stereo matcher computes the initial DSM. The western half of the terrain is for training, the
eastern half for evaluation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from scipy import ndimage

from demiurge.arrays import Array
from demiurge.demo.result import Result, Row, verdict
from demiurge.evaluation.metrics import error_statistics
from demiurge.figure import Panel, draw
from demiurge.layers import layer
from demiurge.model.bundle import Bundle, default_bundle
from demiurge.predict.api import refine
from demiurge.raster.voids import fill_voids
from demiurge.scene.footprint import bounds_in
from demiurge.scene.geotiff import write_planes
from demiurge.scene.grid import full_window, snapped_grid
from demiurge.scene.open import open_scene
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.simulation.run import simulate
from demiurge.training.fit import train

PIXEL, UTM = 90.0, "EPSG:32616"
#: Scenes of 384 m a side at 1 m.
CONFIG = {
    "size": 384,
    "gsd": 1.0,
    "cover": {"forest": 0.35, "town": 0.15, "crops": 0.2, "water": 0.0},
}
TRAINED, EVALUATED = 12, 4
SETTINGS = ("epochs=2", "chips.per_epoch=240", "chips.size=128", "optimiser.rate=2e-4", "ema=0.97")
QUICK = ("epochs=1", "chips.per_epoch=16")


def learn_jacksboro(folder: Path, *, quick: bool = False) -> Result:
    """Train and evaluate in a new folder and return the statistics."""
    west, east = write_halves(folder)
    trained, evaluated = (4, 2) if quick else (TRAINED, EVALUATED)
    seen = simulate(
        folder / "west", config=CONFIG, terrain=west, sites=trained, seed=1, quiet=False
    )
    unseen = simulate(
        folder / "east", config=CONFIG, terrain=east, sites=evaluated, seed=2, quiet=False
    )
    shipped = default_bundle("refine")
    bundle = folder / "refine.bundle"
    settings = (*SETTINGS, *(QUICK if quick else ()))
    train(
        seen,
        bundle,
        changes=settings,
        begin_from=shipped,
        quiet=False,
    )
    ours: dict[str, Path | Bundle] = {
        "demiurge refine, shipped bundle": shipped,
        "demiurge refine, fine-tuned in the west": bundle,
    }
    rows, panels = _evaluate([open_scene(p) for p in unseen], ours, folder)
    picture = folder / "jacksboro.png"
    title = "Jacksboro fault, east: a simulated stereo DSM, refined"
    draw(picture, f"{title} (outside the training area)", panels, 1.0, columns=4)
    return Result(
        title,
        rows,
        [picture, folder / "east_0.tif", bundle],
        verdict(rows, "Real terrain, but cover, images and stereo are simulated.", len(ours)),
    )


def write_halves(folder: Path) -> tuple[Path, Path]:
    """Write the western and the eastern half of the terrain, and return their paths."""
    import rasterio

    terrain = folder / "terrain.tif"
    half = write_truth(terrain)
    halves = []
    with rasterio.open(terrain) as source:
        for name, first in (("west", 0), ("east", half)):
            heights = source.read(1, masked=True).filled(np.nan)[:, first : first + half]
            transform = source.transform @ type(source.transform).translation(first, 0)
            halves.append(folder / f"{name}.tif")
            write_planes(halves[-1], [heights], UTM, transform, nodata=-9999.0)
    return halves[0], halves[1]


def write_truth(path: Path) -> int:
    """Write the real DEM in metres of UTM zone 16N and return half its width in pixels.

    Pixel edges are integer multiples of the pixel size, which avoids a second resampling.
    """
    import matplotlib
    from rasterio.transform import from_origin
    from rasterio.warp import Resampling, reproject

    name = "jacksboro_fault_dem.npz"
    with np.load(Path(matplotlib.get_data_path()) / "sample_data" / name) as content:
        heights = content["elevation"].astype(np.float32)
        west, step = float(content["xmin"]), float(content["dx"])
        # The file names its northern edge ymin.
        north = max(float(content["ymin"]), float(content["ymax"]))
    source = GeoBox(heights.shape, from_origin(west, north, step, step), "EPSG:4326")
    utm = CRS(UTM)
    grid = snapped_grid(bounds_in(source, utm), utm, PIXEL)
    out = np.full(grid.shape, np.nan, np.float32)
    reproject(
        heights,
        out,
        src_crs="EPSG:4326",
        src_transform=source.affine,
        dst_crs=UTM,
        dst_transform=grid.affine,
        dst_nodata=np.nan,
        resampling=Resampling.cubic,
    )
    write_planes(path, [out], UTM, grid.affine, nodata=-9999.0)
    return int(grid.shape[1]) // 2


def _best_gaussian(heights: Array, truth: Array, weights: Array | None = None) -> Array:
    """Return the (weighted) Gaussian mean of the width with the smallest error.

    The choice needs the truth, so that it bounds what a user can achieve.
    """
    weights = np.ones_like(heights) if weights is None else weights

    def smooth(sigma: float) -> Array:
        total = ndimage.gaussian_filter(heights * weights, sigma)
        return np.asarray(total / ndimage.gaussian_filter(weights, sigma), np.float32)

    candidates = [smooth(sigma) for sigma in (0.5, 0.7, 1.0, 1.5, 2.0)]
    return min(candidates, key=lambda h: float(np.nanmean(np.abs(h - truth))))


def _evaluate(
    scenes: list[Scene], bundles: dict[str, Path | Bundle], folder: Path
) -> tuple[list[Row], list[Panel]]:
    """Compare results with the initial DSM and with classical filters, pixel by pixel."""
    errors: dict[str, list[Array]] = {}
    panels: list[Panel] = []
    count = 0
    for index, scene in enumerate(scenes):
        initial, error, truth = scene.read(layers=["dsm", "triangulation_error", "truth_dsm"])
        filled = fill_voids(initial)
        weights = np.asarray(1 / (fill_voids(error) ** 2 + 0.01), np.float32)
        rivals = {
            "initial DSM": initial,
            "initial DSM, voids interpolated": filled,
            "median filter 3 × 3 of that": ndimage.median_filter(filled, 3),
            "median filter 5 × 5 of that": ndimage.median_filter(filled, 5),
            "Gaussian filter of that, best width": _best_gaussian(filled, truth),
            "the same, weighted by triangulation error": _best_gaussian(filled, truth, weights),
        }
        for name, bundle in bundles.items():
            out = folder / f"east_{index}.tif"
            refine(scene, out, bundle=bundle, overwrite=True)
            result, uncertainty = _read(out, scene, 1), _read(out, scene, 2)
            rivals[name] = result
        for name, heights in rivals.items():
            errors.setdefault(name, []).append(heights - truth)
        count += int(np.isfinite(truth).sum())
        panels = panels or _panels(scene, initial, result, uncertainty, truth)
    rows = [
        Row.of("Jacksboro, east", name, error_statistics(np.stack(residuals), count))
        for name, residuals in errors.items()
    ]
    return rows, panels


def _read(path: Path, scene: Scene, band: int) -> Array:
    return Source.open(path, layer("truth_dsm"), band).read(scene.grid, full_window(scene.grid))


def _panels(
    scene: Scene, initial: Array, result: Array, uncertainty: Array, truth: Array
) -> list[Panel]:
    left, error = scene.read(layers=["ortho_left", "triangulation_error"])
    return [
        Panel("left ortho", np.repeat(left[..., None], 3, axis=2), "image"),
        Panel("initial DSM", initial, "height"),
        Panel("demiurge refine", result, "height"),
        Panel("truth", truth, "height"),
        Panel("triangulation error", error, "uncertainty"),
        Panel("error of the initial DSM", initial - truth, "error"),
        Panel("error of the result", result - truth, "error"),
        Panel("predicted uncertainty", uncertainty, "uncertainty"),
    ]
