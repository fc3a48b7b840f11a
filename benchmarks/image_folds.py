"""Five folds over the ten Sentinel-2 tiles of the pix2pix paper (Panagiotou et al. 2020).

Each tile is judged once, by a bundle that was trained on the eight tiles of the other folds.
Heights are scaled to 0 to 255 in each tile, so that relative heights are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from common import print_rows
from demiurge import Options, generate, train
from demiurge.model.bundle import Bundle, load_bundle
from demiurge.raster.resample import block_means
from demiurge.scene.geotiff import write_planes
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.training.recipe import load_recipe

Array = np.ndarray
#: Trains on scene folders and writes a bundle.
Way = Callable[[list[Path], Path], object]

FOLDS = 5
CRS, PIXEL = "EPSG:32633", 10.0
#: Pixels of the image per pixel of the scenes' prior, for bundles that take one.
COARSENESS = 10
#: Chips of each training by default: some minutes on two cores.
CHIPS = 1600


@dataclass(frozen=True)
class TileFigures:
    """Figures of the judged tiles, in their order.

    Attributes
    ----------
    correlations
        float64 (tiles,): correlation of predicted heights and truth.
    fitted
        float64 (tiles,): RMSE after an affine fit over that of the tile's mean height.
    """

    correlations: Array
    fitted: Array

    @property
    def summary(self) -> dict[str, float]:
        """Return median correlation, share of negative ones, median RMSE over the mean's."""
        return {
            "correlation": float(np.median(self.correlations)),
            "negative": float(np.mean(self.correlations < 0)),
            "fitted": float(np.median(self.fitted)),
        }


def tiles(data: Path | None) -> list[tuple[Array, Array]]:
    """Return images, uint8 (256, 256, 3), and scaled heights, float64 (256, 256)."""
    path = None if data is None else data / "imagetodem_tiles" / "tiles.npz"
    if path is None or not path.is_file():
        return []
    with np.load(path) as arrays:
        images, heights = arrays["arr_0"], arrays["arr_1"]
    return [
        (image.astype(np.uint8), truth.squeeze().astype(np.float64))
        for image, truth in zip(images, heights, strict=True)
    ]


def write_tile(image: Array, truth: Array | None, path: Path) -> Path:
    """Write a tile as an RGB image; with its heights also as PATH_truth.tif and PATH_prior.tif."""
    # Tiles lie apart: overlapping scenes are one place.
    number = int("".join(c for c in path.stem if c.isdigit()) or 0)
    transform = from_origin(3e5 + 2e4 * number, 5e6, PIXEL, PIXEL)
    rows, columns, count = image.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, dtype="uint8", height=rows, width=columns,
        crs=CRS, transform=transform, photometric="RGB",
    ) as writer:  # fmt: skip
        writer.write(np.moveaxis(image, -1, 0))
    if truth is not None:
        heights = truth.astype(np.float32)
        write_planes(path.with_name(f"{path.stem}_truth.tif"), heights[None], CRS, transform)
        coarse = transform @ transform.scale(COARSENESS)
        write_planes(path.with_name(f"{path.stem}_prior.tif"),
                     block_means(heights, COARSENESS)[None], CRS, coarse)  # fmt: skip
    return path


def five_folds(
    pairs: Sequence[tuple[Array, Array]], way: Way, *, prior: bool = False
) -> TileFigures:
    """Train without each fold and judge its tiles.

    Parameters
    ----------
    pairs
        Images, uint8 (rows, columns, 3), and heights, float64 (rows, columns).
    way
        Trains on scene folders and writes a bundle.
    prior
        The scenes of the training have a coarse prior; the judged images have none.
    """
    correlations, fitted = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = [_scene(*pair, folder, number, prior) for number, pair in enumerate(pairs)]
        for fold in range(FOLDS):
            left_out = range(fold, len(pairs), FOLDS)
            bundle = folder / f"{fold}.bundle"
            way([s for number, s in enumerate(scenes) if number not in left_out], bundle)
            for number in left_out:
                image, truth = pairs[number]
                tile = write_tile(image, None, folder / "judged.tif")
                correlations[number], fitted[number] = judged(tile, truth, bundle, folder)
    return TileFigures(correlations, fitted)


def _scene(image: Array, truth: Array, folder: Path, number: int, prior: bool) -> Path:
    path = write_tile(image, truth, folder / f"tile_{number}.tif")
    bands = {name: f"{path}:{k + 1}" for k, name in enumerate(("red", "green", "blue"))}
    files = {**bands, "truth_dtm": str(path.with_name(f"{path.stem}_truth.tif"))}
    if prior:
        files["dem_prior"] = str(path.with_name(f"{path.stem}_prior.tif"))
    out = folder / f"scene_{number}"
    prepare(files, out, name=out.name)
    return out


def judged(
    image: Path | Scene, truth: Array, bundle: Path | Bundle, folder: Path
) -> tuple[float, float]:
    """Return how well relative heights of an image without a prior agree with the truth.

    Parameters
    ----------
    truth
        (rows, columns) on the grid of the image, NaN for no data.

    Returns
    -------
    The correlation, and the RMSE after an affine fit over that of the mean height.
    """
    out = folder / "heights.tif"
    generate(image, out, bundle=bundle, options=Options(overwrite=True, any_pixel_size=True))
    with rasterio.open(out) as reader:
        heights = reader.read(1).astype(np.float64)
    known = np.isfinite(heights) & np.isfinite(truth)
    x, y = heights[known], truth[known].astype(np.float64)
    left = np.polyval(np.polyfit(x, y, 1), x) - y
    return float(np.corrcoef(x, y)[0, 1]), float(left.std() / y.std())


#: Changes of `generate-relative` for tiles of 256 px of one radiometry: chips at 3 and 4 times
#: coarser pixels only, and fewer chips for each step.
TILES = (
    "images=bundle", "chips.scales=[3, 4]", "chips.batch=8", "augment.margins=0",
    "augment.texture=0.1", "augment.brightness=0.1", "optimiser.rate=1.5e-3", "ema=0.97",
)  # fmt: skip


def training(
    recipe: str | None, changes: Sequence[str], chips: int, begin_from: Bundle | None = None
) -> Way:
    """Return a way that trains a recipe, or a bundle further, on a number of chips.

    Chips are spread over ten epochs, fewer if there are few.
    """
    chosen = begin_from.card.recipe if begin_from else load_recipe(recipe or "").model_dump()
    batch = int(chosen["chips"]["batch"])
    epochs = max(1, min(10, chips // (2 * batch)))
    steps = (f"chips.per_epoch={max(batch, chips // epochs // batch * batch)}",
             f"epochs={epochs}", "split.validation=0.13")  # fmt: skip

    def train_bundle(scenes: list[Path], out: Path) -> object:
        return train(
            scenes, out, recipe=None if begin_from else recipe, begin_from=begin_from,
            changes=(*steps, *changes), overwrite=True, quiet=True,
        )  # fmt: skip

    return train_bundle


def compare(
    data: Path | None, bundle: str | Path | Bundle, chips: int = CHIPS
) -> dict[str, dict[str, float]]:
    """Compare pix2pix with ``generate`` from random weights and from a bundle, at equal chips.

    Parameters
    ----------
    chips
        Chips of each training. Those of pix2pix have 256 px a side, four times the area.
    """
    pairs = tiles(data)
    if not pairs:
        print("the folder of real rasters has no imagetodem_tiles: no folds")
        return {}
    begin = load_bundle(bundle)
    colours = ("augment.drop_layers=0.9",) if begin.contract.base else ()
    ways: dict[str, tuple[Way, bool]] = {
        "pix2pix": (training("pix2pix", (), chips), False),
        "generate-relative from random weights": (
            training("generate-relative", TILES, chips), False,
        ),
        "from the bundle": (
            training(None, colours, chips, begin), begin.contract.base is not None,
        ),
    }  # fmt: skip
    rows = {}
    for name, (way, prior) in ways.items():
        figures = five_folds(pairs, way, prior=prior)
        rows[name] = figures.summary
        rows[name] |= {f"tile {k}": float(r) for k, r in enumerate(figures.correlations)}
        columns = dict.fromkeys(("correlation", "negative", "fitted"), "%.3f")
        print_rows({name: rows[name]}, columns, f"five folds, {chips} chips")
    return rows
