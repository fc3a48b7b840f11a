"""Applying and training on a GPU, and what limits them; without one, PyTorch on the CPU."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rasterio
import torch

from common import Claim, at_least, at_most, interleaved, main, median
from data import LAYERS, big_scene, write_layers
from demiurge import Options, refine
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import Choice, make_runtime
from demiurge.model.bundle import Bundle, load_bundle
from demiurge.model.network import build_network
from demiurge.predict.inference import Network, predict_rows
from demiurge.predict.tiling import Tiling, tile
from demiurge.scene.open import open_scene
from demiurge.scene.prepare import prepare
from demiurge.training.dataset import TrainingChips
from demiurge.training.fit import _loaders
from demiurge.training.module import HeightModule, uses_bf16
from demiurge.training.normalisation import make_contract
from demiurge.training.recipe import load_recipe
from demiurge.training.split import split_places

GPU = torch.cuda.is_available()
#: The runtime on the CPU to compare with.
OTHER = "openvino" if find_spec("openvino") else "onnxruntime"
SEEN = ("dsm", "ortho_left", "ortho_right", "ndvi", "triangulation_error", "valid")


@dataclass
class Silent:
    """Returns zeros at once, so that only the work outside the network is measured."""

    outputs: int
    batch: int = 16

    def run(self, inputs: Iterable[np.ndarray], in_flight: int) -> Iterator[np.ndarray]:
        for planes in inputs:
            yield np.zeros((self.outputs, *planes.shape[1:]), np.float32)


def measure(quick: bool) -> list[Claim]:
    """The bundle `refine`, and steps of its recipe, bf16."""
    side, repeats = (512, 1) if quick else (2048 if GPU else 1024, 3)
    name = torch.cuda.get_device_name() if GPU else "the CPU"
    print(f"PyTorch {torch.__version__} on {name}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return _applying(folder, side, repeats) + _training(folder, 1 if quick else 20)


def _applying(folder: Path, side: int, repeats: int) -> list[Claim]:
    bundle = load_bundle("refine")
    path = big_scene(folder / "scene", side, SEEN)
    area = side**2 / 1e6

    def run(runtime: str, precision: str = "bf16") -> np.ndarray:
        options = Options(runtime=runtime, precision=precision, overwrite=True)
        refine(path, folder / "out.tif", bundle=bundle, options=options)
        with rasterio.open(folder / "out.tif") as file:
            return file.read(1)

    plan = tile((side, side), bundle.card.window.size, bundle.card.window.overlap)
    runtime = make_runtime(bundle, plan.size, Choice("torch", "CUDA" if GPU else "CPU", "bf16"))
    works = {
        "torch": lambda: run("torch"),
        OTHER: lambda: run(OTHER, "f32" if OTHER == "onnxruntime" else "bf16"),
        "host": lambda: _host(path, bundle, plan),
        "network": lambda: _network(bundle, runtime, plan),
    }
    seconds = {k: median(v) for k, v in interleaved(works, repeats).items()}
    one, two, exact = run("torch"), run("torch"), run(OTHER, "f32")
    off = np.abs(one - exact)
    close = np.abs(run("torch", "f32") - exact)
    same = bool(np.array_equal(one, two, equal_nan=True))
    return [
        Claim(f"refine bf16, {side}² px", area / seconds["torch"], "Mpx/s"),
        Claim(f"  over {OTHER} on the CPU", seconds[OTHER] / seconds["torch"], ""),
        Claim("  the network alone", area / seconds["network"], "Mpx/s"),
        Claim("  reading, encoding and blending alone", area / seconds["host"], "Mpx/s"),
        Claim("  share of the network alone", seconds["network"] / seconds["torch"], ""),
        Claim("  the same pixels twice", float(same), "", "= 1", same),
        Claim(f"  mean difference to {OTHER} f32, bf16", float(np.nanmean(off)), "m"),
        at_most(f"  largest difference to {OTHER} f32, f32", float(np.nanmax(close)), "m", 0.01),
    ]


def _host(path: Path, bundle: Bundle, plan: Tiling) -> None:
    network = Network(bundle, Silent(bundle.contract.outputs))
    for _ in predict_rows(open_scene(path), network, plan):
        pass


def _network(bundle: Bundle, runtime: Runtime, plan: Tiling) -> None:
    shape = (bundle.contract.channels, plan.size, plan.size)
    planes = np.random.default_rng(0).standard_normal(shape).astype("f4")
    for _ in runtime.run(itertools.repeat(planes, plan.count), 4):
        pass


def _training(folder: Path, steps: int) -> list[Claim]:
    """Chips per second of a step that has its batch already, and of the loader alone."""
    recipe = load_recipe("demiurge", ["split.buffer=0", "targets=[dsm]", "ground=[]"])
    scene = prepare(write_layers(folder / "layers", 1536, LAYERS), folder / "prepared")
    regions = split_places([scene], recipe).training
    contract = make_contract(regions, recipe)
    chips = TrainingChips(regions, recipe, contract)
    device = torch.device("cuda" if GPU else "cpu")
    network = build_network(recipe.network, contract.channels, contract.outputs)
    module = HeightModule(network, recipe, len(contract.targets), steps=1000).to(device)
    optimiser = torch.optim.AdamW(module.parameters(), 1e-6)
    loader, _ = _loaders(chips, chips, 1)  # type: ignore[arg-type]
    start = time.perf_counter()
    for batch in itertools.islice(loader, steps + 4):
        given = batch
    loading = (time.perf_counter() - start) / (steps + 4)
    given = {k: v.to(device) for k, v in given.items()}

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(recipe)):
            loss = module.training_step(given, 0)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if GPU:
            torch.cuda.synchronize()

    seconds = median(interleaved({"step": step}, steps)["step"])
    size = recipe.chips.batch
    return [
        Claim("training, steps alone", size / seconds, "chips/s"),
        at_least("  the loader over it", seconds / loading, "", 1.0),
    ]


if __name__ == "__main__":
    main(measure)
