"""Does the correlation of two orthos say where the true surface lies? Real next to simulated.

Of the hypotheses of parallax.py, the most likely height is compared with the true change of the
initial DSM, in pixels of parallax: how often it has the right sign where both exceed half a pixel,
and the MAE over that of no change. Views turned by 90 degrees are the control: what they give is
chance. ``--pool build/pool`` adds takes of the open real surfaces, simulated with known views into
that folder unless they are there. Needs $DEMIURGE_DATA and the extras train and simulate.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

import parallax
from common import data_folder, print_rows
from demiurge.raster.voids import fill_voids
from demiurge.scene.open import scene_from_files
from real_stereo import classes, takes
from stereo_realism import PIXEL, displacements, orthos, read

Array = np.ndarray

COLUMNS = ("sign", "sign_turned", "found", "mae", "mae_turned", "sign_steps", "sign_off")
#: Least parallax in pixels of a change that counts, and the greatest that a hypothesis covers.
LOW, HIGH = 0.5, 6.0


def hints(
    pair: parallax.Pair, gsd: float, initial: Array, truth: Array, steps: Array
) -> dict[str, float]:
    """Return how well the most likely height agrees with the true change."""
    filled = fill_voids(initial)
    known = np.isfinite(initial) & np.isfinite(truth)
    row = {}
    for name, turn in (("", 0.0), ("_turned", 90.0)):
        best, step, seen = _best(turned(pair, turn), gsd)
        wanted = (truth - filled) / step
        mask = known & seen & (np.abs(wanted) <= HIGH)
        said = mask & (np.abs(wanted) > LOW) & (np.abs(best) > LOW)
        right = np.sign(wanted) == np.sign(best)
        row[f"sign{name}"] = float(right[said].mean())
        row[f"mae{name}"] = float(np.abs(wanted - best)[mask].mean() / np.abs(wanted)[mask].mean())
        if not name:
            row["found"] = float(said.sum() / (mask & (np.abs(wanted) > LOW)).sum())
            row["sign_steps"] = float(right[said & steps].mean())
            row["sign_off"] = float(right[said & ~steps].mean())
    return row


def turned(pair: parallax.Pair, degrees: float) -> parallax.Pair:
    """Return the pair with its views turned about the vertical."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[c, s], [-s, c]], dtype=torch.float32)
    return pair._replace(displacement=pair.displacement @ matrix.T)


def _best(pair: parallax.Pair, gsd: float) -> tuple[Array, float, Array]:
    """Return the likely height in pixels of parallax, metres of one, and where it is known."""
    step = 1 / float(parallax.parallax_of(pair.displacement)[0])
    made = parallax.planes(pair, torch.zeros_like(pair.left), gsd, step)[0].numpy()
    n = len(parallax.STEPS)
    return made[n], step, (made[:n] != 0).all(0)


def real_row(take: Path, place: Path) -> dict[str, float]:
    """Return the figures of a real take."""
    truths = {"truth_dsm": place / "truth_dsm.tif", "truth_dtm": place / "truth_dtm.tif"}
    sides = {f"ortho_{side}": take / f"{side}.tif" for side in ("left", "right")}
    scene = scene_from_files({"dsm": take / "dsm.tif", **sides, **truths})
    initial, truth, earth = (read(scene, n) for n in ("dsm", *truths))
    masks = classes(truth, earth)
    pair = parallax.Pair(*orthos(scene), torch.from_numpy(displacements(take))[None])
    truth = np.where(masks["all"], truth, np.nan)
    return hints(pair, PIXEL, initial, truth, masks["steps"])


def pool_row(path: Path) -> dict[str, float]:
    """Return the figures of a scene of the pool."""
    with np.load(path) as file:
        planes, statistics, move = (file[k] for k in ("planes", "statistics", "displacement"))
    values = np.where(planes == -32768, np.nan, planes.astype(np.float32))
    heights = values[[0, 5, 6]] / 64
    images = [
        torch.from_numpy((values[1 + i] * 1e-4 - statistics[1 + 2 * i]) / statistics[2 + 2 * i])
        for i in (0, 1)
    ]
    pair = parallax.Pair(*(i.float()[None, None] for i in images), torch.from_numpy(move)[None])
    masks = classes(heights[1], heights[2])
    truth = np.where(masks["all"], heights[1], np.nan)
    return hints(pair, float(statistics[0]), heights[0], truth, masks["steps"])


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, help="folder of the simulated takes")
    parser.add_argument("--scenes", type=int, default=24, help="simulated takes to draw")
    given = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    torch.set_num_threads(1)
    rows = {name: real_row(*paths) for name, paths in takes(data).items()}
    groups = {"mean, real": list(rows.values())}
    if given.pool:
        from parallax_pool import open_surfaces, simulate

        surfaces = open_surfaces(data, given.pool / "surfaces.npz.xz")
        paths = simulate(surfaces, given.pool, given.scenes)
        groups["mean, simulated"] = [pool_row(path) for path in paths]
    for title, chosen in groups.items():
        rows[title] = {key: float(np.nanmean([row[key] for row in chosen])) for key in COLUMNS}
    print_rows(rows, dict.fromkeys(COLUMNS, "%.3f"), "take")


if __name__ == "__main__":
    main()
