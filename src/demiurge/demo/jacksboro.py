"""Refine: real terrain, synthetically degraded.

The truth is the real DEM of the Jacksboro fault that Matplotlib ships. The initial DSM is that
DEM with *synthetic* faults of the kinds that stereo matching makes: smoothing, spatially
correlated noise that grows with slope, blunders and voids. It is a stand-in, no stereo: it shows
that the machinery learns and fills, not how well real stereo DSMs are refined.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from scipy import ndimage

from demiurge.demo.figure import Panel, draw
from demiurge.demo.run import Part, Row
from demiurge.evaluation.metrics import error_statistics
from demiurge.layers import layer
from demiurge.model.voids import fill_voids
from demiurge.predict.verbs import Options, refine
from demiurge.scene.grid import bounds_in, full_window, snapped_grid
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.scene.write import write_planes
from demiurge.training.fit import train

Array = npt.NDArray[np.float32]

PIXEL = 90.0
UTM = "EPSG:32616"
#: Training sees this many differently degraded copies of the western half.
COPIES = 20
GAP = 20
SETTINGS = (
    "layers=[dsm,triangulation_error]",
    "optional=[triangulation_error]",
    "heights.scale=20",
    "optimiser.rate=3e-3",
    "chips.size=96",
    "chips.batch=8",
    "chips.per_epoch=240",
    "epochs=14",
    "ema=0.98",
    "augment.swap_images=false",
    "augment.voids=0.2",
    "split.by=stripes",
    "split.axis=y",
    "split.validation=0.3",
    "split.buffer=20",
    "window=192",
)
QUICK = ("epochs=1", "chips.per_epoch=16")


def refine_jacksboro(folder: Path, *, quick: bool = False) -> Part:
    """Run the part and return its figures."""
    start = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    truth = folder / "truth.tif"
    half = write_truth(truth)
    west = [
        _scene(truth, folder, f"west_{seed}", seed, (0, half - GAP // 2))
        for seed in range(1, 3 if quick else COPIES + 1)
    ]
    east = _scene(truth, folder, "east", 1000, (half + GAP // 2, 2 * half))
    settings = (*SETTINGS, *(QUICK if quick else ()))
    bundle = folder / "refine.bundle"
    train(west, bundle, recipe="demiurge", changes=settings, quiet=False)
    surface = folder / "east_dsm.tif"
    refine(
        folder / "east_initial.tif",
        surface,
        triangulation_error=folder / "east_te.tif",
        bundle=bundle,
        options=Options(overwrite=True),
    )
    rows, panels = _judge(east, surface)
    picture = folder / "jacksboro.png"
    title = "Jacksboro fault, east: a synthetically degraded DSM, refined"
    draw(picture, f"{title} (never seen in training)", panels, PIXEL)
    return Part(
        title,
        rows,
        [picture, surface, bundle],
        "Real terrain, but the faults are synthetic: not a claim about real stereo.",
        time.monotonic() - start,
    )


def write_truth(path: Path) -> int:
    """Write the real DEM in metres of UTM zone 16N and return half its width in pixels.

    Its pixels lie on whole multiples of their size, so that nothing is resampled twice.
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
    write_planes(path, out[None], UTM, grid.affine, nodata=-9999.0)
    return int(grid.shape[1]) // 2


def degrade(truth: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return heights with synthetic faults of the kinds that stereo matching makes.

    Noise is correlated over a few pixels, grows with slope, and is strong where matching was
    poor; a triangulation error tells, roughly, where that is.

    Parameters
    ----------
    truth
        float32 (rows, columns) in metres, NaN for no data.

    Returns
    -------
    Initial heights and triangulation error, float32 of that shape in metres, NaN for voids
    (about a tenth).
    """

    def field(sigma: float) -> Array:
        noise = ndimage.gaussian_filter(rng.standard_normal(truth.shape), sigma, mode="wrap")
        return np.asarray(noise / noise.std(), np.float32)

    filled = fill_voids(truth)
    slope = np.hypot(*np.gradient(filled, PIXEL))
    # From a few metres to some 40: the range of spaceborne stereo of 15 m images.
    strength = 14 * np.exp(0.8 * field(5.0) - 0.3) * (0.6 + 2 * slope)
    noise = strength * (0.85 * field(1.0) + 0.5 * field(2.0)) + 4 * field(8.0)
    blunders = np.where(field(1.5) > 2.4, 50 * field(4.0), 0)
    holes = (field(3.0) + 3 * ndimage.gaussian_filter(slope, 2) > 2.0) | np.isnan(truth)
    initial = ndimage.gaussian_filter(filled, 1.0) + noise + blunders
    told = 0.5 * strength * np.exp(0.3 * field(0.7)) + 0.3 * np.abs(blunders)
    void = np.float32(np.nan)
    return (
        np.where(holes, void, initial).astype(np.float32),
        np.where(holes, void, told).astype(np.float32),
    )


def _scene(truth: Path, folder: Path, name: str, seed: int, columns: tuple[int, int]) -> Scene:
    """Degrade a half of the terrain, write it, and prepare it with its truth."""
    import rasterio

    with rasterio.open(truth) as source:
        heights = source.read(1, masked=True).filled(np.nan)[:, slice(*columns)]
        transform = source.transform @ type(source.transform).translation(columns[0], 0)
    files = {
        "dsm": folder / f"{name}_initial.tif",
        "triangulation_error": folder / f"{name}_te.tif",
    }
    degraded = degrade(heights, np.random.default_rng(seed))
    for path, plane in zip(files.values(), degraded, strict=True):
        write_planes(path, plane[None], UTM, transform, nodata=-9999.0)
    return prepare({**files, "truth_dsm": truth}, folder / name)


def _best_gaussian(heights: Array, weights: Array, truth: Array) -> Array:
    """Return the weighted Gaussian mean whose width is best in hindsight, as no user could."""

    def smooth(sigma: float) -> Array:
        total = ndimage.gaussian_filter(heights * weights, sigma)
        return np.asarray(total / ndimage.gaussian_filter(weights, sigma), np.float32)

    tried = [smooth(sigma) for sigma in (0.5, 0.7, 1.0, 1.5, 2.0)]
    return min(tried, key=lambda h: float(np.nanmean(np.abs(h - truth))))


def _judge(scene: Scene, surface: Path) -> tuple[list[Row], list[Panel]]:
    """Compare the result with the initial DSM and with classical filters, pixel by pixel."""
    initial, told, truth = scene.read(layers=["dsm", "triangulation_error", "truth_dsm"])
    weights = np.asarray(1 / (fill_voids(told) ** 2 + 1), np.float32)
    source = Source.open(surface, layer("truth_dsm"))
    spread_source = Source.open(surface, layer("truth_dsm"), 2)
    window = full_window(scene.grid)
    result, spread = source.read(scene.grid, window), spread_source.read(scene.grid, window)
    filled = fill_voids(initial)
    rivals = {
        "initial DSM": initial,
        "initial DSM, voids interpolated": filled,
        "median filter 3 × 3 of that": ndimage.median_filter(filled, 3),
        "median filter 5 × 5 of that": ndimage.median_filter(filled, 5),
        "Gaussian filter of that, best width": _best_gaussian(filled, np.ones_like(filled), truth),
        "the same, weighted by triangulation error": _best_gaussian(filled, weights, truth),
        "demiurge refine": result,
    }
    count = int(np.isfinite(truth).sum())
    rows = []
    for name, heights in rivals.items():
        rows.append(Row.of("Jacksboro, east", name, error_statistics(heights - truth, count)))
    panels = [
        Panel("initial DSM", initial, "height"),
        Panel("demiurge refine", result, "height"),
        Panel("truth", truth, "height"),
        Panel("error of the initial DSM", initial - truth, "error"),
        Panel("error of the result", result - truth, "error"),
        Panel("predicted uncertainty", spread, "spread"),
    ]
    return rows, panels
