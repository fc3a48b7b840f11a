"""Visibility of window borders in a refined surface: steps across borders over steps elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_most, main
from demiurge import Options, load_bundle, open_scene, refine, simulate
from demiurge.predict.tiling import tile
from demiurge.raster.voids import fill_voids


def measure(quick: bool) -> list[Claim]:
    """Mean absolute step of the residual across window borders over that elsewhere."""
    side, sites = (384, 1) if quick else (1024, 7)
    bundle = load_bundle("refine")
    stride = 2 ** int(bundle.card.recipe["network"]["depth"])
    claims = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = simulate(
            folder / "s", style="mixed" if sites > 1 else "hills", config={"size": side},
            sites=sites, seed=9300,
        )  # fmt: skip
        for overlap in (0.0, 0.125, 0.25, 0.5):
            at, away, alike, errors = [], [], [], []
            for path in places:
                scene = open_scene(path)
                out = folder / "out.tif"
                refine(scene, out, options=Options(overlap=overlap, overwrite=True))
                with rasterio.open(out) as file:
                    heights = file.read(1)
                initial, truth = scene.read(layers=["dsm", "truth_dsm"])
                residual = heights - fill_voids(initial)
                errors.append(float(np.nanmean(np.abs(heights - truth))))
                plan = tile(scene.shape, bundle.card.window.size, overlap)
                for axis, starts in ((0, plan.rows), (1, plan.columns)):
                    steps = np.abs(np.diff(residual, axis=axis)).mean(axis=1 - axis)
                    borders = _borders(starts, plan.size, residual.shape[axis])
                    at.append(steps[borders].mean())
                    away.append(np.delete(steps, borders).mean())
                    # The network's downsampling has a lattice with or without window borders.
                    lattice = np.arange(len(steps)) % stride == stride - 1
                    lattice[borders] = False
                    alike.append(steps[lattice].mean())
            ratio = float(np.mean(at) / np.mean(away))
            same = float(np.mean(at) / np.mean(alike))
            text = f"step across window borders over elsewhere, {overlap:.1%} overlap"
            default = abs(overlap - bundle.card.window.overlap) < 1e-9
            claims.append(at_most(text, ratio, "", 1.02) if default else Claim(text, ratio, ""))
            claims.append(Claim("  over elsewhere on the network's own lattice", same, ""))
            claims.append(Claim("  MAE against the truth", float(np.mean(errors)), "m"))
    return claims


def _borders(starts: tuple[int, ...], size: int, length: int) -> list[int]:
    """Return the steps across which a window begins or ends."""
    edges = {s - 1 for s in starts if s > 0} | {s + size - 1 for s in starts if s + size < length}
    return sorted(edges)


if __name__ == "__main__":
    main(measure)
