"""Refine a small simulated stereo scene with the shipped bundle."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from demiurge.arrays import Array
from demiurge.demo.result import Result, Row
from demiurge.evaluation.metrics import error_statistics
from demiurge.predict.api import refine
from demiurge.scene.open import scene_from_files
from demiurge.scene.scene import Scene

#: Steps of the integers in which the layers are stored.
STEPS = {
    "dsm": 0.01,
    "truth_dsm": 0.01,
    "truth_dtm": 0.01,
    "triangulation_error": 0.01,
    "ndvi": 0.01,
    "ortho_left": 0.004,
    "ortho_right": 0.004,
}


def sample_files() -> dict[str, Path]:
    """Return the files of the shipped scene by layer."""
    folder = Path(str(resources.files("demiurge") / "demo" / "sample"))
    return {name: folder / f"{name}.tif" for name in STEPS}


def refine_sample(folder: Path) -> Result:
    """Refine the sample in a new folder and compare the result with the reference."""
    scene = scene_from_files(sample_files(), name="sample")
    surface = refine(scene, folder / "better.tif")
    dsm, uncertainty, dtm = _bands(surface.path, ("dsm", "dsm_uncertainty", "dtm"))
    initial, truth, earth = scene.read(layers=["dsm", "truth_dsm", "truth_dtm"])
    both = np.isfinite(initial)
    known = int(np.isfinite(truth).sum())
    rows = [
        Row.of("sample", "initial DSM", error_statistics(initial - truth, known)),
        Row.of("sample", "refined, on the same pixels",
               error_statistics(np.where(both, dsm - truth, np.float32(np.nan)), known)),
        Row.of("sample", "refined, with voids filled", error_statistics(dsm - truth, known)),
        Row.of("sample", "bare earth, initial DSM", error_statistics(initial - earth, known)),
        Row.of("sample", "bare earth, refined", error_statistics(dtm - earth, known)),
    ]  # fmt: skip
    files = [surface.path]
    if find_spec("matplotlib") is not None:
        files.insert(0, _draw(folder / "sample.png", scene, dsm, dtm, uncertainty))
    return Result(
        "A simulated town at 0.5 m, refined with the shipped bundle",
        rows,
        files,
        f"MAE {1 - rows[1].mae / rows[0].mae:.0%} below the initial DSM's. The scene is simulated.",
    )


def _bands(path: Path, names: tuple[str, ...]) -> list[Array]:
    import rasterio

    with rasterio.open(path) as file:
        numbers = [list(file.descriptions).index(name) + 1 for name in names]
        return [np.asarray(file.read(number), np.float32) for number in numbers]


def _draw(path: Path, scene: Scene, dsm: Array, dtm: Array, uncertainty: Array) -> Path:
    from demiurge.figure import Panel, draw

    initial, truth, earth, left = scene.read(layers=["dsm", "truth_dsm", "truth_dtm", "ortho_left"])
    panels = [
        Panel("left ortho", np.repeat(left[..., None], 3, axis=2), "image"),
        Panel("initial DSM", initial, "height"),
        Panel("refined DSM", dsm, "height"),
        Panel("true DSM", truth, "height"),
        Panel("bare earth", dtm, "height"),
        Panel("error of the initial DSM", initial - truth, "error"),
        Panel("error of the refined DSM", dsm - truth, "error"),
        Panel("error of the bare earth", dtm - earth, "error"),
        Panel("predicted uncertainty", uncertainty, "uncertainty"),
    ]
    title = "A simulated town, refined with the shipped bundle"
    draw(path, title, panels, scene.pixel_size, columns=5)
    return path


def write_sample(scene: Scene, folder: Path) -> None:
    """Write the layers of a simulated scene as the small shipped files."""
    import rasterio

    from demiurge.scene.grid import wkt

    folder.mkdir(parents=True, exist_ok=True)
    void = -32768
    for name, step in STEPS.items():
        (plane,) = scene.read(layers=[name])
        stored = np.where(np.isfinite(plane), np.rint(plane / step), void).astype(np.int16)
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", dtype="int16", count=1,
            height=plane.shape[0], width=plane.shape[1], nodata=void, crs=wkt(scene.grid),
            transform=scene.grid.affine, compress="deflate", predictor=2, zlevel=9,
        ) as file:  # fmt: skip
            file.write(stored, 1)
            file.scales = [step]
