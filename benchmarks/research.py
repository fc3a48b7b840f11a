"""Refine against two inference loops of research codes, with the same weights.

(a) windows of 256 px at 50 % overlap through PyTorch eager with gradients on, one GeoTIFF per
window, then rasterio.merge; (a') the same without gradients; (b) everything in memory, windows at
25 % overlap, weights that fall linearly. Entire processes, with imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Claim, at_least, main, median
from data import big_scene, resnet_bundle

LAYERS = ("dsm", "ortho_left", "ortho_right", "ndvi", "triangulation_error", "valid")

COMMON = """
import json, sys, time
start = time.perf_counter()
import numpy as np, rasterio, torch
from pathlib import Path
from rasterio.windows import Window
from demiurge.model.bundle import load_bundle
from demiurge.model.export import load_weights
from demiurge.model.network import build_network
from demiurge.model.settings import NetworkSettings
scene, folder, way = sys.argv[1:]
bundle = load_bundle(f"{folder}/r.bundle")
contract = bundle.contract
network = build_network(NetworkSettings(), contract.channels, contract.outputs)
load_weights(network, bundle)
network.eval()
source = rasterio.open(f"{scene}/stack.tif")
height, width = source.shape
normals = {entry.name: (entry.offset, entry.scale) for entry in contract.layers}

def starts(length, step):
    return [*range(0, length - 256, step), length - 256]

def predict(windows):
    encoded = [contract.encode(w, 0.5, normals) for w in windows]
    outputs = network(torch.from_numpy(np.stack([e.planes for e in encoded]))).detach().numpy()
    return [contract.decode(a, e)[:1] for a, e in zip(outputs, encoded)]

def finish():
    status = open("/proc/self/status").read().split()
    memory = int(status[status.index("VmHWM:") + 1]) / 1024
    print(json.dumps({"seconds": time.perf_counter() - start, "memory": memory}))
"""

FILES = (
    COMMON
    + """
import contextlib
from rasterio.merge import merge
from rasterio.windows import transform
out = Path(folder) / "chips"
out.mkdir(exist_ok=True)
places = [(r, c) for r in starts(height, 128) for c in starts(width, 128)]
with torch.no_grad() if way == "tuned" else contextlib.nullcontext():
    for first in range(0, len(places), 8):
        some = places[first : first + 8]
        windows = [Window(c, r, 256, 256) for r, c in some]
        results = predict([source.read(window=w) for w in windows])
        for (r, c), window, heights in zip(some, windows, results):
            with rasterio.open(out / f"{r}_{c}.tif", "w", driver="GTiff", dtype="float32", count=1,
                               height=256, width=256, crs=source.crs, nodata=-9999,
                               transform=transform(window, source.transform)) as chip:
                chip.write(heights)
merge([str(p) for p in out.glob("*.tif")], dst_path=f"{folder}/research.tif")
finish()
"""
)

MEMORY = (
    COMMON
    + """
layers = source.read()
total, weights = np.zeros((height, width), "f4"), np.zeros((height, width), "f4")
ramp = np.minimum(1, (np.minimum(np.arange(256), np.arange(256)[::-1]) + 1) / 64)
ramp = (ramp[:, None] * ramp[None]).astype("f4")
places = [(r, c) for r in starts(height, 192) for c in starts(width, 192)]
with torch.no_grad():
    for first in range(0, len(places), 8):
        some = places[first : first + 8]
        parts = [layers[:, r : r + 256, c : c + 256] for r, c in some]
        for (r, c), heights in zip(some, predict(parts)):
            total[r : r + 256, c : c + 256] += heights[0] * ramp
            weights[r : r + 256, c : c + 256] += ramp
with rasterio.open(f"{folder}/research.tif", "w", driver="GTiff", dtype="float32", count=1,
                   height=height, width=width, crs=source.crs, transform=source.transform) as file:
    file.write(total / weights, 1)
finish()
"""
)

OURS = """
import json, sys, time
start = time.perf_counter()
from demiurge import Options, refine
scene, folder, way = sys.argv[1:]
precision, overlap = way.split(",")
options = Options(precision=precision, overlap=float(overlap), overwrite=True)
refine(scene, f"{folder}/ours.tif", bundle=f"{folder}/r.bundle", options=options)
status = open("/proc/self/status").read().split()
memory = int(status[status.index("VmHWM:") + 1]) / 1024
print(json.dumps({"seconds": time.perf_counter() - start, "memory": memory}))
"""


def measure(quick: bool) -> list[Claim]:
    """Seconds and memory of each loop, and their ratios to ours."""
    side, repeats = (512, 1) if quick else (2048, 3)
    ways = {
        "(a) eager, files": (FILES, "eager"),
        "(a') no gradients, files": (FILES, "tuned"),
        "(b) in memory, linear": (MEMORY, "memory"),
        "ours f32, 50 % overlap": (OURS, "f32,0.5"),
        "ours f32, 25 %": (OURS, "f32,0.25"),
        "ours bf16, 25 %": (OURS, "bf16,0.25"),
        "ours bf16, 12.5 %": (OURS, "bf16,0.125"),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = big_scene(folder / "scene", side, LAYERS)
        resnet_bundle(folder / "r.bundle", LAYERS)
        for _ in range(repeats):
            for way, (code, argument) in ways.items():
                run = _run(code, str(scene), name, argument)
                times[way].append(run["seconds"])
                memory[way] = max(memory.get(way, 0), run["memory"])
    middle = {way: median(t) for way, t in times.items()}
    claims = []
    for way, seconds in middle.items():
        claims.append(Claim(f"{way}, {side}² px", seconds, "s"))
        claims.append(Claim("  peak memory", memory[way], "MiB"))
    ours = middle["ours bf16, 12.5 %"]
    goals = {"(a) eager, files": 40, "(a') no gradients, files": 20, "(b) in memory, linear": 20}
    claims += [at_least(f"{way} over ours", middle[way] / ours, "", g) for way, g in goals.items()]
    alike = middle["(a') no gradients, files"] / middle["ours f32, 50 % overlap"]
    return [
        *claims,
        Claim("  of that: pipeline and runtime, f32 at the same overlap", alike, ""),
        Claim("  overlap, 50 to 25 %",
              middle["ours f32, 50 % overlap"] / middle["ours f32, 25 %"], ""),
        Claim("  precision, f32 to bf16", middle["ours f32, 25 %"] / middle["ours bf16, 25 %"], ""),
        Claim("  overlap, 25 to 12.5 %", middle["ours bf16, 25 %"] / ours, ""),
    ]  # fmt: skip


def _run(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    heights: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return heights


if __name__ == "__main__":
    main(measure)
