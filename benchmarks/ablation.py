"""Gain of each part of the default recipe, and the baselines, with equal chips.

Every row is trained on the same scenes with the same number of training pixels and judged on the
same places that none of them saw. $ROWS may name some of the rows.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_most, main
from demiurge import Options, open_scene, refine, simulate, train
from demiurge.errors import ResourceError
from demiurge.raster.voids import fill_voids
from demiurge.scene.scene import Scene

SEED = 7000
#: Row to recipe and changes; chips are 128 px unless a row says otherwise.
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "demiurge": ("demiurge", ()),
    "deepdem": ("deepdem", ("window=256",)),
    "resdepth-stereo": ("resdepth-stereo", ("window=256",)),
    "without the branch at full resolution": ("demiurge", ("network.detail=0",)),
    "without gradient loss": ("demiurge", ("losses.gradient=0",)),
    "without uncertainty": ("demiurge", ("losses.uncertainty=0",)),
    "without torn voids": ("demiurge", ("augment.voids=0",)),
    "without scaling by pixel size": ("demiurge", ("heights={unit: metres}",)),
    "without openings": ("demiurge", ("ground=[]",)),
    "without layers left out in training": ("demiurge", ("augment.drop_layers=0",)),
    "DSM alone learned": ("demiurge", ("targets=[dsm]",)),
    "without NDVI": ("demiurge", ("layers=[dsm, ortho_left, ortho_right, triangulation_error]",
                                  "optional=[ortho_left, ortho_right, triangulation_error]")),
    "without triangulation error": ("demiurge", ("layers=[dsm, ortho_left, ortho_right, ndvi]",
                                                 "optional=[ortho_left, ortho_right, ndvi]")),
    "one image": ("demiurge", ("layers=[dsm, ortho_left, ndvi, triangulation_error]",
                               "optional=[ortho_left, ndvi, triangulation_error]")),
    "no image": ("demiurge", ("layers=[dsm, triangulation_error]",
                              "optional=[triangulation_error]")),
    "chips of 256 px": ("demiurge", ("chips.size=256", "chips.batch=4")),
    "ResNet-34": ("demiurge", ("network.encoder=resnet34",)),
    "EfficientNet-Lite0": ("demiurge", ("network.encoder=tu-tf_efficientnet_lite0",)),
    "EfficientNet-Lite0 from ImageNet": ("demiurge", ("network.encoder=tu-tf_efficientnet_lite0",
                                                      "network.pretrained=true")),
    "depth 3": ("demiurge", ("network.depth=3", "network.decoder_channels=[96, 64, 32]")),
    "without averaged weights": ("demiurge", ("ema=0",)),
    "another seed": ("demiurge", ("seed=1",)),
    "deepdem, another seed": ("deepdem", ("window=256", "seed=1")),
    "no more asked than of deepdem": ("demiurge", ("targets=[dsm]", "augment.drop_layers=0",
                                                   "losses.uncertainty=0", "augment.voids=0")),
    "deepdem's depth and widths": ("demiurge", ("network.depth=5",
                                   "network.decoder_channels=[256, 128, 64, 32, 16]")),
    "deepdem's optimiser": ("demiurge", ("optimiser.name=adam", "optimiser.rate=5e-4",
                                         "optimiser.decay=0", "optimiser.schedule=plateau")),
}  # fmt: skip


def measure(quick: bool) -> list[Claim]:
    """MAE of the DSM over that of its filled input, and RMSE of the ground, on unseen places."""
    chosen = [n for n in os.environ.get("ROWS", "").split(";") if n] or list(ROWS)
    names = chosen[:2] if quick else chosen
    epochs, chips = (1, 32) if quick else (8, 480)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training, testing = _places(folder, quick)
        figures = {}
        for row in names:
            recipe, changes = ROWS[row]
            size = 256 if "chips.size=256" in changes else 128
            common = (
                f"epochs={epochs}", f"chips.per_epoch={chips * 128**2 // size**2}", "patience=null",
                *(() if size == 256 else ("chips.size=128", "chips.batch=16")),
            )  # fmt: skip
            bundle = folder / "row.bundle"
            try:
                train(training, bundle, recipe=recipe, changes=(*common, *changes), overwrite=True)
            except ResourceError as error:  # ImageNet weights cannot be downloaded
                print(f"{row}: left out, {error}", flush=True)
                continue
            figures[row] = _judged(testing, bundle, folder)
            print(row, *(f"{v:.3f}" for v in figures[row]), flush=True)
    ours = figures.get("demiurge")
    claims = []
    for row, (ratio, ground) in figures.items():
        claims.append(Claim(f"MAE over its input, {row}", ratio, ""))
        if np.isfinite(ground):
            claims.append(Claim(f"  ground RMSE, {row}", ground, "m"))
        if ours and row in ("deepdem", "resdepth-stereo"):
            claims.append(at_most(f"  demiurge over {row}", ours[0] / ratio, "", 0.85))
    return claims


def _places(folder: Path, quick: bool) -> tuple[list[Path], list[Path]]:
    size, many, few = (256, 4, 2) if quick else (512, 40, 10)
    training = simulate(
        folder / "half", style="mixed", vary=True, config={"size": size}, sites=many, seed=SEED
    )
    training += simulate(
        folder / "one", style="mixed", vary=True, config={"size": size, "gsd": 1.0},
        sites=many // 2, seed=SEED + 1,
    )  # fmt: skip
    testing = simulate(
        folder / "testing",
        style="mixed",
        vary=True,
        config={"size": size},
        sites=few,
        seed=SEED + 2,
    )
    return training, testing


def _judged(places: list[Path], bundle: Path, folder: Path) -> tuple[float, float]:
    before, after, ground = [], [], []
    for path in places:
        scene: Scene = open_scene(path)
        initial, truth, earth = scene.read(layers=["dsm", "truth_dsm", "truth_dtm"])
        refine(scene, folder / "out.tif", bundle=bundle, options=Options(overwrite=True))
        with rasterio.open(folder / "out.tif") as file:
            planes = dict(zip(file.descriptions, file.read(), strict=True))
        before.append(float(np.nanmean(np.abs(fill_voids(initial) - truth))))
        after.append(float(np.nanmean(np.abs(planes["dsm"] - truth))))
        if "dtm" in planes:
            ground.append(float(np.nanmean(np.square(planes["dtm"] - earth))))
    rmse = float(np.sqrt(np.mean(ground))) if ground else float("nan")
    return sum(after) / sum(before), rmse


if __name__ == "__main__":
    main(measure)
