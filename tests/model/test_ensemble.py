"""Ensembles: mean heights, uncertainties that include the spread, export, and weights read back."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("segmentation_models_pytorch")

from conftest import no_weights  # noqa: E402
from demiurge.model.backend.openvino import OpenVinoRuntime  # noqa: E402
from demiurge.model.backend.pytorch import TorchRuntime  # noqa: E402
from demiurge.model.bundle import Card, PixelSizes, save_bundle  # noqa: E402
from demiurge.model.contract import Contract  # noqa: E402
from demiurge.model.ensemble import Ensemble  # noqa: E402
from demiurge.model.export import to_onnx, to_safetensors  # noqa: E402
from demiurge.model.network import network_of  # noqa: E402
from demiurge.model.normals import InputLayer  # noqa: E402
from demiurge.model.settings import NetworkSettings  # noqa: E402

CONTRACT = Contract(layers=[InputLayer(name="red")], targets=["dtm"], relative=True)


class Constant(torch.nn.Module):
    """Predicts one height, and one logarithm of its scale."""

    def __init__(self, *outputs: float) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, planes: "torch.Tensor") -> "torch.Tensor":
        return torch.tensor(self.outputs)[None, :, None, None].expand(
            len(planes), -1, *planes.shape[2:]
        )


def test_variances_add_up() -> None:
    ensemble = Ensemble([Constant(1.0, math.log(2)), Constant(5.0, math.log(3))], 1)
    heights, logarithm = ensemble(torch.zeros(2, 3, 4, 5)).unbind(1)
    assert heights.shape == (2, 4, 5)
    assert heights.numpy() == pytest.approx(3.0)
    # Half of: mean of 2 · 2² and 2 · 3², plus 2² between the heights.
    assert logarithm.exp().square().numpy() == pytest.approx((4 + 9) / 2 + 4 / 2)


def test_equal_members_change_nothing() -> None:
    ensemble = Ensemble([Constant(1.5, -0.7)] * 3, 1)
    heights, logarithm = ensemble(torch.zeros(1, 3, 4, 5)).unbind(1)
    assert heights.numpy() == pytest.approx(1.5)
    assert logarithm.numpy() == pytest.approx(-0.7, abs=1e-6)


def test_extreme_scales_stay_finite() -> None:
    ensemble = Ensemble([Constant(0.0, -500.0), Constant(0.0, 500.0)], 1)
    assert ensemble(torch.zeros(1, 3, 4, 5)).isfinite().all()


def test_heights_without_uncertainty_are_averaged() -> None:
    output = Ensemble([Constant(1.0, 2.0), Constant(3.0, 8.0)], 2)(torch.zeros(1, 3, 4, 5))
    assert output[0, :, 0, 0].tolist() == [2.0, 5.0]


def test_a_bundle_holds_all_members(tmp_path: Path) -> None:
    """Both runtimes give the mean; members start and end with different weights."""
    settings = NetworkSettings(depth=3, decoder_channels=[16, 8, 8], members=2)
    torch.manual_seed(0)
    network = network_of(settings, CONTRACT)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    network.eval()
    graph = to_onnx(network, CONTRACT.channels)
    card = Card(
        name="a", task="generate", contract=CONTRACT, pixel_sizes=PixelSizes(low=1, high=1),
        recipe={"network": settings.model_dump(mode="json")},
    )  # fmt: skip
    weights = to_safetensors(network, graph)
    assert weights != no_weights(), "counters of batch norms"
    bundle = save_bundle(tmp_path / "a.bundle", card, graph, weights)
    planes = np.random.default_rng(0).standard_normal((2, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(planes)[None])[0].numpy()
        first, second = (m(torch.from_numpy(planes)[None])[0, 0] for m in network.members)
    assert not torch.allclose(first, second)
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(expected[0], ((first + second) / 2).numpy(), atol=tolerance)
    for runtime in (OpenVinoRuntime(bundle, 64, "f32"), TorchRuntime(bundle, 64, "CPU", "f32")):
        (output,) = runtime.run([planes], 1)
        np.testing.assert_allclose(output, expected, atol=tolerance)
