"""How the simulated initial DSM errs, per land cover, beside what sub-metre stereo is known for."""

from __future__ import annotations

import time

import numpy as np

from common import Claim, at_least, main
from demiurge.simulation.canvas import CLASSES, FOREST, GRASS
from demiurge.simulation.settings import STYLES, make_settings
from demiurge.simulation.stereo import MARGIN, simulate_stereo


def between(claim: str, value: float, unit: str, low: float, high: float) -> Claim:
    return Claim(claim, value, unit, f"{low:g} to {high:g}", low <= value <= high)


def measure(quick: bool) -> list[Claim]:
    """Voids, NMAD and the triangulation error of simulated scenes, and the speed."""
    size, seeds = (192, 1) if quick else (640, 2)
    simulate_stereo(make_settings({"size": 64}, ""), np.random.default_rng(0))  # compiles
    errors: dict[int, list[np.ndarray]] = {number: [] for number in CLASSES}
    voids: dict[int, list[np.ndarray]] = {number: [] for number in CLASSES}
    told, made, claims = [], [], []
    start, pixels = time.perf_counter(), 0
    for style, base in STYLES.items():
        shares = []
        for seed in range(seeds):
            settings = make_settings({**base, "size": size}, style)
            layers = simulate_stereo(settings, np.random.default_rng((7, seed))).layers
            pixels += size * size
            error = layers["dsm"] - layers["truth_dsm"]
            known = np.isfinite(error)
            shares.append(1 - known.mean())
            told.append(layers["triangulation_error"][known])
            made.append(np.abs(error[known]))
            for number in CLASSES:
                here = layers["landcover"] == number
                voids[number].append(~known[here])
                errors[number].append(error[here & known] / settings.gsd)
        claims.append(between(f"voids, {style}", float(np.mean(shares)), "", 0.01, 0.4))
    seconds = time.perf_counter() - start
    for number, name in CLASSES.items():
        error, void = np.concatenate(errors[number]), np.concatenate(voids[number])
        if error.size < 1000:
            continue
        nmad = float(1.4826 * np.median(np.abs(error - np.median(error))))
        text = f"NMAD of the initial DSM, {name} (voids {void.mean():.0%})"
        known_range = {GRASS: (0.5, 3.0), FOREST: (1.5, 12.0)}.get(number)
        claims.append(
            between(text, nmad, "px", *known_range) if known_range else Claim(text, nmad, "px")
        )
    ranks = [np.argsort(np.argsort(np.concatenate(p))) for p in (told, made)]
    rank = float(np.corrcoef(*ranks)[0, 1])
    claims.append(at_least("rank correlation, triangulation error with abs(error)", rank, "", 0.2))
    share = ((size + 2 * MARGIN) / size) ** 2
    claims.append(Claim(f"speed, {size} px a side (margins make it {share:.2f} times that)",
                        pixels / 1e6 / seconds, "Mpx/s"))  # fmt: skip
    return claims


if __name__ == "__main__":
    main(measure)
