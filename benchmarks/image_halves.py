"""The generate bundle (or $BUNDLE) on real images, as shipped and after training.

Landsat over Pennsylvania and Sentinel-2 tiles where $DEMIURGE_DATA has them; the satellite image of
Rocky Mountain National Park ships. Priors are block means of the reference DEM.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from common import Claim, at_most, half_interval, main
from demiurge import Options, generate, train
from demiurge.demo.rocky import rocky_scenes
from demiurge.raster.resample import block_means
from demiurge.scene.bands import name_inputs
from demiurge.scene.geotiff import write_planes
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from image_folds import judged, tiles, write_tile

#: Name or file.
BUNDLE = os.environ.get("BUNDLE", "generate")
DATA = Path(os.environ.get("DEMIURGE_DATA", ""))
STEPS = (
    "chips.size=64", "chips.batch=16", "chips.per_epoch=320", "epochs=6", "optimiser.rate=1e-3",
    "ema=0.98", "split.axis=y", "split.validation=0.3", "split.buffer=8", "window=128",
)  # fmt: skip
QUICK = ("epochs=1", "chips.per_epoch=16")


def measure(quick: bool) -> list[Claim]:
    """RMSE over the upsampled prior's, as shipped and fine-tuned on half; relative heights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_pennsylvania(folder, quick), *_rocky(folder, quick), *_tiles(folder)]


def _pennsylvania(folder: Path, quick: bool) -> list[Claim]:
    place = DATA / "pennsylvania_landsat7"
    if not (place / "dem.tif").exists():
        print("DEMIURGE_DATA names no folder with pennsylvania_landsat7: it is left out")
        return []
    claims = []
    for factor in (3, 6):
        entire, west, east = (
            _scene(place, folder, factor, half) for half in ("entire", "west", "east")
        )
        title = f"Pennsylvania, Landsat, prior of {30 * factor} m"
        claims += _shipped(title, entire, folder)
        claims += _tuned(title, west, east, folder, quick)
    return claims


def _scene(place: Path, folder: Path, factor: int, half: str) -> Scene:
    with rasterio.open(place / "dem.tif") as file:
        dem = file.read(1, masked=True).filled(np.nan).astype(np.float32)
        transform, crs, box = file.transform, file.crs.to_wkt(), file.bounds
    step = transform.a * factor
    coarse = folder / f"prior_{factor}.tif"
    rows, columns = (n // factor * factor for n in dem.shape)
    write_planes(coarse, block_means(dem[:rows, :columns], factor)[None], crs,
                 from_origin(transform.c, transform.f, step, step))  # fmt: skip
    files = name_inputs(
        [str(place / "rgb.tif"), f"truth_dtm={place / 'dem.tif'}", f"dem_prior={coarse}"]
    )
    middle = (box.left + box.right) / 2
    extent = {
        "entire": tuple(box),
        "west": (box.left, box.bottom, middle - step, box.top),
        "east": (middle + step, box.bottom, box.right, box.top),
    }[half]
    return prepare(files, folder / f"{half}_{factor}", extent=extent)


def _rocky(folder: Path, quick: bool) -> list[Claim]:
    west, east = rocky_scenes(folder)
    title = "Rocky Mountains, pixels of 100 m (outside the bundle's range), prior of 1.4 km"
    # Too small for an assessment: all detail is kept, to show its effect.
    full_detail = {"detail": 1.0}
    return [
        *_shipped(title, east, folder, **full_detail),
        *_tuned(title, west, east, folder, quick, **full_detail),
    ]


def _shipped(title: str, scene: Scene, folder: Path, **options: float) -> list[Claim]:
    ratio, slope, held = _judged(scene, BUNDLE, folder, **options)
    sharpened = _judged(scene, BUNDLE, folder, detail=0.0)[0]
    alone = _judged(scene, BUNDLE, folder, prior_accuracy=np.inf)[0]
    return [
        at_most(f"{title}: RMSE over the prior's, as shipped", ratio, "", 1.0),
        at_most("  slope error over the prior's", slope, "", 1.0),
        Claim("  share of errors within the 90 % interval", held, ""),
        Claim("  RMSE over the prior's, of the prior, sharpened without the bundle", sharpened, ""),
        Claim("  of the network alone, without the prior constraint", alone, ""),
    ]


def _tuned(
    title: str, west: Scene, east: Scene, folder: Path, quick: bool, **options: float
) -> list[Claim]:
    bundle = folder / "tuned.bundle"
    changes = (*STEPS, *(QUICK if quick else ()))
    train([west], bundle, begin_from=BUNDLE, changes=changes, overwrite=True)
    ratio = _judged(east, bundle, folder, **options)[0]
    return [at_most(f"{title}: trained in the west, tested in the east", ratio, "", 0.85)]


def _judged(
    scene: Scene, bundle: str | Path, folder: Path, **options: float
) -> tuple[float, float, float]:
    """Return errors of heights and slopes over the prior's, and the share in the 90 % interval."""
    out = folder / "out.tif"
    chosen = Options(overwrite=True, any_pixel_size=True, **options)
    generate(scene, out, bundle=bundle, options=chosen)
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"]).astype(np.float64)
    with rasterio.open(out) as file:
        heights, uncertainty = file.read().astype(np.float64)
    inner = (slice(8, -8), slice(8, -8))
    rmse = [np.sqrt(np.nanmean((h - truth)[inner] ** 2)) for h in (heights, prior)]
    slopes = [np.hypot(*np.gradient(h, scene.pixel_size))[inner] for h in (heights, prior, truth)]
    steep = [np.sqrt(np.nanmean((h - slopes[2]) ** 2)) for h in slopes[:2]]
    # An interval of a Laplace distribution, whose standard deviation is √2 scales.
    held = np.abs(heights - truth)[inner] <= half_interval(uncertainty[inner])
    return float(rmse[0] / rmse[1]), float(steep[0] / steep[1]), float(np.mean(held))


def _tiles(folder: Path) -> list[Claim]:
    """Tiles of the pix2pix paper. Their heights are scaled, so relative heights are compared."""
    pairs = tiles(DATA)
    if not pairs:
        print("DEMIURGE_DATA names no folder with imagetodem_tiles: they are left out")
        return []
    ratios = [
        judged(write_tile(image, None, folder / "tile.tif"), truth, BUNDLE, folder)[1]
        for image, truth in pairs
    ]
    title = (
        "real Sentinel-2 tiles without a prior, after the affine fit: RMSE over the mean height's"
    )
    return [Claim(title, float(np.median(ratios)), "")]


if __name__ == "__main__":
    main(measure)
