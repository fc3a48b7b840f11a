"""The shipped refine bundle with any of its inputs, and at any of its pixel sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_least, at_most, main
from demiurge import Options, open_scene, refine, simulate
from demiurge.raster.voids import fill_voids
from demiurge.scene.geotiff import write_planes
from demiurge.scene.grid import wkt
from demiurge.scene.scene import Scene

SEED = 9500
LEFT, RIGHT, NDVI, TRIANGULATION = "ortho_left", "ortho_right", "ndvi", "triangulation_error"
ALL = (LEFT, RIGHT, NDVI, TRIANGULATION)
SUBSETS = {
    "the DSM alone": (),
    "one image": (LEFT,),
    "both images": (LEFT, RIGHT),
    "triangulation error alone": (TRIANGULATION,),
    "all but the images": (NDVI, TRIANGULATION),
    "all but NDVI": (LEFT, RIGHT, TRIANGULATION),
    "all but triangulation error": (LEFT, RIGHT, NDVI),
    "everything": ALL,
}


def measure(quick: bool) -> list[Claim]:
    """MAE of the DSM over all pixels of the truth, relative to the filled initial DSM's."""
    return _subsets(quick) + _sizes(quick)


def _subsets(quick: bool) -> list[Claim]:
    errors: dict[str, list[float]] = {}
    other: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {"size": 256 if quick else 512}
        sites = 3 if quick else 12
        for path in simulate(folder / "s", style="mixed", config=config, sites=sites, seed=SEED):
            scene = open_scene(path)
            planes = dict(zip(("dsm", *ALL), scene.read(layers=["dsm", *ALL]), strict=True))
            cases = {kind: {n: planes[n] for n in names} for kind, names in SUBSETS.items()}
            if other:
                cases["everything, images of another place"] = {**planes, **other}
            (truth,) = scene.read(layers=["truth_dsm"])
            before = float(np.nanmean(np.abs(fill_voids(planes["dsm"]) - truth)))
            errors.setdefault("initial", []).append(before)
            for kind, given in cases.items():
                error = _refined(scene, folder, {**given, "dsm": planes["dsm"]}) - truth
                errors.setdefault(kind, []).append(float(np.nanmean(np.abs(error))))
            other = {n: planes[n] for n in (LEFT, RIGHT)}
    mean = {kind: float(np.mean(v)) for kind, v in errors.items()}
    claims = [
        at_most(f"MAE over its input, {kind}, {sites} places", mean[kind] / mean["initial"], "", 1)
        for kind in SUBSETS
    ]
    swapped = errors["everything, images of another place"]
    own = float(np.mean(errors["everything"][1:]))
    return [
        *claims,
        at_least("without images over with", mean["all but the images"] / mean["everything"], "",
                 1.02),
        at_least("with another place's images over its own", float(np.mean(swapped)) / own, "",
                 1.1),
    ]  # fmt: skip


def _refined(scene: Scene, folder: Path, planes: dict[str, np.ndarray]) -> np.ndarray:
    files = {}
    for name, plane in planes.items():
        files[name.removeprefix("ortho_")] = folder / f"{name}.tif"
        write_planes(folder / f"{name}.tif", [plane], wkt(scene.grid), scene.grid.affine)
    surface = refine(
        files.pop("dsm"), folder / "out.tif", options=Options(overwrite=True, target="dsm"), **files
    )
    with rasterio.open(surface.path) as file:
        return file.read(1)


def _sizes(quick: bool) -> list[Claim]:
    claims = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for gsd in (0.3, 0.5, 1.0, 2.0):
            before, after = [], []
            config = {"size": 256 if quick else 512, "gsd": gsd}
            sites = 2 if quick else 7
            for path in simulate(
                folder / f"{gsd}", style="mixed", config=config, sites=sites, seed=SEED + 1
            ):
                scene = open_scene(path)
                initial, truth = scene.read(layers=["dsm", "truth_dsm"])
                surface = refine(scene, folder / "out.tif", options=Options(overwrite=True))
                with rasterio.open(surface.path) as file:
                    after.append(float(np.nanmean(np.abs(file.read(1) - truth))))
                before.append(float(np.nanmean(np.abs(fill_voids(initial) - truth))))
            ratio = sum(after) / sum(before)
            claims.append(at_most(f"MAE over its input, pixels of {gsd:g} m", ratio, "", 1.0))
    return claims


if __name__ == "__main__":
    main(measure)
