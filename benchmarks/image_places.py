"""Places with real images and real heights: one table that says which train and which judge.

The rasters are in $DEMIURGE_DATA or ../shared/data; the scene of Rocky Mountain National Park
ships. ``python benchmarks/image_places.py FOLDER`` prepares the places for training: scenes whose
priors are block means of the truth. A place is kept out with all its dates.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import Resampling, reproject

from common import data_folder
from demiurge.demo.rocky import PIXEL, rocky_files
from demiurge.errors import DemiurgeError
from demiurge.scene.bands import name_inputs
from demiurge.scene.camera import Direction
from demiurge.scene.geotiff import write_planes
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene

Array = np.ndarray
Use = Literal["training", "kept out"]

#: Layers of the images that a generate bundle takes.
BANDS = ("red", "green", "blue", "nir")
#: Ratios of the prior's pixel to the image's in training scenes.
TRAINING_RATIOS = (3, 6, 10, 20)
#: Seed of the errors of priors.
SEED = 7
_WEST = "pairs/western_usa_landsat8/tile_"


@dataclass(frozen=True)
class Take:
    """One image of a place.

    Attributes
    ----------
    image, dem
        Files in the folder of real rasters; empty for the shipped scene.
    sun
        Direction to the sun where the image's tags lack it and the source records it.
    """

    image: str
    dem: str
    sun: Direction | None = None


@dataclass(frozen=True)
class Place:
    """A place, with the images of one or more dates.

    Attributes
    ----------
    metric
        Heights and pixels are metres, so that priors can be made.
    """

    name: str
    use: Use
    takes: tuple[Take, ...]
    metric: bool = True

    def files(self, data: Path | None) -> list[tuple[str, str, Direction | None]]:
        """Return image, DEM and sun of each take; empty if a file is absent."""
        if not self.takes[0].image:
            image, dem = (str(path) for path in rocky_files())
            return [(image, dem, None)]
        if data is None:
            return []
        files = [(str(data / t.image), str(data / t.dem), t.sun) for t in self.takes]
        return files if all(Path(p).is_file() for f in files for p in f[:2]) else []


def _tiles(stem: str, *numbers: str) -> tuple[Take, ...]:
    return tuple(Take(f"{stem}{n}_image.tif", f"{stem}{n}_dem.tif") for n in numbers)


#: Bundles that ship learn from the places of training only. The demonstration shows Rocky as unseen
#: ground, so it is kept out.
PLACES = (
    Place("gutzler", "training", _tiles(_WEST, "002_gutzler")),
    Place("junkins", "training", _tiles(_WEST, "003_junkins")),
    Place("red_dirt", "training", _tiles(_WEST, "004_redDirt")),
    Place("beaver_creek", "training", _tiles(_WEST, "006_beaverCreek")),
    Place("madre", "training", _tiles(_WEST, "007_madre"), metric=False),
    Place("east_africa", "training", _tiles("pairs/terramesh_sentinel2/tile_", "002")),
    Place("brazil", "training", _tiles("pairs/terramesh_sentinel2/tile_", "003")),
    Place("edgeroi", "training", (
        Take("pairs/edgeroi_landsat7_90m/image.tif", "pairs/edgeroi_landsat7_90m/dem.tif"),
    )),
    Place("ecklund", "kept out", _tiles(_WEST, "001_ecklund")),
    Place("rice_ridge", "kept out", _tiles(_WEST, "005_riceRidge")),
    Place("costa_rica", "kept out", _tiles("pairs/costa_rica_landsat5/tile_", "001", "002")),
    Place("chile", "kept out", _tiles("pairs/terramesh_sentinel2/tile_", "001")),
    Place("slovenia", "kept out",
          _tiles("pairs/slovenia_sentinel2/tile_", "001", "002", "003")),
    Place("pennsylvania", "kept out", (
        Take("pennsylvania_landsat7/rgb.tif", "pennsylvania_landsat7/dem.tif",
             Direction(159.5, 26.2)),
        Take("pairs/pennsylvania_landsat7_july/image.tif",
             "pairs/pennsylvania_landsat7_july/dem.tif"),
    )),
    Place("rocky", "kept out", (Take("", ""),)),
)  # fmt: skip


def present(data: Path | None, use: Use) -> list[Place]:
    """Return the places of a use in metres whose files exist and whose images have colours."""
    return [
        place
        for place in PLACES
        if place.use == use
        and place.metric
        and (files := place.files(data))
        and {"red", "green", "blue"} <= set(_bands(files[0][0]))
    ]


def _bands(image: str) -> dict[str, str]:
    return {name: file for name, file in name_inputs([image]).items() if name in BANDS}


def image_and_truth(place: Place, take: int, data: Path | None, folder: Path) -> Scene:
    """Prepare a take without a prior: its image, its sun where recorded, and ``truth_dtm``."""
    image, dem, sun = place.files(data)[take]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{place.name}_{take}"
    files = {**_bands(image), "truth_dtm": dem}
    gsd = PIXEL if place.name == "rocky" else None
    return prepare(files, target, gsd=gsd, sun=sun, name=target.name, overwrite=True)


def over_prior(bare: Scene, ratio: float, folder: Path, noise: float = 0.0) -> Scene:
    """Prepare a scene of :func:`image_and_truth` with a prior made from its truth.

    Parameters
    ----------
    ratio
        Side of the prior's pixels over that of the image's.
    noise
        Standard deviation in metres of independent errors of the prior's pixels.
    """
    assert bare.folder is not None
    truth = bare.read(layers=["truth_dtm"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{bare.folder.name}_prior.tif"
    prior = coarser(truth, ratio)
    errors = np.random.default_rng(SEED).standard_normal(prior.shape, np.float32)
    prior += np.float32(noise) * errors
    grid = bare.grid.affine @ Affine.scale(ratio)
    write_planes(path, prior[None], bare.grid.crs.to_wkt(), grid)
    files = {
        name: f"{source.path}:{source.band}"
        for name, source in bare.sources.items()
        if name in (*BANDS, "truth_dtm")
    }
    out = folder / f"{bare.folder.name}_over_prior"
    return prepare({**files, "dem_prior": str(path)}, out, sun=bare.sun, name=bare.name,
                   extent=tuple(bare.grid.boundingbox), overwrite=True)  # fmt: skip


def coarser(truth: Array, ratio: float) -> Array:
    """Return means over pixels that are ``ratio`` times larger, or values at smaller pixels.

    Parameters
    ----------
    truth
        float32 (rows, columns) in metres, NaN for no data.

    Returns
    -------
    float32; entire pixels only, NaN where any part has no data. Smaller pixels (``ratio`` < 1) are
    interpolated bilinearly.
    """
    shape = tuple(int(n / ratio + 1e-6) for n in truth.shape)
    method = Resampling.average if ratio > 1 else Resampling.bilinear

    def resampled(plane: Array) -> Array:
        out = np.zeros(shape, np.float32)
        reproject(plane, out, src_transform=Affine.identity(), dst_transform=Affine.scale(ratio),
                  src_crs="EPSG:3857", dst_crs="EPSG:3857", resampling=method)  # fmt: skip
        return out

    if ratio == 1:
        return truth.copy()
    known = np.isfinite(truth)
    level = np.float32(truth[known].mean())
    complete = resampled(known.astype(np.float32)) > 0.999
    values = resampled(np.where(known, truth - level, np.float32(0))) + level
    return np.where(complete, values, np.float32(np.nan))


def training_scenes(data: Path | None, folder: Path) -> list[Path]:
    """Prepare the places of training; each take with the next of ``TRAINING_RATIOS``.

    Places without metres, or without all colours, are left out.
    """
    scenes = []
    for number, place in enumerate(present(data, "training")):
        for take in range(len(place.takes)):
            bare = image_and_truth(place, take, data, folder / "bare")
            ratio = TRAINING_RATIOS[(number + take) % len(TRAINING_RATIOS)]
            scene = over_prior(bare, ratio, folder)
            assert scene.folder is not None
            scenes.append(scene.folder)
    return scenes


def main() -> None:
    """Prepare the scenes for training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        for scene in training_scenes(data_folder(), arguments.folder):
            with rasterio.open(scene / "stack.tif") as file:
                print(scene, *file.shape)
    except DemiurgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
