"""Changes of exact lidar surfaces by a refine bundle.

The inputs are the real surfaces in the folder of real rasters ($DEMIURGE_DATA, or ../shared/data),
as DSM without images. Changes are in metres, on measured pixels. The bare earth is compared with
the surface's DTM. ``--rules`` adds the bare earth of CNES bulldozer and dsm2dtm if these are
installed ($BULLDOZER names the command of the first, $DSM2DTM a Python with the second).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import rasterio
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
from real_stereo import TALL, named_bands
from rivals import bulldozer_of, dsm2dtm_of

Array = np.ndarray

OTHERS = (
    "autzen_west", "ign_0382_6565", "ign_0299_6802", "ign_stbarth", "ign_houses", "zurich_shore",
    "alexandria",
)  # fmt: skip
COLUMNS = {
    "open": "%.3f", "objects": "%.3f", "insides": "%.3f", "steps": "%.3f", "all": "%.3f",
    "mean": "%+.3f", "covered": "%.3f", "ground_rmse": "%.2f", "bulldozer": "%.2f",
    "dsm2dtm": "%.2f",
}  # fmt: skip


def places(data: Path, bundle: Bundle) -> dict[str, Path]:
    """Return the folders of the surfaces within the bundle's pixel sizes, by name."""
    folders = [*sorted((data / "surfaces").iterdir()), *(data / name for name in OTHERS)]
    surfaces = {}
    for folder in folders:
        if not (folder / "dsm.tif").is_file():
            continue
        with rasterio.open(folder / "dsm.tif") as file:
            if bundle.card.pixel_sizes.fits(file.res[0]):
                surfaces[folder.name] = folder
    return surfaces


def compare(bands: dict[str, Array], given: Array, earth: Array, gsd: float) -> dict[str, float]:
    """Return the statistics of one surface."""
    known = np.isfinite(given)
    change = np.where(np.isfinite(bands["dsm"]), bands["dsm"] - given, 0.0)
    steps = near_steps(given, gsd)
    tall = given - earth > TALL
    masks = {
        "all": known,
        "open": known & np.isfinite(earth) & ~tall & ~steps,
        "objects": known & tall,
        "insides": known & tall & ~ndimage.binary_dilation(steps, np.ones((3, 3))),
        "steps": known & steps,
    }
    statistics = {n: float(np.abs(change[m]).mean()) for n, m in masks.items() if m.sum() > 50}
    statistics["mean"] = float(change[known].mean())
    statistics["pixels"] = int(known.sum())
    if masks["objects"].any():
        statistics["mean_objects"] = float(change[masks["objects"]].mean())
    if "dtm" in bands:
        statistics["ground_rmse"] = rmse(bands["dtm"], given, earth)
    if "dsm_uncertainty" in bands:
        limit = half_interval(bands["dsm_uncertainty"])
        statistics["covered"] = float((np.abs(change) <= limit)[known].mean())
    return statistics


def rmse(ground: Array, given: Array, earth: Array) -> float:
    """Return the RMSE of the bare earth where both surfaces were measured."""
    known = np.isfinite(given) & np.isfinite(earth) & np.isfinite(ground)
    return float(np.sqrt(np.square(ground - earth, dtype=np.float64)[known].mean()))


def measure(
    bundle: Bundle,
    data: Path,
    *,
    tta: int = 1,
    rules: bool = False,
    quick: bool = False,
    only: list[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Return the statistics by place, and their means under ``mean``."""
    statistics: dict[str, dict[str, float]] = {}
    options = Options(tta=tta, any_pixel_size=True, any_input=True)
    with tempfile.TemporaryDirectory() as name:
        for place, folder in places(data, bundle).items():
            if only and place not in only:
                continue
            given, earth = (read_heights(folder / f"{n}.tif") for n in ("dsm", "dtm"))
            if quick:
                given, earth = _middle(given), _middle(earth)
            with rasterio.open(folder / "dsm.tif") as file:
                gsd = file.res[0]
            source, out = Path(name) / f"{place}.tif", Path(name) / f"{place}_out.tif"
            _written(source, given, gsd)
            refine(
                source,
                out,
                bundle=bundle,
                options=options,
            )
            statistics[place] = compare(named_bands(out), given, earth, gsd)
            for rule, apply in (("bulldozer", bulldozer_of), ("dsm2dtm", dsm2dtm_of)):
                ground = apply(source) if rules else None
                if ground is not None:
                    statistics[place][rule] = rmse(ground, given, earth)
            out.unlink()
    if statistics:
        keys = sorted({key for row in statistics.values() for key in row})
        statistics["mean"] = {
            k: float(np.mean([row[k] for row in statistics.values() if k in row])) for k in keys
        }
        statistics["worst"] = {
            k: max(row.get(k, 0.0) for row in statistics.values())
            for k in ("open", "objects", "insides", "steps", "all", "ground_rmse")
        }
    return statistics


def _middle(plane: Array, side: int = 512) -> Array:
    rows, columns = (max((n - side) // 2, 0) for n in plane.shape)
    return plane[rows : rows + side, columns : columns + side]


def _written(path: Path, heights: Array, gsd: float) -> None:
    """Write heights on a UTM grid: some surfaces have local grids without a known CRS."""
    with rasterio.open(
        path, "w", driver="GTiff", width=heights.shape[1], height=heights.shape[0], count=1,
        dtype="float32", crs="EPSG:32633", nodata=-9999.0,
        transform=rasterio.transform.from_origin(500000, 5000000, gsd, gsd),
    ) as file:  # fmt: skip
        file.write(np.nan_to_num(heights, nan=-9999.0).astype(np.float32), 1)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_bundle_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="central 512 × 512 px of each")
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
        bundle, data, tta=arguments.tta, rules=arguments.rules, quick=arguments.quick, only=only
    )
    settings = settings_of(bundle) | {"tta": arguments.tta, "quick": arguments.quick}
    print(", ".join(f"{key} {value}" for key, value in settings.items() if key != "sha256"))
    print_rows(statistics, COLUMNS, "place")
    if arguments.json:
        text = json.dumps({**settings, "places": statistics}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
