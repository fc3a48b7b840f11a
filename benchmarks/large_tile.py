"""A Sentinel-2 tile of 10,980 x 10,980 pixels over a prior of 90 m and of 30 m.

Seconds, processor seconds and peak memory of the entire command ``demiurge generate`` ($BUNDLE)
with three bands of 10 m, on the cores of this machine. The tile is made of copies of a simulated
scene, which are mirrored so that no edges show. $SIDE sets another side in pixels, $PRIORS other
pixels of the prior in metres; $KEEP is a folder for the tile and the results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from common import Claim, at_most, main
from demiurge import open_scene, simulate

SEED, PIXEL = 6009, 10.0
SIDE, QUICK_SIDE = int(os.environ.get("SIDE", "10980")), 1098
#: Side of the simulated scene in pixels.
PLACE = 1098
PRIORS = tuple(float(part) for part in os.environ.get("PRIORS", "90,30").split(","))
BUNDLE = os.environ.get("BUNDLE", "generate")
BANDS = ("red", "green", "blue")
#: Goals for two cores: seconds, MiB.
SECONDS, MEMORY = 60.0, 1024.0

CHILD = """
import json, os, sys, time
start = time.perf_counter()
from demiurge.cli.main import run
try:
    run(sys.argv[1:])
except SystemExit as stopped:
    assert not stopped.code, stopped.code
# The high-water mark of this process alone; getrusage would count the parent before the exec.
status = open("/proc/self/status").read().split()
times = os.times()
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": times.user + times.system,
                  "memory": int(status[status.index("VmHWM:") + 1]) / 1024}))
"""


def measure(quick: bool) -> list[Claim]:
    """Seconds, processor seconds and memory of an entire tile."""
    side = QUICK_SIDE if quick else SIDE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.environ.get("KEEP", name))
        folder.mkdir(parents=True, exist_ok=True)
        planes = _place(folder / "place")
        image = _write(folder / f"image_{side}.tif", planes[:3], side, PIXEL, "uint16")
        claims: list[Claim] = []
        for pixel in PRIORS:
            step = round(pixel / PIXEL)
            half = step // 2
            prior = _write(
                folder / f"prior_{side}_{pixel:g}.tif",
                planes[3:, half::step, half::step],
                side // step,
                pixel,
                "float32",
            )
            out = folder / f"dem_{side}_{pixel:g}.tif"
            claims += _claims(_run(image, prior, out), side, pixel)
        return claims


def _claims(run: dict[str, float], side: int, pixel: float) -> list[Claim]:
    text = f"{side:,} x {side:,} pixels of 10 m, three bands, prior of {pixel:g} m"
    return [
        at_most(f"{text}: seconds on {os.cpu_count()} cores", run["seconds"], "s", SECONDS),
        at_most("  processor seconds", run["cpu"], "s", 2 * SECONDS),
        Claim("  processor seconds per million pixels", run["cpu"] / side**2 * 1e6, "s"),
        at_most("  peak memory", run["memory"], "MiB", MEMORY),
    ]


def _place(folder: Path) -> np.ndarray:
    """Return bands and truth of a simulated scene, float32 (planes, rows, columns)."""
    (place,) = simulate(folder, family="optical", config={"size": PLACE}, seed=SEED, overwrite=True)
    return open_scene(place).read(layers=[*BANDS, "truth_dtm"])


def _write(path: Path, planes: np.ndarray, side: int, pixel: float, dtype: str) -> Path:
    """Write mirrored copies of planes up to a side in pixels, strip by strip."""
    height, width = planes.shape[1:]
    columns = _mirrored(np.arange(side), width)
    profile = {
        "driver": "GTiff", "crs": "EPSG:32633", "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "deflate", "count": len(planes), "dtype": dtype,
        "width": side, "height": side, "transform": from_origin(3e5, 5e6, pixel, pixel),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, side, 512):
            rows = _mirrored(np.arange(top, min(top + 512, side)), height)
            strip = planes[:, rows][:, :, columns]
            where = rasterio.windows.Window(0, top, side, len(rows))
            file.write(strip.astype(dtype), window=where)
        if len(planes) > 1:
            file.descriptions = BANDS
    return path


def _mirrored(at: np.ndarray, length: int) -> np.ndarray:
    """Return positions in copies of a line that are mirrored in turn."""
    copy, inside = np.divmod(at, length)
    return np.where(copy % 2 == 0, inside, length - 1 - inside)


def _run(image: Path, prior: Path, out: Path) -> dict[str, float]:
    command = ["generate", str(image), "--prior", str(prior), "--bundle", BUNDLE, "-o", str(out),
               "--overwrite", "--quiet"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *command], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main(measure)
