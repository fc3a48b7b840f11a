"""Refine as one process: speed, time outside the network, memory, at growing sizes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import Claim, at_least, at_most, main, median
from data import big_scene, resnet_bundle

LAYERS = ("dsm", "ortho_left", "ortho_right", "ndvi", "triangulation_error", "valid")

CHILD = """
import json, sys, time
start = time.perf_counter()
from demiurge import Options, refine
scene, folder, precision, cluster = sys.argv[1:]
options = Options(precision=precision, overwrite=True, cluster=cluster or None)
refine(scene, f"{folder}/out.tif", bundle=f"{folder}/r.bundle", options=options)
# The high-water mark of this process alone; getrusage would count the parent before the exec.
status = open("/proc/self/status").read().split()
memory = int(status[status.index("VmHWM:") + 1]) / 1024
print(json.dumps({"seconds": time.perf_counter() - start, "memory": memory,
                  "torch": "torch" in sys.modules}))
"""

NETWORK = """
import json, sys, time
import numpy as np
from demiurge.model.bundle import load_bundle
from demiurge.model.backend.choose import Choice, make_runtime
from demiurge.predict.tiling import tile
folder, precision, side = sys.argv[1:]
bundle = load_bundle(f"{folder}/r.bundle")
plan = tile((int(side), int(side)), bundle.card.window.size, bundle.card.window.overlap)
runtime = make_runtime(bundle, plan.size, Choice("openvino", "CPU", precision))
planes = np.random.default_rng(0).standard_normal(
    (bundle.contract.channels, plan.size, plan.size)).astype("f4")
start = time.perf_counter()
for _ in runtime.run((planes for _ in range(plan.count)), 4):
    pass
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def measure(quick: bool) -> list[Claim]:
    """A ResNet-18 U-Net with six layers, 256 px windows, 25 % overlap, a prepared scene."""
    sides, repeats = ((512, 1024), 1) if quick else ((1024, 2048, 4096, 8192), 3)
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = {side: big_scene(folder / f"scene{side}", side, LAYERS) for side in sides}
        resnet_bundle(folder / "r.bundle", LAYERS)
        middle = sides[-2]
        for precision in ("f32", "bf16"):
            claims += _speed(folder, scenes[middle], middle, precision, repeats)
        claims += _growth(folder, scenes, 1 if quick else 2)
        claims += _workers(folder, scenes[middle], middle, 1 if quick else 3)
    return claims


def _speed(folder: Path, scene: Path, side: int, precision: str, repeats: int) -> list[Claim]:
    processes, network = [], []
    for _ in range(repeats):
        processes.append(_run(CHILD, str(scene), str(folder), precision, ""))
        network.append(_run(NETWORK, str(folder), precision, str(side))["seconds"])
    seconds = median([w["seconds"] for w in processes])
    loaded = any(w["torch"] for w in processes)
    return [
        Claim(f"refine {precision}, {side}² px, entire process", side**2 / 1e6 / seconds, "Mpx/s"),
        Claim(f"  share of the network alone, {precision}", median(network) / seconds, ""),
        at_most(f"  peak memory, {precision}", max(w["memory"] for w in processes), "MiB", 858),
        Claim(f"  torch imported, {precision}", float(loaded), "", "= 0", not loaded),
    ]


def _growth(folder: Path, scenes: dict[int, Path], repeats: int) -> list[Claim]:
    """Cost of a pixel and memory at growing sizes, and the time outside the network."""
    seconds, memory, network = {}, {}, {}
    for side, scene in scenes.items():
        processes = [_run(CHILD, str(scene), str(folder), "bf16", "") for _ in range(repeats)]
        alone = [_run(NETWORK, str(folder), "bf16", str(side)) for _ in range(repeats)]
        seconds[side] = median([f["seconds"] for f in processes])
        memory[side] = max(f["memory"] for f in processes)
        network[side] = median([f["seconds"] for f in alone])
    claims = [Claim(f"bf16, {side}² px", seconds[side] / side**2 * 1e6, "s/Mpx") for side in scenes]
    small, large = min(scenes), max(scenes)
    pixels = (large**2 - small**2) / 1e6
    slope = (seconds[large] - seconds[small]) / pixels
    alone = (network[large] - network[small]) / pixels
    share = network[large] / seconds[large]
    return [
        *claims,
        Claim("  start-up, from the two ends", seconds[small] - slope * small**2 / 1e6, "s"),
        at_most("  all but the network, per pixel", slope - alone, "s/Mpx", 0.05),
        at_least(f"  share of the network, {large}² px, bf16", share, "", 0.9),
        at_most(f"  memory, {large}² over {small * 4 if small * 4 in memory else small}² px",
                memory[large] / memory[small * 4 if small * 4 in memory else small], "", 1.1),
    ]  # fmt: skip


def _workers(folder: Path, scene: Path, side: int, repeats: int) -> list[Claim]:
    """Dask workers on this machine; one process already uses all its cores."""
    times = {}
    for cluster in ("", "local:1", "local:2"):
        runs = [_run(CHILD, str(scene), str(folder), "bf16", cluster) for _ in range(repeats)]
        times[cluster] = median([r["seconds"] for r in runs])
    return [
        Claim(f"one process, {side}² px", times[""], "s"),
        Claim("  one Dask worker over it", times["local:1"] / times[""], ""),
        Claim("  two Dask workers over it", times["local:2"] / times[""], ""),
    ]


def _run(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert np.isfinite(list(result.values())).all()
    return result


if __name__ == "__main__":
    main(measure)
