"""A refine bundle on real WorldView-3 stereo DSMs with airborne lidar, by acquisition.

Needs the folder of real rasters ($DEMIURGE_DATA, or ../shared/data). Ratios are MAE over that of
the input with its voids filled, on the same pixels; values above 1 are harm. The acquisitions are
test data: nothing is trained on them. ``--rules`` as in identity.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

from common import (
    add_bundle_arguments,
    chosen_bundle,
    data_folder,
    half_interval,
    print_rows,
    read_heights,
    settings_of,
)
from demiurge import Options, refine
from demiurge.evaluation.slopes import near_steps
from demiurge.model.bundle import Bundle
from demiurge.raster.voids import fill_voids
from rivals import bulldozer_of, dsm2dtm_of

Array = np.ndarray

#: Pixels at the edge that are excluded because few pairs cover them.
RIM = 12
#: Least height above the ground, in metres, of pixels of objects.
TALL = 2.0
PIXEL = 0.5
COLUMNS = {
    "all": "%.3f", "insides": "%.3f", "steps": "%.3f", "open": "%.3f", "input_mae": "%.3f",
    "mae": "%.3f", "ground_rmse": "%.2f", "covered": "%.3f", "voids": "%.3f",
    "bulldozer": "%.2f", "dsm2dtm": "%.2f",
}  # fmt: skip


def takes(data: Path) -> dict[str, tuple[Path, Path]]:
    """Return every acquisition by name: its folder, and the folder of its truth."""
    tile, more = data / "jacksonville_worldview3_stereo", data / "jacksonville_more_stereo"
    first = {p.parent.name: (p.parent, tile) for p in sorted(tile.glob("*/dsm.tif"))}
    return first | {p.parent.name: (p.parent, p.parent) for p in sorted(more.glob("*/dsm.tif"))}


def classes(truth: Array, earth: Array) -> dict[str, Array]:
    """Return the masks of all compared pixels, insides of objects, steps and open ground."""
    compared = np.zeros(truth.shape, bool)
    compared[RIM:-RIM, RIM:-RIM] = True
    compared &= np.isfinite(truth)
    steps = near_steps(truth, PIXEL)
    tall = truth - earth > TALL
    return {
        "all": compared,
        "insides": compared & tall & ~ndimage.binary_dilation(steps, np.ones((3, 3))),
        "steps": compared & steps,
        "open": compared & ~tall & ~steps,
    }


def compare(result: Path, initial: Array, truth: Array, earth: Array) -> dict[str, float]:
    """Return the statistics of one refined acquisition."""
    bands = named_bands(result)
    filled = fill_voids(initial)
    dsm = np.where(np.isfinite(bands["dsm"]), bands["dsm"], filled)
    error, before = np.abs(dsm - truth), np.abs(filled - truth)
    masks = classes(truth, earth)
    statistics = {name: float(error[m].mean() / before[m].mean()) for name, m in masks.items()}
    compared = masks["all"]
    statistics["input_mae"] = float(before[compared].mean())
    statistics["mae"] = float(error[compared].mean())
    statistics["voids"] = float(np.isnan(bands["dsm"])[compared].mean())
    for name, mask in masks.items():
        statistics[f"share_{name}"] = float(mask.sum() / compared.sum())
        statistics[f"input_mae_{name}"] = float(before[mask].mean())
        statistics[f"mae_{name}"] = float(error[mask].mean())
    if "dtm" in bands:
        known = compared & np.isfinite(earth) & np.isfinite(bands["dtm"])
        statistics["ground_rmse"] = float(np.sqrt(np.square(bands["dtm"] - earth)[known].mean()))
    if "dsm_uncertainty" in bands:
        limit = half_interval(bands["dsm_uncertainty"])
        for name, mask in masks.items():
            key = "covered" if name == "all" else f"covered_{name}"
            statistics[key] = float((error <= limit)[mask].mean())
    return statistics


def named_bands(path: Path) -> dict[str, Array]:
    """Return the bands of a surface by name, NaN for no data."""
    import rasterio

    with rasterio.open(path) as file:
        planes = file.read(masked=True).filled(np.nan)
        return dict(zip(file.descriptions, planes, strict=True))


def measure(
    bundle: Bundle,
    data: Path,
    *,
    tta: int = 1,
    images: str = "both",
    rules: bool = False,
    only: list[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Return the statistics by acquisition, and their means under ``mean``."""
    statistics = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (take, place) in takes(data).items():
            if only and name not in only:
                continue
            out = Path(folder) / f"{name}.tif"
            sides = {"both": ("left", "right"), "left": ("left",), "none": ()}[images]
            refine(
                take / "dsm.tif", out, bundle=bundle,
                **{side: take / f"{side}.tif" for side in sides},
                options=Options(overwrite=True, any_pixel_size=True, any_input=True, tta=tta),
            )  # fmt: skip
            truth, earth = (read_heights(place / f"truth_{n}.tif") for n in ("dsm", "dtm"))
            statistics[name] = compare(out, read_heights(take / "dsm.tif"), truth, earth)
            statistics[name] |= _ruled(take / "dsm.tif", truth, earth) if rules else {}
    if statistics:
        rows = list(statistics.values())
        keys = [key for key in rows[0] if all(key in row for row in rows)]
        statistics["mean"] = {k: float(np.mean([row[k] for row in rows])) for k in keys}
        statistics["worst"] = {
            k: max(row[k] for row in statistics.values())
            for k in ("all", "insides", "steps", "open")
        }
    return statistics


def _ruled(dsm: Path, truth: Array, earth: Array) -> dict[str, float]:
    """Return the bare-earth RMSE of the rule-based tools that are installed, voids filled."""
    compared, errors = classes(truth, earth)["all"] & np.isfinite(earth), {}
    for rule, apply in (("bulldozer", bulldozer_of), ("dsm2dtm", dsm2dtm_of)):
        ground = apply(dsm)
        if ground is not None:
            error = (fill_voids(ground) - earth)[compared]
            errors[rule] = float(np.sqrt(np.square(error, dtype=np.float64).mean()))
    return errors


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_bundle_arguments(parser)
    parser.add_argument("--images", choices=("both", "left", "none"), default="both")
    parser.add_argument(
        "--rules", action="store_true", help="also run the rule-based tools for bare earth"
    )
    arguments = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    bundle = chosen_bundle(arguments)
    only = arguments.only.split(",") if arguments.only else None
    statistics = measure(
        bundle, data, tta=arguments.tta, images=arguments.images, rules=arguments.rules, only=only
    )
    settings = settings_of(bundle) | {"tta": arguments.tta, "images": arguments.images}
    print(", ".join(f"{key} {value}" for key, value in settings.items() if key != "sha256"))
    print_rows(statistics, COLUMNS, "take")
    if arguments.json:
        text = json.dumps({**settings, "takes": statistics}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
