"""Evaluation of large rasters: time, memory, and agreement with plain NumPy."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import rasterio
from rasterio.transform import from_origin

from common import Claim, at_most, main, median


def measure(quick: bool) -> list[Claim]:
    """Time and memory of the process: a pair, and a pair with baseline, land cover, uncertainty."""
    claims = []
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in (1000, 2000) if quick else (2500, 10_000):
            _write(folder, size)
            for text, more in (
                ("pair", []),
                ("with baseline, cover, ground and uncertainty", [
                    "--baseline", "baseline.tif", "--landcover", "cover.tif", "--ground",
                    "baseline.tif"]),
            ):  # fmt: skip
                surface = "with_uncertainty.tif" if more else "surface.tif"
                runs = [_run(folder, surface, more) for _ in range(repeats)]
                seconds, memory = (median([r[i] for r in runs]) for i in (0, 1))
                title = f"{size:,} x {size:,}, {text}"
                if size == 10_000 and not more:
                    claims += [
                        at_most(f"{title}: entire process", seconds, "s", 60),
                        at_most("  peak memory", memory, "GB", 2),
                    ]
                else:
                    claims += [
                        Claim(f"{title}: entire process", seconds, "s"),
                        Claim("  peak memory", memory, "GB"),
                    ]
                if not more:
                    claims.append(at_most("  largest relative difference to plain NumPy",
                                          _differs(folder), "", 1e-6))  # fmt: skip
    return claims


def _write(folder: Path, size: int) -> None:
    """Write hills, and surfaces with Laplace errors, in strips."""
    rng = np.random.default_rng(0)
    names = {"reference": 1, "surface": 1, "baseline": 1, "with_uncertainty": 2, "cover": 1}
    profile = {
        "driver": "GTiff", "width": size, "height": size, "dtype": "float32", "tiled": True,
        "crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 1, 1), "nodata": np.nan,
    }  # fmt: skip
    files = {n: rasterio.open(folder / f"{n}.tif", "w", count=c, **profile)
             for n, c in names.items()}  # fmt: skip
    files["with_uncertainty"].descriptions = ("dsm", "dsm_uncertainty")
    for top in range(0, size, 500):
        rows, columns = np.mgrid[top : top + 500, :size].astype(np.float32)
        truth = 300 + 80 * np.sin(rows / 97) * np.cos(columns / 61)
        surface = truth + rng.laplace(0.2, 1, truth.shape).astype(np.float32)
        planes = {
            "reference": truth, "surface": surface,
            "baseline": truth + rng.laplace(0.5, 2, truth.shape),
            "cover": (rows // 100 + columns // 100) % 6,
        }  # fmt: skip
        window = rasterio.windows.Window(0, top, size, 500)
        for name, plane in planes.items():
            files[name].write(plane.astype(np.float32), 1, window=window)
        files["with_uncertainty"].write(surface, 1, window=window)
        files["with_uncertainty"].write(np.full_like(surface, np.sqrt(2)), 2, window=window)
    for file in files.values():
        file.close()


def _run(folder: Path, surface: str, more: list[str]) -> tuple[float, float]:
    """Return seconds and peak gigabytes of the command."""
    command = [sys.executable, "-m", "demiurge.cli.main", "evaluate", surface, "--reference",
               "reference.tif", "--json", "figures.json", "--overwrite", "--quiet",
               *more]  # fmt: skip
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder) as process:
        child = psutil.Process(process.pid)
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, child.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
    assert process.returncode == 0
    return time.perf_counter() - start, peak / 1e9


def _differs(folder: Path) -> float:
    statistics = json.loads((folder / "figures.json").read_text())["surface"]
    with rasterio.open(folder / "surface.tif") as a, rasterio.open(folder / "reference.tif") as b:
        d = (a.read(1) - b.read(1)).astype(np.float64).ravel()
    middle = np.median(d)
    expected = {
        "mean": d.mean(), "median": middle, "rmse": np.sqrt(np.mean(d * d)), "std": d.std(),
        "nmad": 1.4826 * np.median(np.abs(d - middle)),
    }  # fmt: skip
    d = np.abs(d)
    expected |= {"mae": d.mean(), "le68": np.percentile(d, 68), "le90": np.percentile(d, 90)}
    return float(max(abs(statistics[k] - v) / abs(v) for k, v in expected.items()))


if __name__ == "__main__":
    main(measure)
