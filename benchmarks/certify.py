"""How often the intervals of demiurge certify hold the true figure, on real stereo DSMs.

Needs the folder of real rasters ($DEMIURGE_DATA, or ../shared/data). For each real DSM under
airborne lidar, 200 samples of 20, 50 and 200 random pixels are drawn; the true figure is that of
all pixels. Also: how often the recalibrated uncertainty bounds a pixel that was not sampled, for
an uncertainty that is the DSM's local roughness.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from common import data_folder, print_rows, read_heights
from demiurge.evaluation.certify import LINEAR, conformal_factor, figures_of
from real_stereo import RIM, takes

COUNTS = (20, 50, 200)
NAMES = (*LINEAR, "bias", "NMAD", "mean", "RMSE")


def true_figures(errors: np.ndarray) -> dict[str, float]:
    """Return the figures of all pixels."""
    middle = float(np.median(errors))
    figures = {n: float(np.quantile(np.abs(errors), share)) for n, share in LINEAR.items()}
    return figures | {
        "bias": middle,
        "NMAD": float(1.4826 * np.median(np.abs(errors - middle))),
        "mean": float(errors.mean()),
        "RMSE": float(np.sqrt(np.square(errors).mean())),
    }


def coverage(
    errors: np.ndarray, deviations: np.ndarray, count: int, draws: int
) -> dict[str, float]:
    """Return the share of samples whose interval holds the true figure, by figure."""
    truth = true_figures(errors)
    held = dict.fromkeys((*NAMES, "conformal"), 0.0)
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        chosen = rng.integers(errors.size, size=count)
        for name, interval in figures_of(errors[chosen]).items():
            held[name] += (interval.low <= truth[name] <= interval.high) / draws
        factor = conformal_factor(errors[chosen], deviations[chosen], 0.9)
        others = rng.integers(errors.size, size=2000)
        within = np.abs(errors[others]) <= factor * deviations[others]
        held["conformal"] += float(within.mean()) / draws
    return held


def measure(data: Path, draws: int) -> list[dict[str, float | str]]:
    """Return the coverage for each take and count of points."""
    rows: list[dict[str, float | str]] = []
    for name, (folder, truth_folder) in takes(data).items():
        dsm, truth = read_heights(folder / "dsm.tif"), read_heights(truth_folder / "truth_dsm.tif")
        inner = (slice(RIM, -RIM),) * 2
        smooth = ndimage.uniform_filter(np.nan_to_num(dsm), 5)
        deviations = (0.3 + np.abs(np.nan_to_num(dsm) - smooth))[inner]
        errors = (dsm - truth)[inner]
        known = np.isfinite(errors)
        for count in COUNTS:
            held = coverage(errors[known].astype(np.float64), deviations[known], count, draws)
            rows.append({"take": name, "points": count, **held})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    rows = measure(data, arguments.draws)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    columns = dict.fromkeys((*NAMES, "conformal"), "%.3f")
    for count in COUNTS:
        chosen = [r for r in rows if r["points"] == count]
        mean = {n: float(np.mean([float(r[n]) for r in chosen])) for n in columns}
        least = {n: float(min(float(r[n]) for r in chosen)) for n in columns}
        print_rows({"mean": mean, "least": least}, columns, f"{count} points")


if __name__ == "__main__":
    main()
