"""Bundles trained apart become one: the mean of their heights."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("segmentation_models_pytorch")

from conftest import importer  # noqa: E402
from demiurge.errors import UsageError  # noqa: E402
from demiurge.model.bundle import Bundle, Card, PixelSizes, save_bundle  # noqa: E402
from demiurge.model.contract import Contract  # noqa: E402
from demiurge.model.ensemble import Ensemble  # noqa: E402
from demiurge.model.export import to_onnx, to_safetensors  # noqa: E402
from demiurge.model.network import network_of  # noqa: E402
from demiurge.model.normals import InputLayer  # noqa: E402
from demiurge.model.settings import NetworkSettings  # noqa: E402

SETTINGS = NetworkSettings(depth=3, decoder_channels=[16, 8, 8], detail=4)


def _bundle(path: Path, *, sun: bool, layer: str = "red") -> tuple[Bundle, torch.nn.Module]:
    contract = Contract(layers=[InputLayer(name=layer)], targets=["dtm"], relative=True, sun=sun)
    torch.manual_seed(len(path.stem))
    network = network_of(SETTINGS, contract).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    graph = to_onnx(network, contract.channels)
    card = Card(
        name="a", task="generate", contract=contract, pixel_sizes=PixelSizes(low=1, high=1),
        recipe={"network": SETTINGS.model_dump(mode="json")},
    )  # fmt: skip
    return save_bundle(path, card, graph, to_safetensors(network, graph)), network


def test_networks_without_the_sun_ignore_its_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join_networks = importer(monkeypatch, "tools")("join_networks")

    sunny, first = _bundle(tmp_path / "sunny.bundle", sun=True)
    plain, second = _bundle(tmp_path / "plain2.bundle", sun=False)
    ensemble = Ensemble(join_networks.members_of([sunny, plain]), 1).eval()
    planes = torch.randn(1, sunny.contract.channels, 64, 64)
    with torch.no_grad():
        heights = ensemble(planes)[0, 0].numpy()
        seen = planes[:, : plain.contract.channels]
        expected = (first(planes) + second(seen))[0, 0].numpy() / 2
    assert plain.contract.channels < sunny.contract.channels
    np.testing.assert_allclose(heights, expected, atol=1e-5 * np.abs(expected).max())
    other, _ = _bundle(tmp_path / "other.bundle", sun=False, layer="green")
    with pytest.raises(UsageError, match=r"differs from .*sunny\.bundle in names"):
        join_networks.members_of([sunny, other])
