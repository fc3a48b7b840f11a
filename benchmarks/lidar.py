"""Speed and peak memory of `demiurge lidar` at two sizes, on points that the script makes.

The points are ten per square metre on hills, six of ten of them ground, in LAZ files of 2.5 million
points and 250,000 m². Each run is a separate process with two threads; its time includes reading,
rasters, scene and start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import laspy
import numpy as np
from pyproj import CRS

from common import Claim, at_least, at_most, main

#: Points of a file, its side in metres, and points that are made at once.
FILE, SIDE, CHUNK = 2_500_000, 500.0, 500_000
LEFT, BOTTOM = 500000.0, 4000000.0
THREADS = 2


def hills(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 200 + 40 * np.sin(x / 180) * np.cos(y / 230) + 3 * np.sin(x / 17)


def write_file(path: Path, col: int, row: int, points: int) -> None:
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.001] * 3, [LEFT, BOTTOM, 0]
    header.add_crs(CRS("EPSG:32633+5773"))
    rng = np.random.default_rng((col, row))
    with laspy.open(path, "w", header=header) as writer:
        for start in range(0, points, CHUNK):
            number = min(CHUNK, points - start)
            x, y = rng.uniform(0, SIDE, (2, number)) + np.array([[col], [row]]) * SIDE
            ground = rng.random(number) < 0.6
            record = laspy.ScaleAwarePointRecord.zeros(number, header=header)
            record.x, record.y = LEFT + x, BOTTOM + y
            record.z = hills(x, y) + np.where(ground, 0, rng.uniform(0, 20, number))
            record.classification = np.where(ground, 2, 5)
            record.intensity = rng.integers(0, 4000, number)
            writer.write_points(record)


def make(folder: Path, points: int) -> None:
    """Write points in files in a square."""
    files = max(1, points // FILE)
    columns = int(np.ceil(np.sqrt(files)))
    for number in range(files):
        place = divmod(number, columns)
        write_file(folder / f"{number:03d}.laz", place[1], place[0], min(points, FILE))


def run(folder: Path, out: Path, gsd: float) -> tuple[float, float, float]:
    """Return seconds, processor seconds and peak resident memory in MB of one run."""
    command = (
        "import resource, sys, demiurge\n"
        f"demiurge.lidar(sys.argv[1], sys.argv[2], gsd={gsd}, jobs={THREADS})\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    start = time.perf_counter()
    environment = {**os.environ, "RAYON_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", command, str(folder), str(out)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    processor, peak = map(float, done.stdout.split()[-2:])
    return time.perf_counter() - start, processor, peak / 1024


def measure(quick: bool) -> list[Claim]:
    sizes = (500_000, 1_000_000) if quick else (10_000_000, 50_000_000)
    gsd = 0.5
    claims, peaks = [], []
    with tempfile.TemporaryDirectory() as work:
        for points in sizes:
            folder = Path(work) / str(points)
            folder.mkdir()
            make(folder, points)
            seconds, processor, peak = run(folder, Path(work) / f"{points}.scene", gsd)
            speed = points / seconds * 60 / 1e6
            name = f"{points / 1e6:g} million points, pixels of {gsd:g} m"
            claims.append(at_least(f"{name}: speed", speed, "million points/min", 20))
            claims.append(Claim(f"{name}: time", seconds, "s"))
            claims.append(Claim(f"{name}: processor time of all threads", processor, "s"))
            claims.append(Claim(f"{name}: peak memory", peak, "MB"))
            peaks.append(peak)
    return [*claims, at_most("peak memory, larger to smaller size", peaks[1] / peaks[0], "", 1.2)]


if __name__ == "__main__":
    main(measure)
