"""The shipped refine bundle on simulated places that no model saw, beside classical filters."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

from common import Claim, at_most, main
from demiurge import Options, open_scene, refine, simulate
from demiurge.model.voids import fill_voids

#: Far from the seeds of the training scenes.
SEED = 9000


def measure(quick: bool) -> list[Claim]:
    """MAE over all pixels of the truth; rivals fill voids by smooth interpolation."""
    sites, size = (5, 256) if quick else (20, 512)
    totals: dict[str, list[float]] = {}
    styles: dict[str, list[tuple[float, float]]] = {}
    covered = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {"size": size}
        for path in simulate(folder / "s", style="mixed", config=config, sites=sites, seed=SEED):
            scene = open_scene(path)
            initial, truth = scene.read(layers=["dsm", "truth_dsm"])
            out = folder / f"{path.name}.tif"
            refine(scene, out, options=Options(overwrite=True))
            with rasterio.open(out) as file:
                result, spread = file.read()
            filled = fill_voids(initial)
            rivals = {
                "initial DSM, voids filled": filled,
                "median 5 × 5": ndimage.median_filter(filled, 5),
                "Gaussian 1.5 px": ndimage.gaussian_filter(filled, 1.5),
                "refine": result,
            }
            errors = {k: float(np.nanmean(np.abs(v - truth))) for k, v in rivals.items()}
            for key, error in errors.items():
                totals.setdefault(key, []).append(error)
            style = _style(path)
            pair = (errors["refine"], errors["initial DSM, voids filled"])
            styles.setdefault(style, []).append(pair)
            reach = spread / np.sqrt(2) * np.log(10)
            covered.append(float(np.mean(np.abs(result - truth) <= reach)))
    means = {k: float(np.mean(v)) for k, v in totals.items()}
    claims = [Claim(f"MAE, {k}, {sites} places", v, "m") for k, v in means.items()]
    best = min((v, k) for k, v in means.items() if k != "refine")
    share = means["refine"] / best[0]
    claims.append(at_most(f"refine over the best rival ({best[1]})", share, "", 1.0))
    for style, pairs in styles.items():
        ratio = sum(p[0] for p in pairs) / sum(p[1] for p in pairs)
        claims.append(at_most(f"  over its input, {style}", ratio, "", 1.0))
    low, high = _interval(totals["refine"], totals["initial DSM, voids filled"])
    claims.append(Claim("  over its input, 95 % interval over places, low", low, ""))
    claims.append(at_most("  over its input, 95 % interval over places, high", high, "", 1.0))
    claims.append(Claim("share of errors within the 90 % interval", float(np.mean(covered)), ""))
    return claims


def _style(folder: Path) -> str:
    import yaml

    style: str = yaml.safe_load((folder / "simulation.yaml").read_text())["style"]
    return style


def _interval(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Bootstrap the ratio of mean errors over places."""
    a, b = np.array(ours), np.array(theirs)
    picks = np.random.default_rng(0).integers(0, len(a), (2000, len(a)))
    low, high = np.percentile(a[picks].mean(axis=1) / b[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    main(measure)
