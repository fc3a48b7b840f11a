"""A refine bundle on real lidar surfaces that it was not trained on, under simulated stereo.

See kept_out.py for the places. Four takes each, with no image, one, two, and all layers. Ratios are
MAE over that of the initial DSM with its voids filled, on the same pixels; above 1 is harm. Ranges
are those of the takes.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import rasterio

from common import (
    Claim,
    add_bundle_arguments,
    at_most,
    chosen_bundle,
    data_folder,
    half_interval,
    print_rows,
    settings_of,
    show,
    write_json,
)
from demiurge import Options, open_scene, refine
from demiurge.model.bundle import Bundle
from demiurge.raster.voids import fill_voids
from demiurge.scene.scene import Scene
from kept_out import (
    SIDES,
    TAKES,
    add_scenes_argument,
    classes,
    present,
    scenes_folder,
    takes_of,
)

Array = np.ndarray
Figures = dict[str, float]

#: Layers in addition to the DSM, by kind of input.
INPUTS = {
    "none": (),
    "one": ("ortho_left",),
    "two": ("ortho_left", "ortho_right"),
    "all": ("ortho_left", "ortho_right", "ndvi", "triangulation_error"),
}
CLASSES = ("all", "insides", "steps", "open")
#: Least number of pixels of a class whose figures count.
LEAST = 200
COLUMNS = {
    "all": "%.2f", "insides": "%.2f", "steps": "%.2f", "open": "%.2f", "input_mae": "%.2f",
    "covered": "%.2f", "covered_insides": "%.2f", "covered_steps": "%.2f", "covered_open": "%.2f",
    "ground_rmse": "%.2f",
}  # fmt: skip


def refined(
    scene: Scene, bundle: Bundle, layers: tuple[str, ...], tta: int = 1
) -> dict[str, Array]:
    """Return the bands of the refined scene by name, using only the DSM and ``layers``."""
    sources = {n: s for n, s in scene.sources.items() if n in ("dsm", *layers)}
    if "ndvi" in layers and "ndvi" not in sources:
        sources |= {n: scene.sources[n] for n in ("red", "nir") if n in scene.sources}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.tif"
        refine(replace(scene, sources=sources), out, bundle=bundle, options=Options(tta=tta))
        with rasterio.open(out) as file:
            planes = file.read(masked=True).filled(np.nan)
            return dict(zip(file.descriptions, planes, strict=True))


def sums(
    bands: dict[str, Array], initial: Array, truth: Array, earth: Array, gsd: float
) -> Figures:
    """Return sums over the pixels of each class: errors before and after, covered, count."""
    filled = fill_voids(initial)
    error = np.abs(np.where(np.isfinite(bands["dsm"]), bands["dsm"], filled) - truth)
    before = np.abs(filled - truth)
    limit = half_interval(bands["dsm_uncertainty"])
    figures: Figures = {}
    for name, mask in classes(truth, earth, gsd).items():
        figures |= {
            f"after_{name}": float(error[mask].sum(dtype=np.float64)),
            f"before_{name}": float(before[mask].sum(dtype=np.float64)),
            f"inside_{name}": float((error <= limit)[mask].sum()),
            f"count_{name}": float(mask.sum()),
        }
    known = np.isfinite(earth) & np.isfinite(bands["dtm"])
    figures["square"] = float(np.square(bands["dtm"] - earth, dtype=np.float64)[known].sum())
    figures["earth"] = float(known.sum())
    return figures


def ratios(takes: list[Figures]) -> Figures:
    """Return the figures of takes together, with the range over them of each ratio."""
    total = {key: sum(take[key] for take in takes) for key in takes[0]}
    figures = {
        "input_mae": total["before_all"] / total["count_all"],
        "ground_rmse": float(np.sqrt(total["square"] / max(total["earth"], 1))),
        "covered": total["inside_all"] / total["count_all"],
    }
    for name in CLASSES:
        some = [t for t in takes if t[f"count_{name}"] >= LEAST and t[f"before_{name}"] > 0]
        if not some:
            continue
        each = [t[f"after_{name}"] / t[f"before_{name}"] for t in some]
        figures[name] = sum(t[f"after_{name}"] for t in some) / sum(
            t[f"before_{name}"] for t in some
        )
        figures |= {f"low_{name}": min(each), f"high_{name}": max(each)}
        figures[f"share_{name}"] = total[f"count_{name}"] / total["count_all"]
        figures[f"covered_{name}"] = total[f"inside_{name}"] / total[f"count_{name}"]
    covered = [t["inside_all"] / t["count_all"] for t in takes]
    return figures | {"low_covered": min(covered), "high_covered": max(covered)}


def measure_places(
    bundle: Bundle,
    data: Path,
    scenes: Path,
    *,
    inputs: tuple[str, ...] = tuple(INPUTS),
    only: list[str] | None = None,
    takes: int = TAKES,
    tta: int = 1,
) -> dict[str, dict[str, Figures]]:
    """Return the figures by kind of input and place, and their mean over places as ``mean``."""
    result: dict[str, dict[str, Figures]] = {kind: {} for kind in inputs}
    for place in present(data, only):
        paths = takes_of(data, scenes, place, takes)
        each: dict[str, list[Figures]] = {kind: [] for kind in inputs}
        for path in paths:
            scene = open_scene(path)
            planes = scene.read(layers=["dsm", "truth_dsm", "truth_dtm"])
            for kind in inputs:
                bands = refined(scene, bundle, INPUTS[kind], tta)
                each[kind].append(sums(bands, *planes, scene.pixel_size))
        for kind in inputs:
            result[kind][place] = ratios(each[kind])
    for rows in result.values():
        if rows:
            keys = {key for row in rows.values() for key in row}
            rows["mean"] = {
                k: float(np.mean([row[k] for row in rows.values() if k in row])) for k in keys
            }
    return result


def claims_of(result: dict[str, dict[str, Figures]]) -> list[Claim]:
    """Return the figures of the places together as claims."""
    claims = []
    goals = {"all": 0.75, "insides": 1.0, "steps": 0.8, "open": 0.65}
    for kind, rows in result.items():
        if not rows:
            continue
        places = {n: row for n, row in rows.items() if n != "mean"}
        text = f"{len(places)} kept-out surfaces, {kind} of the images"
        for name, goal in goals.items():
            claims.append(
                at_most(f"{text}: MAE over its input, {name}", rows["mean"][name], "", goal)
            )
        worst = max(
            (row[n], place, n) for place, row in places.items() for n in CLASSES if n in row
        )
        claims.append(
            at_most(f"  worst class of a place ({worst[1]}, {worst[2]})", worst[0], "", 1)
        )
        low = min((row["covered"], place) for place, row in places.items())
        claims.append(Claim(f"  least share in the 90 % interval ({low[1]})", low[0], ""))
    return claims


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_bundle_arguments(parser)
    add_scenes_argument(parser)
    parser.add_argument("--inputs", default=",".join(INPUTS), help="kinds, separated by commas")
    parser.add_argument("--figures", type=Path, help="JSON file for the figures by place")
    parser.add_argument("--quick", action="store_true", help="two places, two takes each")
    arguments = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    bundle = chosen_bundle(arguments)
    only = arguments.only.split(",") if arguments.only else None
    takes = TAKES
    if arguments.quick:
        only, takes = only or list(SIDES)[:2], 2
    inputs = tuple(arguments.inputs.split(","))
    with scenes_folder(arguments.scenes) as scenes:
        result = measure_places(
            bundle, data, scenes, inputs=inputs, only=only, takes=takes, tta=arguments.tta
        )
    for kind, rows in result.items():
        print_rows(rows, COLUMNS, f"images: {kind}")
    claims = claims_of(result)
    show(claims)
    if arguments.json:
        write_json(arguments.json, [asdict(claim) for claim in claims])
    if arguments.figures:
        write_json(arguments.figures, {**settings_of(bundle), "inputs": result})


if __name__ == "__main__":
    main()
