"""Scenes of hills and small recipes; exports of the same architecture are made once."""

import hashlib
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.outputs import atomic_file
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe

MakeScene = Callable[..., Scene]


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of exported graphs, which the test processes of a run share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "graphs").mkdir(exist_ok=True)
    return folder / "graphs"


@pytest.fixture(autouse=True)
def cached_exports(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, graphs: Path
) -> None:
    """Export each architecture once in a run of the tests, and replace the weights in its graph.

    An export takes ten seconds of CPU time, whatever the size of the network. ``test_package``
    checks that the result equals that of a real export.
    """
    if "real_exports" not in request.fixturenames:
        cache_exports(monkeypatch, graphs)


def cache_exports(monkeypatch: pytest.MonkeyPatch, graphs: Path) -> None:
    """Replace the export, also for fixtures of modules, which come before those of tests."""
    try:
        from demiurge.model import export
    except ImportError:
        return
    if not isinstance(export.to_onnx, partial):
        monkeypatch.setattr(export, "to_onnx", partial(graph_of, export.to_onnx, graphs))


@pytest.fixture
def real_exports() -> None:
    """Export every network in this test."""


#: Numbers of channels in the text of a network. Graphs of different ones have the same nodes.
WIDTHS = re.compile(r"(?<=Conv2d\()\d+, \d+|(?<=ConvTranspose2d\()\d+, \d+|(?<=Norm2d\()\d+")


def graph_of(
    export: Callable[[Any, int], bytes], graphs: Path, network: Any, channels: int
) -> bytes:
    """Return the ONNX graph of a network, as :func:`demiurge.model.export.to_onnx`.

    The graph of a network with other numbers of channels serves too; shapes between the nodes,
    which it would state wrongly, are omitted.
    """
    import onnx
    import torch

    key = hashlib.sha256(WIDTHS.sub("…", str(network)).encode()).hexdigest()
    path = graphs / f"{key}.onnx"
    with FileLock(graphs / f"{key}.lock"):
        if not path.exists():
            content = export(network, channels)
            with atomic_file(path) as new:
                new.write_bytes(content)
    model = onnx.load(path)
    network = network.eval().cpu()
    state = network.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in state:
            assert tensor.HasField("raw_data")
            tensor.dims[:] = state[tensor.name].shape
            tensor.raw_data = state[tensor.name].contiguous().numpy().tobytes()
    with torch.no_grad():
        outputs = network(torch.zeros(1, channels, 64, 64)).shape[1]
    for value, count in ((model.graph.input[0], channels), (model.graph.output[0], outputs)):
        value.type.tensor_type.shape.dim[1].dim_value = count
    del model.graph.value_info[:]
    filled: bytes = model.SerializeToString(deterministic=True)
    return filled


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """Prepare scenes in the folder of the test, as :func:`hills`."""
    return partial(hills, tmp_path)


def hills(
    folder: Path,
    name: str = "scene",
    rows: int = 160,
    columns: int = 192,
    east: float = 0.0,
    seed: int = 0,
    offset: float = 0.0,
) -> Scene:
    """Prepare a scene of hills whose initial DSM is 3 m too high, with an image."""
    truth = terrain(rows, columns, seed)
    heights = truth + 3
    heights[20:30, 20:30] = np.nan
    transform = from_origin(LEFT + east, TOP, 2, 2)
    truth_file = (truth + offset).astype(np.float32)
    image = (50 * np.gradient(truth)[0] + 500).astype(np.float32)
    files = {
        "dsm": write_raster(folder / f"{name}_dsm.tif", heights, transform=transform),
        "truth_dsm": write_raster(folder / f"{name}_truth.tif", truth_file, transform=transform),
        "ortho_left": write_raster(folder / f"{name}_left.tif", image, transform=transform),
    }
    return prepare(files, folder / name)


@pytest.fixture
def recipe() -> Recipe:
    return tiny_recipe()


def tiny_recipe(**changes: object) -> Recipe:
    content: dict[str, object] = {
        "name": "tiny",
        "task": "refine",
        "layers": ["dsm", "ortho_left"],
        "optional": ["ortho_left"],
        "base": "dsm",
        "targets": ["dsm"],
        "chips": {"size": 32, "per_epoch": 24, "batch": 4},
        "network": {"architecture": "resdepth", "depth": 3, "decoder_channels": [8]},
        "split": {"validation": 0.25, "buffer": 8},
        "epochs": 2,
        **changes,
    }
    return Recipe.model_validate(content)
