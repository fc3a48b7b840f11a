"""Time to plan a training on many small scenes, and how it grows with their number."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import yaml
from rasterio.transform import from_origin

from common import Claim, at_most, main
from data import write_layers
from demiurge.scene.prepare import prepare
from demiurge.training.fit import plan
from demiurge.training.recipe import Recipe

SIDE = 128
TAKES = 4
ZONES = (32632, 32633)


def many_scenes(folder: Path, count: int) -> list[Path]:
    """Write prepared scenes: copies of one, four overlapping takes a place, in two UTM zones."""
    first = folder / "first"
    layers = ("dsm", "ortho_left", "truth_dsm")
    prepare(write_layers(folder / "layers", SIDE, layers), first, equalise=False)
    spec = yaml.safe_load((first / "scene.yaml").read_text(encoding="utf-8"))
    across = max(1, round(np.sqrt(count / TAKES)))
    scenes = []
    for number in range(count):
        place, take = divmod(number, TAKES)
        row, column = divmod(place, across)
        scene = folder / f"s{number:05d}"
        shutil.copytree(first, scene)
        left, top = 400_000 + 500 * column + 10 * take, 5_000_000 - 500 * row
        transform, epsg = from_origin(left, top, 0.5, 0.5), ZONES[place % len(ZONES)]
        with rasterio.open(scene / "stack.tif", "r+") as file:
            file.transform, file.crs = transform, f"EPSG:{epsg}"
        spec["name"] = scene.name
        spec["grid"].update(crs=f"EPSG:{epsg}", transform=list(transform)[:6])
        (scene / "scene.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
        scenes.append(scene)
    return scenes


def measure(quick: bool) -> list[Claim]:
    """Plan on ever more scenes; each plan includes opening, checking and the trial steps."""
    counts = (25, 50, 100) if quick else (250, 500, 1000)
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "task": "refine",
            "layers": ["dsm", "ortho_left"],
            "base": "dsm",
            "targets": ["dsm"],
            "chips": {"size": 32, "per_epoch": 64, "batch": 4},
            "network": {"encoder": "resnet18", "depth": 3, "decoder_channels": [16, 8, 8]},
            "split": {"buffer": 8},
        }
    )
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        scenes = many_scenes(Path(folder), max(counts))
        plan(scenes[:16], recipe=recipe)  # imports
        for count in counts:
            start = time.perf_counter()
            plan(scenes[:count], recipe=recipe)
            seconds[count] = time.perf_counter() - start
    few, some, many = counts
    claims = [Claim(f"plan {n} scenes of {SIDE} px", seconds[n], "s") for n in (few, some)]
    name = f"plan {many} scenes of {SIDE} px"
    claims.append(
        Claim(name, seconds[many], "s") if quick else at_most(name, seconds[many], "s", 10)
    )
    # Cost per further scene between the two larger counts, over that between the two smaller.
    slopes = [(seconds[b] - seconds[a]) / (b - a) for a, b in ((few, some), (some, many))]
    name, slope = "cost of one more scene, over that at half as many", slopes[1] / slopes[0]
    # Differences of a second are noise.
    claims.append(Claim(name, slope, "") if quick else at_most(name, slope, "", 1.5))
    return claims


if __name__ == "__main__":
    main(measure)
