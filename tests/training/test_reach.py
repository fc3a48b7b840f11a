"""How far a network looks decides how much windows overlap."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from conftest import blur_graph, make_bundle
from demiurge.model.bundle import WindowPlan
from demiurge.training.dataset import ChipDataset, make_contract
from demiurge.training.receptive_field import measured_reach, reach_of
from demiurge.training.split import split_places

from .conftest import MakeScene, tiny_recipe


def noise(count: int, size: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, size, size)).astype("f4") for _ in range(count)]


@pytest.mark.parametrize("windows", [1, 2, 6])
def test_the_reach_of_a_known_network_is_found(tmp_path: Path, windows: int) -> None:
    """Also where there is but one window to measure it on."""
    for east, expected in ((0, 4), (3, 1)):
        bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2, east=east))
        assert reach_of(bundle, noise(windows, 64)) == expected


@pytest.mark.parametrize(("chip", "shift"), [(32, 100), (64, 150)])
def test_a_reach_beyond_a_chip_is_found(
    make_scene: MakeScene, tmp_path: Path, chip: int, shift: int
) -> None:
    """The network answers with pixels ``shift`` to the east, further than a chip is wide."""
    recipe = tiny_recipe(
        layers=["dsm"], optional=[], chips={"size": chip, "per_epoch": 8, "batch": 4},
        split={"validation": 0.4, "buffer": 0},
    )  # fmt: skip
    split = split_places([make_scene()], recipe)
    chips = ChipDataset(
        split.validating, recipe, make_contract(split.training, recipe), training=False
    )
    bundle = make_bundle(tmp_path / "a.bundle", graph=shift_graph(shift), window=64)
    assert measured_reach(bundle, chips.tiled(64)) == pytest.approx(shift, abs=1)


def shift_graph(east: int) -> bytes:
    """Return a graph whose first answer is the first plane, so many pixels to the east."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((2, 2, 1, 3), np.float32)
    weight[0, 0, 0, 2] = 1
    node = helper.make_node(
        "Conv", ["planes", "weight"], ["answer"], dilations=[1, east], pads=[0, east, 0, east]
    )
    shape = ["n", 2, "h", "w"]
    graph = helper.make_graph(
        [node],
        "shift",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("reach", "overlap"), [(0, 0.125), (16, 0.125), (17, 0.1875), (30, 0.25), (200, 0.5)]
)
def test_windows_overlap_by_twice_the_reach(reach: int, overlap: float) -> None:
    assert WindowPlan(size=256).over(reach).overlap == overlap
