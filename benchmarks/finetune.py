"""Area of lidar for which further training of the shipped bundle beats random initial weights.

A new kind of place, the hilly woods of one region in one sensor's light, is learned from strips of
growing area, once from the shipped bundle and once from nothing, with equal steps.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_most, main
from demiurge import Options, open_scene, refine, simulate, train
from demiurge.raster.voids import fill_voids

SEED, SIDE = 8000, 448
CONFIG = {
    "gsd": 0.5,
    "sensor": {"incidence": [-14.0, 20.0], "noise": 0.05},
    "cover": {"forest": 0.5, "town": 0.1, "crops": 0.1, "water": 0.0},
}


def measure(quick: bool) -> list[Claim]:
    """MAE on unseen places of that kind, over the shipped bundle's own."""
    areas = (1,) if quick else (1, 3, 9)
    steps = ("epochs=1", "chips.per_epoch=32") if quick else ("epochs=4", "chips.per_epoch=480")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {**CONFIG, "size": SIDE}
        testing = simulate(
            folder / "testing", style="forest", config=config, sites=2 if quick else 8, seed=SEED
        )
        training = simulate(
            folder / "training", style="forest", config=config, sites=max(areas), seed=SEED + 1
        )
        training = training if isinstance(training, list) else [training]
        shipped = _error(testing, "refine", folder)
        claims = [
            Claim("MAE, initial DSM", _initial(testing), "m"),
            Claim("MAE, bundle as shipped", shipped, "m"),
        ]
        for area in areas:
            hectares = area * (SIDE * 0.5) ** 2 / 1e4
            errors = {}
            for way, start, rate in (("on", "refine", "1e-3"), ("from nothing", None, "3e-3")):
                train(
                    training[:area], folder / "m.bundle", recipe="demiurge", begin_from=start,
                    changes=(*steps, f"optimiser.rate={rate}", "ema=0.97", "split.validation=0.3"),
                    overwrite=True,
                )  # fmt: skip
                errors[way] = _error(testing, folder / "m.bundle", folder)
                claims.append(Claim(f"MAE, {hectares:.1f} ha, trained {way}", errors[way], "m"))
            claims += [
                at_most("  on over from nothing", errors["on"] / errors["from nothing"], "", 1.0),
                at_most("  on over as shipped", errors["on"] / shipped, "", 1.0),
            ]
    return claims


def _initial(places: list[Path]) -> float:
    errors_of_scenes = []
    for path in places:
        initial, truth = open_scene(path).read(layers=["dsm", "truth_dsm"])
        errors_of_scenes.append(float(np.nanmean(np.abs(fill_voids(initial) - truth))))
    return float(np.mean(errors_of_scenes))


def _error(places: list[Path], bundle: str | Path, folder: Path) -> float:
    errors_of_scenes = []
    for path in places:
        scene = open_scene(path)
        options = Options(overwrite=True, target="dsm")
        refine(scene, folder / "out.tif", bundle=bundle, options=options)
        with rasterio.open(folder / "out.tif") as file:
            errors_of_scenes.append(
                float(np.nanmean(np.abs(file.read(1) - scene.read(layers=["truth_dsm"])[0])))
            )
    return float(np.mean(errors_of_scenes))


if __name__ == "__main__":
    main(measure)
