"""Generate: a real satellite image and a real DEM of Rocky Mountain National Park.

Both rasters are shipped, on different grids in degrees. The prior holds means of the DEM over
squares of about 1.4 km. The result is evaluated in the east of the park.
"""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from demiurge.demo.result import Result, Row, verdict
from demiurge.evaluation.evaluate import evaluate
from demiurge.model.bundle import Bundle, default_bundle
from demiurge.predict.api import generate
from demiurge.raster.resample import block_means
from demiurge.scene.bands import name_inputs
from demiurge.scene.geotiff import write_planes
from demiurge.scene.open import scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene

PIXEL = 100.0
#: Pixels of the DEM (about 234 m) per pixel of the prior (about 1.4 km).
COARSENESS = 6
#: Gap between west and east in metres: more than a pixel of the prior.
GAP = 2000.0
#: Margin in metres, where bicubic interpolation of the prior lacks neighbours.
RIM = 2400.0
#: Share of the scene for training.
WEST = 0.6


def rocky_files() -> tuple[Path, Path]:
    """Return the shipped image and the shipped DEM."""
    folder = Path(str(resources.files("demiurge") / "demo" / "rocky"))
    return folder / "rmnp-rgb.tif", folder / "rmnp-dem.tif"


def generate_rocky(folder: Path) -> Result:
    """Apply the shipped bundle, in a new folder."""
    _, east = rocky_scenes(folder)
    bundle = default_bundle("generate")
    sizes = bundle.card.pixel_sizes
    return evaluated(
        folder,
        east,
        {"demiurge generate": (bundle, None)},
        "Rocky Mountains, east: heights from a real image and a prior of 1.4 km",
        f"Pixels of {PIXEL:g} m are coarser than the {sizes.low:g} to {sizes.high:g} m that the "
        "bundle was trained for.",
    )


def evaluated(
    folder: Path,
    scene: Scene,
    bundles: dict[str, tuple[Bundle, float | None]],
    title: str,
    limits: str,
) -> Result:
    """Apply bundles to a scene, compare each with the DEM and the prior, and draw the last result.

    Parameters
    ----------
    bundles
        Bundles by name, each with the option ``detail`` of ``generate``.
    """
    _, dem = rocky_files()
    surface = folder / "east_dtm.tif"
    source = scene.sources["dem_prior"]
    rows: list[Row] = []
    notes: tuple[str, ...] = ()
    for name, (bundle, detail) in bundles.items():
        notes = generate(
            scene, surface, bundle=bundle, any_pixel_size=True, overwrite=True, detail=detail
        ).notes
        evaluation = evaluate(surface, dem, baseline=f"{source.path}:{source.band}")
        assert evaluation.baseline is not None
        if not rows:
            rows = [Row.of(title, "prior, upsampled bicubically", evaluation.baseline)]
        rows.append(Row.of(title, name, evaluation.surface))
    files = [surface]
    if find_spec("matplotlib") is not None:
        files.insert(0, _picture(folder / "rocky.png", title, scene, surface))
    return Result(title, rows, files, verdict(rows, limits, len(bundles)), notes)


def write_prior(dem: Path, out: Path, shift: int = 0) -> None:
    """Write means of a DEM over squares; the first square starts at pixel (shift, shift)."""
    import rasterio

    with rasterio.open(dem) as source:
        heights = source.read(1, masked=True).astype(np.float32).filled(np.nan)
        transform, crs = source.transform, source.crs
    rows, columns = (shift + (n - shift) // COARSENESS * COARSENESS for n in heights.shape)
    means = block_means(heights[shift:rows, shift:columns], COARSENESS)
    placed = transform @ transform.translation(shift, shift) @ transform.scale(COARSENESS)
    write_planes(out, means[None], crs, placed)


def rocky_scenes(folder: Path) -> tuple[Scene, Scene]:
    """Prepare west and east with priors of different phase.

    A network cannot profit from a common grid of the priors.
    """
    image, dem = rocky_files()
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


def _picture(path: Path, title: str, scene: Scene, surface: Path) -> Path:
    import rasterio

    from demiurge.figure import Panel, draw

    with rasterio.open(surface) as dataset:
        result = dataset.read(1)
    image = np.moveaxis(scene.read(layers=["red", "green", "blue"]), 0, -1)
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"])
    draw(
        path,
        title,
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
