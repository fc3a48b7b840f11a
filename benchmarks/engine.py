"""Throughput of refine as a whole process, the part of the network in it, and peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Claim, main, median
from data import resnet_bundle, write_layers

LAYERS = ("dsm", "ortho_left", "ortho_right", "ndvi", "triangulation_error", "valid")

CHILD = """
import json, sys, time
start = time.perf_counter()
from demiurge import Options, refine
folder, precision = sys.argv[1:]
options = Options(precision=precision, overwrite=True)
refine(f"{folder}/scene", f"{folder}/out.tif", bundle=f"{folder}/r.bundle", options=options)
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
from demiurge.predict.plan import plan_windows
from demiurge.predict.runtime import OpenVinoRuntime
folder, precision, side = sys.argv[1:]
bundle = load_bundle(f"{folder}/r.bundle")
plan = plan_windows((int(side), int(side)), bundle.card.window.size, bundle.card.window.overlap)
runtime = OpenVinoRuntime(bundle, plan.size, precision)
question = np.random.default_rng(0).standard_normal(
    (bundle.contract.channels, plan.size, plan.size)).astype("f4")
start = time.perf_counter()
for _ in runtime.answers((question for _ in range(plan.count)), 4):
    pass
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def measure(quick: bool) -> list[Claim]:
    """Mpx/s of a ResNet-18 U-Net with six layers at 256 px windows and 25 % overlap."""
    from demiurge.scene.prepare import prepare

    side, repeats = (512, 1) if quick else (2048, 3)
    claims = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(write_layers(folder / "layers", side, LAYERS), folder / "scene", equalise=False)
        resnet_bundle(folder / "r.bundle", LAYERS)
        for precision in ("f32", "bf16"):
            whole, network = [], []
            for _ in range(repeats):
                whole.append(_run(CHILD, name, precision))
                network.append(_run(NETWORK, name, precision, str(side))["seconds"])
            seconds = median([w["seconds"] for w in whole])
            speed = side**2 / 1e6 / seconds
            claims += [
                Claim(f"refine {precision}, {side}² px, whole process", speed, "Mpx/s"),
                Claim(f"  share of the network alone, {precision}", median(network) / seconds, ""),
                Claim(f"  peak memory, {precision}", max(w["memory"] for w in whole), "MiB"),
            ]
            loaded = any(w["torch"] for w in whole)
            text = f"  torch imported, {precision}"
            claims.append(Claim(text, float(loaded), "", "= 0", not loaded))
    return claims


def _run(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main(measure)
