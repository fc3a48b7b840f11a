"""Simulated stereo next to real stereo: agreement of the orthos, errors, voids and slopes.

Real takes are those of real_stereo.py. Simulated ones are made by ``simulate --surface --vary`` at
0.5 m of the places in PLACES. ZNCC (5 × 5) of the two orthos is taken at the initial DSM and at the
true one: of real takes with raw images by orthorectifying them with each, of all others by moving
the orthos by the known parallax (``--moved``: of all). Errors are those of measured pixels, in
pixel sizes. Needs $DEMIURGE_DATA and the extras train and simulate.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import parallax
from common import data_folder, print_rows
from demiurge import simulate
from demiurge.raster.voids import fill_voids
from demiurge.scene.camera import Pair, in_pixels
from demiurge.scene.grid import full_window
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.scene import Scene
from real_stereo import classes, takes

Array = np.ndarray

#: Simulated places: side of a scene in pixels of 0.5 m.
PLACES = {"delft": 400, "auckland_suburb": 512, "autzen_west": 512, "adelaide": 400}
PIXEL = 0.5
LAGS = (1, 2, 4, 8, 16)
QUANTILES = (0.50, 0.68, 0.90, 0.95)
#: Errors are clipped to this many pixel sizes before their autocorrelation.
CLIP = 10.0


@dataclass(frozen=True)
class Take:
    """A stereo take with its truth, on one grid.

    Attributes
    ----------
    initial, truth, earth
        float32 heights in metres, NaN for no data.
    at_initial, at_truth
        ZNCC of the orthos, NaN where one is occluded.
    gsd
        Pixel size in metres.
    one_pass
        Whether both images are of the same pass.
    """

    initial: Array
    truth: Array
    earth: Array
    at_initial: Array
    at_truth: Array
    gsd: float
    one_pass: bool


def figures(take: Take) -> dict[str, float]:
    """Return the figures of a take: agreement, errors by class, autocorrelation, slopes."""
    masks = classes(take.truth, take.earth)
    seen = np.isfinite(take.at_initial) & np.isfinite(take.at_truth)
    groups = {"all": masks["all"], "off": masks["all"] & ~masks["steps"], "steps": masks["steps"]}
    row = {}
    for name, mask in groups.items():
        row[f"zncc_initial_{name}"] = float(take.at_initial[mask & seen].mean())
        row[f"zncc_truth_{name}"] = float(take.at_truth[mask & seen].mean())
    error = (take.initial - take.truth) / take.gsd
    known = np.isfinite(error)
    for name in ("open", "insides", "steps"):
        mask = masks[name]
        row[f"voids_{name}"] = float(1 - known[mask].mean())
        sizes = np.quantile(np.abs(error[mask & known]), QUANTILES)
        row |= {f"e{100 * q:.0f}_{name}": float(s) for q, s in zip(QUANTILES, sizes, strict=True)}
    row |= autocorrelation(error, masks["open"] & known)
    initial = fill_voids(take.initial)
    for name in ("open", "steps"):
        steep = [slopes(h, take.gsd)[masks[name]] for h in (initial, take.truth)]
        row[f"slope_{name}"] = float(np.nanmean(steep[0]) / np.nanmean(steep[1]))
    return row


def autocorrelation(error: Array, mask: Array) -> dict[str, float]:
    """Return the autocorrelation of errors along rows and columns, and where it falls to 1/e."""
    clipped = np.clip(error - np.median(error[mask]), -CLIP, CLIP)
    clipped = np.where(mask, clipped, np.nan)
    variance, values = float(np.nanmean(np.square(clipped))), []
    for lag in range(1, 33):
        products = (clipped[lag:] * clipped[:-lag], clipped[:, lag:] * clipped[:, :-lag])
        values.append(float(np.nanmean(np.concatenate([p.ravel() for p in products]))) / variance)
    below = [lag for lag, value in enumerate(values, 1) if value < np.exp(-1)]
    return {f"r{lag}": values[lag - 1] for lag in LAGS} | {"length": float(min(below, default=33))}


def slopes(heights: Array, gsd: float) -> Array:
    """Return the length of the gradient, metres per metre."""
    down, across = np.gradient(heights, gsd)
    return np.hypot(down, across)


def orthos(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both orthos (1, 1, rows, columns), of zero mean and unit variance."""
    images = scene.read(full_window(scene.grid), ["ortho_left", "ortho_right"])
    return tuple(
        torch.from_numpy(np.asarray((i - np.nanmean(i)) / np.nanstd(i), np.float32))[None, None]
        for i in images
    )  # type: ignore[return-value]


def zncc(left: torch.Tensor, right: torch.Tensor) -> Array:
    return np.asarray(parallax.correlation(left, right)[0, 0].numpy())


def moved_zncc(scene: Scene, displacement: Array, initial: Array, truth: Array) -> Array:
    """Return ZNCC at the truth of orthos made with the filled initial DSM.

    A pixel of an ortho shows the true point whose line of sight meets the initial DSM there.
    """
    pair = parallax.Pair(*orthos(scene), torch.from_numpy(displacement)[None])
    base, aim = (torch.from_numpy(fill_voids(h))[None, None] for h in (initial, truth))
    moved = []
    for i, image in enumerate((pair.left, pair.right)):
        by = pair.displacement[:, i, :, None, None]
        change = aim - base
        for _ in range(4):
            change = aim - parallax.displaced(base, change * by).nan_to_num(float(base.mean()))
        moved.append(parallax.displaced(image, change * by))
    return zncc(*moved)


def read(scene: Scene, name: str) -> Array:
    return np.asarray(scene.read(full_window(scene.grid), [name])[0])


def displacements(take: Path) -> Array:
    """Return pixels (row, column) per metre of height of both views, float32 (2, 2)."""
    views = json.loads((take / "views.json").read_text(encoding="utf-8"))["views"][:2]
    keys = ("shift_north_m_per_m_height", "shift_east_m_per_m_height")
    return np.array([[-v[keys[0]], v[keys[1]]] for v in views], np.float32) / np.float32(PIXEL)


def real_take(take: Path, place: Path, *, moved: bool) -> Take:
    """Read a real take; its orthos at the truth are made of the raw images if there are any."""
    views = json.loads((take / "views.json").read_text(encoding="utf-8"))["views"][:2]
    truths = {"truth_dsm": place / "truth_dsm.tif", "truth_dtm": place / "truth_dtm.tif"}
    sides = {f"ortho_{side}": take / f"{side}.tif" for side in ("left", "right")}
    scene = scene_from_files({"dsm": take / "dsm.tif", **sides, **truths})
    initial, truth, earth = (read(scene, n) for n in ("dsm", "truth_dsm", "truth_dtm"))
    raw = [place / "raw" / view["source"].replace("_RGB", "") for view in views]
    if all(path.is_file() for path in raw) and not moved:
        images = dict(zip(sides, (f"{path}:2" for path in raw), strict=True))
        at = [
            zncc(*orthos(scene_from_files({"dsm": dsm, **images}, extent=scene.grid)))
            for dsm in (take / "dsm.tif", truths["truth_dsm"])
        ]
    else:
        at = [zncc(*orthos(scene))]
        at.append(moved_zncc(scene, displacements(take), initial, truth))
    dates = [view.get("date", f"sun {view['sun_azimuth']:.0f}")[:8] for view in views]
    return Take(initial, truth, earth, *at, scene.pixel_size, dates[0] == dates[1])


def simulated_take(folder: Path) -> Take:
    """Read a simulated take."""
    scene = open_scene(folder)
    initial, truth, earth = (read(scene, n) for n in ("dsm", "truth_dsm", "truth_dtm"))
    pair = Pair(scene.views["ortho_left"], scene.views["ortho_right"])
    moves = [in_pixels(view.displacement, scene.grid) for view in (pair.left, pair.right)]
    at_truth = moved_zncc(scene, np.array(moves, np.float32), initial, truth)
    text = (folder / "simulation.yaml").read_text(encoding="utf-8")
    one_pass = _change(yaml.safe_load(text)) == 0
    return Take(
        initial, truth, earth, zncc(*orthos(scene)), at_truth, scene.pixel_size, one_pass
    )  # fmt: skip


def _change(content: Any) -> float:
    """Return how much the reflectance changed between the images, from simulation.yaml."""
    return float(content["settings"]["light"]["change"])


def simulated_takes(data: Path, folder: Path, sites: int) -> dict[str, Take]:
    """Simulate the takes of every place."""
    made = {}
    for k, (name, size) in enumerate(PLACES.items()):
        place = data / "surfaces" / name
        place = place if place.is_dir() else data / name
        image = next((p for p in (place / "rgb.tif", place / "grey.tif") if p.exists()), None)
        folders = simulate(
            folder / name, config={"size": size, "gsd": PIXEL}, surface=place / "dsm.tif",
            terrain=place / "dtm.tif", albedo=image, vary=True, sites=sites, seed=900 + k,
        )  # fmt: skip
        made |= {f"{name} {path.name}": simulated_take(path) for path in folders}
    return made


def summary(rows: dict[str, dict[str, float]], chosen: list[str]) -> dict[str, float]:
    """Return the means over some takes."""
    return {key: float(np.mean([rows[n][key] for n in chosen])) for key in rows[chosen[0]]}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=4, help="simulated takes of each place")
    parser.add_argument("--moved", action="store_true", help="do not use the raw images")
    parser.add_argument("--json", type=Path, help="JSON file for all figures")
    given = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    torch.set_num_threads(1)
    real = {n: real_take(*paths, moved=given.moved) for n, paths in takes(data).items()}
    with tempfile.TemporaryDirectory() as folder:
        made = simulated_takes(data, Path(folder), given.sites)
    rows = {name: figures(take) for name, take in (real | made).items()}
    for kind, group in (("real", real), ("simulated", made)):
        for same in (True, False):
            chosen = [name for name, take in group.items() if take.one_pass == same]
            if chosen:
                title = f"{kind}, {'one pass' if same else 'days apart'} ({len(chosen)})"
                rows[title] = summary(rows, chosen)
        rows[f"{kind} ({len(group)})"] = summary(rows, list(group))
    keys = list(rows[next(iter(rows))])
    for part in (keys[:6], keys[6:21], keys[21:]):
        print_rows(rows, dict.fromkeys(part, "%.3f"), "take")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
