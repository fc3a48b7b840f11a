"""The shipped refine bundle on held-out real lidar surfaces: real shapes, exact truth.

Light, views and matching are simulated over the surfaces. Needs the folder of real rasters in
$DEMIURGE_DATA (``autzen_west``, ``zurich_shore``); without it there is nothing to measure.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window
from scipy import ndimage

from common import Claim, at_most, main
from demiurge import Options, open_scene, refine, simulate
from demiurge.raster.morphology import opening
from demiurge.raster.voids import fill_voids

#: Where each place lies in its file, as shares of the rows; the rest may have been trained on.
PLACES = {"autzen_west": (2 / 3, 1.0, 384, 6), "zurich_shore": (0.0, 1.0, 112, 5)}


def measure(quick: bool) -> list[Claim]:
    """MAE of the surface and RMSE of the ground, against the input and the best filter."""
    data = Path(os.environ.get("DEMIURGE_DATA", ""))
    if not (data / "autzen_west").is_dir():
        print("DEMIURGE_DATA names no folder with autzen_west: nothing is measured")
        return []
    claims = []
    with tempfile.TemporaryDirectory() as name:
        for place, (first, last, size, sites) in PLACES.items():
            folder = Path(name) / place
            folder.mkdir()
            files = _cropped(data / place, folder, first, last)
            scenes = simulate(
                folder / "s", **files, config={"size": size}, vary=True,
                sites=2 if quick else sites, seed=77,
            )  # fmt: skip
            claims += _judge(place, scenes, folder)
    return claims


def _cropped(source: Path, folder: Path, first: float, last: float) -> dict[str, Path]:
    files = {}
    for role, name in (("surface", "dsm"), ("terrain", "dtm"), ("albedo", "rgb")):
        with rasterio.open(source / f"{name}.tif") as file:
            top, bottom = round(file.height * first), round(file.height * last)
            window = Window(0, top, file.width, bottom - top)
            profile = file.profile | {
                "height": bottom - top, "transform": file.window_transform(window),
            }  # fmt: skip
            files[role] = folder / f"{name}.tif"
            with rasterio.open(files[role], "w", **profile) as out:
                out.write(file.read(window=window))
                out.colorinterp = file.colorinterp
    return files


def _judge(place: str, scenes: list[Path], folder: Path) -> list[Claim]:
    absolute: dict[str, list[float]] = {}
    squared: dict[str, list[float]] = {}
    covered = []
    for path in scenes:
        scene = open_scene(path)
        initial, truth, earth = scene.read(layers=["dsm", "truth_dsm", "truth_dtm"])
        filled = fill_voids(initial)
        out = folder / "out.tif"
        refine(scene, out, options=Options(overwrite=True))
        with rasterio.open(out) as file:
            dsm, uncertainty, dtm, _ = file.read()
        surfaces = {
            "initial DSM, voids filled": filled,
            "median 5 × 5": ndimage.median_filter(filled, 5),
            "Gaussian 1 px": ndimage.gaussian_filter(filled, 1.0),
            "refine": dsm,
        }
        for way, heights in surfaces.items():
            absolute.setdefault(way, []).append(float(np.nanmean(np.abs(heights - truth))))
        grounds = {
            "initial DSM": filled,
            "opening of 20 m": opening(filled, round(20 / scene.pixel_size)),
            "refine": dtm,
        }
        for way, heights in grounds.items():
            squared.setdefault(way, []).append(float(np.nanmean(np.square(heights - earth))))
        reach = uncertainty / np.sqrt(2) * np.log(10)
        known = np.isfinite(truth)
        covered.append(float((np.abs(dsm - truth) <= reach)[known].mean()))
    mae = {way: float(np.mean(v)) for way, v in absolute.items()}
    rmse = {way: float(np.sqrt(np.mean(v))) for way, v in squared.items()}
    best = min(v for way, v in mae.items() if way != "refine")
    return [
        *(Claim(f"{place}: MAE, {way}, {len(scenes)} takes", v, "m") for way, v in mae.items()),
        at_most(
            "  over the initial DSM", mae["refine"] / mae["initial DSM, voids filled"], "", 0.75
        ),
        at_most("  over the best filter", mae["refine"] / best, "", 0.8),
        *(Claim(f"{place}: RMSE of the ground, {way}", v, "m") for way, v in rmse.items()),
        at_most("  over the opening", rmse["refine"] / rmse["opening of 20 m"], "", 1.0),
        Claim("  share of errors within the 90 % interval", float(np.mean(covered)), ""),
    ]


if __name__ == "__main__":
    main(measure)
