"""Scenes of hills and small recipes; exports of the same architecture are made once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import LEFT, TOP, terrain, write_raster
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.training.recipe import Recipe

MakeScene = Callable[..., Scene]
_GRAPHS: dict[tuple[str, int], bytes] = {}


@pytest.fixture(autouse=True)
def cached_exports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export each architecture once per test process, and replace the weights in its graph.

    An export takes seconds, whatever the size of the network. ``test_package`` checks that the
    result equals that of a real export.
    """
    if "real_exports" in request.fixturenames:
        return
    try:
        from demiurge.model import export
    except ImportError:
        return
    monkeypatch.setattr(export, "to_onnx", partial(graph_of, export.to_onnx))


@pytest.fixture
def real_exports() -> None:
    """Export every network in this test."""


def graph_of(export: Callable[[Any, int], bytes], network: Any, channels: int) -> bytes:
    """Return the ONNX graph of a network, as :func:`demiurge.model.export.to_onnx`."""
    import onnx

    key = str(network), channels
    if key not in _GRAPHS:
        _GRAPHS[key] = export(network, channels)
    model = onnx.load_from_string(_GRAPHS[key])
    state = network.eval().cpu().state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in state:
            assert tensor.HasField("raw_data")
            tensor.raw_data = state[tensor.name].contiguous().numpy().tobytes()
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """Prepare a scene of hills whose initial DSM is 3 m too high, with an image."""

    def make(
        name: str = "scene",
        rows: int = 160,
        columns: int = 192,
        east: float = 0.0,
        seed: int = 0,
        offset: float = 0.0,
    ) -> Scene:
        truth = terrain(rows, columns, seed)
        heights = truth + 3
        heights[20:30, 20:30] = np.nan
        transform = from_origin(LEFT + east, TOP, 2, 2)
        truth_file = (truth + offset).astype(np.float32)
        image = (50 * np.gradient(truth)[0] + 500).astype(np.float32)
        files = {
            "dsm": write_raster(tmp_path / f"{name}_dsm.tif", heights, transform=transform),
            "truth_dsm": write_raster(
                tmp_path / f"{name}_truth.tif", truth_file, transform=transform
            ),
            "ortho_left": write_raster(tmp_path / f"{name}_left.tif", image, transform=transform),
        }
        return prepare(files, tmp_path / name)

    return make


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
