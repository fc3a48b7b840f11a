"""Export of networks to bundles, and loading of their weights."""

import functools
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
from demiurge.model.contract import Contract  # noqa: E402
from demiurge.model.export import load_weights, to_onnx, to_safetensors  # noqa: E402
from demiurge.model.network import build_network  # noqa: E402
from demiurge.model.normals import InputLayer  # noqa: E402
from demiurge.model.settings import NetworkSettings  # noqa: E402

SMALL = NetworkSettings(encoder="resnet18", depth=3, decoder_channels=[32, 16, 8])


def test_the_initial_output_is_zero() -> None:
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


def test_the_exported_graph_equals_the_network(tmp_path: Path) -> None:
    network, graph = _exported("branch at full resolution")
    bundle = save_bundle(tmp_path / "a.bundle", _card(), graph, no_weights())
    for size in (64, 96):
        planes = np.random.default_rng(size).standard_normal((2, size, size)).astype("f4")
        runtime = OpenVinoRuntime(bundle, size, "f32")
        (output,) = runtime.run([planes], 1)
        with torch.no_grad():
            expected = network(torch.from_numpy(planes)[None])[0].numpy()
        np.testing.assert_allclose(output, expected, atol=1e-4 * np.abs(expected).max())


#: A plain U-Net is part of the first; trainings in ``tests/training/test_fit.py`` export it.
#: ``tests/training/test_package.py`` exports the network of ResDepth.
NETWORKS: dict[str, dict[str, object]] = {
    "branch at full resolution": {"detail": 8},
    "pix2pix": {"architecture": "pix2pix", "depth": 4, "decoder_channels": [8]},
}


def _trained(changes: dict[str, object]) -> torch.nn.Module:
    """Return a network whose weights and statistics differ from the initial ones."""
    torch.manual_seed(1)
    network = build_network(SMALL.model_copy(update=changes), 2, 2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 2, 64, 64))
    return network


@functools.cache
def _exported(name: str) -> tuple[torch.nn.Module, bytes]:
    """Return a trained network and its graph; an export takes seconds."""
    network = _trained(NETWORKS[name])
    wanted = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    graph = to_onnx(network, 2)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, wanted[key]), "the export changes no weight"
    return network, graph


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_stored_once_and_restored(tmp_path: Path, name: str) -> None:
    network, graph = _exported(name)
    weights = to_safetensors(network, graph)
    assert all(key.endswith("num_batches_tracked") for key in safetensors.load(weights))
    assert str(Path(torch.__file__).parent).encode() not in graph, "no local paths"
    bundle = save_bundle(tmp_path / "a.bundle", _card(), graph, weights)
    other, wanted = (
        build_network(SMALL.model_copy(update=NETWORKS[name]), 2, 2),
        network.state_dict(),
    )
    load_weights(other, bundle)
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, wanted[key]), key


def test_bundles_with_all_weights_in_safetensors_load(tmp_path: Path) -> None:
    network = _trained({})
    weights = to_safetensors(network, onnx.ModelProto().SerializeToString())
    bundle = save_bundle(tmp_path / "a.bundle", _card(), b"folded", weights)
    other = build_network(SMALL, 2, 2)
    load_weights(other, bundle)
    for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_shallow_network_has_no_unused_weights() -> None:
    network = build_network(SMALL, 2, 2)
    network(torch.randn(2, 2, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) < 1.5e6
