"""Losses, networks and their export."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
safetensors = pytest.importorskip("safetensors.torch")

from conftest import no_weights  # noqa: E402
from demiurge.errors import ConfigError  # noqa: E402
from demiurge.model.backend.openvino import OpenVinoRuntime  # noqa: E402
from demiurge.model.bundle import Card, PixelSizes, save_bundle  # noqa: E402
from demiurge.model.contract import Contract, InputLayer  # noqa: E402
from demiurge.model.export import load_weights, to_onnx, to_safetensors  # noqa: E402
from demiurge.model.losses import (  # noqa: E402
    centred,
    gradient_loss,
    laplace_nll,
    masked_mean,
)
from demiurge.model.network import build_network  # noqa: E402
from demiurge.model.settings import NetworkSettings  # noqa: E402

SMALL = NetworkSettings(encoder="resnet18", depth=3, decoder_channels=[32, 16, 8])


def test_masked_pixels_do_not_count() -> None:
    values = torch.tensor([1.0, 100.0, 3.0])
    mask = torch.tensor([1.0, 0.0, 1.0])
    assert masked_mean(values, mask) == 2.0
    assert masked_mean(values, mask * 0) == 0.0


def test_gradient_loss_ignores_an_offset_but_not_a_tilt() -> None:
    truth = torch.rand(2, 1, 8, 8)
    mask = torch.ones_like(truth)
    assert gradient_loss(truth + 5, truth, mask) < 1e-6
    tilt = 0.5 * torch.arange(8.0)
    assert gradient_loss(truth + tilt, truth, mask) == pytest.approx(0.5, abs=1e-5)


def test_gradient_loss_skips_steps_across_the_mask() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    heights = truth.clone()
    heights[..., 2] = 1e6
    mask = torch.ones_like(truth)
    mask[..., 2] = 0
    assert gradient_loss(heights, truth, mask) == 0


def test_laplace_likelihood_is_best_at_the_mean_absolute_error() -> None:
    error = torch.tensor([1.0, 2.0, 3.0])
    mask = torch.ones(3)
    at = {b: float(laplace_nll(torch.full((3,), np.log(b)), error, mask)) for b in (1.0, 2.0, 4.0)}
    assert at[2.0] == min(at.values())


def test_the_scale_teaches_the_heights_nothing() -> None:
    error = torch.ones(3, requires_grad=True)
    log_scale = torch.zeros(3, requires_grad=True)
    laplace_nll(log_scale, error, torch.ones(3)).backward()
    assert error.grad is None
    assert log_scale.grad is not None


def test_centred() -> None:
    heights = torch.tensor([[[[1.0, 3.0], [99.0, 2.0]]]])
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 1.0]]]])
    relative = torch.ones(1, 1, 1, 1)
    assert centred(heights, mask, relative)[0, 0, 0].tolist() == [-1.0, 1.0]
    assert torch.equal(centred(heights, mask, 0 * relative), heights)


def test_a_new_network_corrects_nothing() -> None:
    network = build_network(SMALL, 3, 2).eval()
    assert not network(torch.randn(1, 3, 64, 96)).any()


def test_networks_that_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match="network"):
        build_network(NetworkSettings(encoder="resnet19"), 3, 2)
    with pytest.raises(ValidationError, match="depth 4 needs 4"):
        NetworkSettings(depth=4, decoder_channels=[8, 8])


def _card() -> Card:
    contract = Contract(layers=[InputLayer(name="dsm")], base="dsm", targets=["dsm"])
    return Card(name="a", task="refine", contract=contract, pixel_sizes=PixelSizes(low=1, high=1))


def test_the_exported_graph_answers_as_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(SMALL, 2, 2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    network.eval()
    bundle = save_bundle(tmp_path / "a.bundle", _card(), to_onnx(network, 2), no_weights())
    for size in (64, 96):
        question = np.random.default_rng(size).standard_normal((2, size, size)).astype("f4")
        runtime = OpenVinoRuntime(bundle, size, "f32")
        (answer,) = runtime.run([question], 1)
        with torch.no_grad():
            expected = network(torch.from_numpy(question)[None])[0].numpy()
        np.testing.assert_allclose(answer, expected, atol=1e-4 * np.abs(expected).max())


NETWORKS: dict[str, dict[str, object]] = {
    "unet": {},
    "branch at full resolution": {"detail": 8},
    "pix2pix": {"architecture": "pix2pix", "depth": 4, "decoder_channels": [8]},
    "resdepth": {"architecture": "resdepth", "decoder_channels": [8]},
}


def _learned(changes: dict[str, object]) -> torch.nn.Module:
    """Return a network whose weights and statistics all differ from the initial ones."""
    torch.manual_seed(1)
    network = build_network(SMALL.model_copy(update=changes), 2, 2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 2, 64, 64))
    return network


@pytest.mark.parametrize("changes", NETWORKS.values(), ids=NETWORKS)
def test_weights_are_stored_once_and_come_back(tmp_path: Path, changes: dict[str, object]) -> None:
    network = _learned(changes)
    wanted = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    graph = to_onnx(network, 2)
    weights = to_safetensors(network, graph)
    assert all(name.endswith("num_batches_tracked") for name in safetensors.load(weights))
    assert str(Path(torch.__file__).parent).encode() not in graph, "no paths of this machine"
    bundle = save_bundle(tmp_path / "a.bundle", _card(), graph, weights)
    other = build_network(SMALL.model_copy(update=changes), 2, 2)
    load_weights(other, bundle)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def test_bundles_that_hold_all_weights_apart_still_load(tmp_path: Path) -> None:
    network = _learned({})
    weights = to_safetensors(network, onnx.ModelProto().SerializeToString())
    bundle = save_bundle(tmp_path / "a.bundle", _card(), b"folded", weights)
    other = build_network(SMALL, 2, 2)
    load_weights(other, bundle)
    for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_shallow_network_carries_no_dead_weights() -> None:
    network = build_network(SMALL, 2, 2)
    network(torch.randn(2, 2, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) < 1.5e6
