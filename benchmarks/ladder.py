"""A refine bundle on inputs between exact and stereo: no quality of the input is made worse.

The DSM of simulated stereo over the kept-out surfaces (kept_out.py), its errors scaled to 0, 25,
50 and 100 %, voids as they are. On measured pixels the error of the result must not exceed the
input's; at 0 % the input is exact and the change is in metres.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from common import add_bundle_arguments, chosen_bundle, data_folder, print_rows, settings_of
from demiurge import Options, open_scene, refine
from demiurge.model.bundle import Bundle
from demiurge.raster.voids import fill_voids
from demiurge.scene.geotiff import write_planes
from demiurge.scene.grid import wkt
from demiurge.scene.scene import Scene
from kept_out import TALL, add_scenes_argument, classes, present, scenes_folder, takes_of
from real_stereo import named_bands

Array = np.ndarray
Figures = dict[str, float]

SHARES = (0.0, 0.25, 0.5, 1.0)
INPUTS = {"none": (), "two": ("left", "right")}


def scaled_error(dsm: Array, truth: Array, share: float) -> Array:
    """Return the truth plus a share of the error of ``dsm``; NaN where either is unknown.

    Parameters
    ----------
    dsm, truth
        float32 (rows, columns) in metres.
    """
    return np.asarray(truth + np.float32(share) * (dsm - truth), np.float32)


def measure(
    bundle: Bundle,
    data: Path,
    scenes: Path,
    *,
    only: list[str] | None = None,
    takes: int = 1,
    inputs: tuple[str, ...] = tuple(INPUTS),
) -> dict[str, dict[str, Figures]]:
    """Return the figures by place and kind of images, for each share in percent.

    ``N`` is MAE over the input's on measured pixels, ``N all`` the same with filled voids; at
    0 %, ``open`` and ``objects`` are mean absolute changes in metres.
    """
    rows: dict[str, dict[str, Figures]] = {kind: {} for kind in inputs}
    for place in present(data, only):
        for kind in inputs:
            each = [
                _take(open_scene(p), bundle, INPUTS[kind])
                for p in takes_of(data, scenes, place, takes)
            ]
            keys = {key for row in each for key in row}
            rows[kind][place] = {k: float(np.mean([r[k] for r in each if k in r])) for k in keys}
    for by_place in rows.values():
        if by_place:
            keys = {key for row in by_place.values() for key in row}
            worst = {k: max(row[k] for row in by_place.values() if k in row) for k in keys}
            by_place["worst"] = worst
    return rows


def _take(scene: Scene, bundle: Bundle, images: tuple[str, ...]) -> Figures:
    dsm, truth, earth = scene.read(layers=["dsm", "truth_dsm", "truth_dtm"])
    masks = classes(truth, earth, scene.pixel_size)
    masks["objects"] = masks["all"] & (truth - earth > TALL)
    figures: Figures = {}
    options = Options(overwrite=True, any_input=True)
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), {}
        for side in images:
            (plane,) = scene.read(layers=[f"ortho_{side}"])
            files[side] = _written(scene, folder / f"{side}.tif", plane)
        for share in SHARES:
            given = scaled_error(dsm, truth, share)
            source = _written(scene, folder / "dsm.tif", given)
            refine(source, folder / "out.tif", bundle=bundle, options=options, **files)
            heights = named_bands(folder / "out.tif")["dsm"]
            figures |= _compared(heights, given, truth, share, masks)
    return figures


def _compared(
    heights: Array, given: Array, truth: Array, share: float, masks: dict[str, Array]
) -> Figures:
    """Return the figures of one share: changes in metres of exact heights, else ratios."""
    after, measured = np.abs(heights - truth), np.isfinite(given)
    if share == 0:
        here = {kind: masks[kind] & measured for kind in ("open", "objects")}
        changes = {k: float(after[mask].mean()) for k, mask in here.items() if mask.any()}
        return changes | {"mean": abs(float((heights - truth)[measured].mean()))}
    known = masks["all"] & np.isfinite(heights)
    before, filled = np.abs(given - truth), np.abs(fill_voids(given) - truth)
    return {
        f"{share:.0%}": float(after[measured].mean() / before[measured].mean()),
        f"{share:.0%} all": float(after[known].mean() / filled[known].mean()),
    }


def _written(scene: Scene, path: Path, plane: Array) -> Path:
    write_planes(path, [plane], wkt(scene.grid), scene.grid.affine)
    return path


def print_ladder(rows: dict[str, dict[str, Figures]]) -> None:
    """Print the figures."""
    shares = [f"{s:.0%}" for s in SHARES[1:]]
    columns = dict.fromkeys(("open", "objects", "mean"), "%.3f")
    columns |= dict.fromkeys((*shares, *(f"{s} all" for s in shares)), "%.2f")
    for kind, by_place in rows.items():
        print_rows(by_place, columns, f"images: {kind}")


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_bundle_arguments(parser)
    add_scenes_argument(parser)
    parser.add_argument("--takes", type=int, default=1, help="takes of each place")
    arguments = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    bundle = chosen_bundle(arguments)
    only = arguments.only.split(",") if arguments.only else None
    with scenes_folder(arguments.scenes) as scenes:
        rows = measure(bundle, data, scenes, only=only, takes=arguments.takes)
    print_ladder(rows)
    if arguments.json:
        text = json.dumps({**settings_of(bundle), "ladder": rows}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
