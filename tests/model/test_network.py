"""Networks: what they begin with, and what they can tell apart."""

import numpy as np
import pytest

pytest.importorskip("segmentation_models_pytorch")

import torch

from demiurge.errors import ConfigError
from demiurge.model.network import build_network
from demiurge.model.settings import NetworkSettings

SMALL = {"depth": 3, "decoder_channels": [16, 8, 8]}
CASES = [SMALL, {**SMALL, "detail": 8}, {"architecture": "resdepth", "depth": 3}]
CASES += [{"architecture": "pix2pix", "depth": 5}]


@pytest.mark.parametrize("settings", CASES)
def test_a_network_begins_with_no_correction(settings: dict[str, object]) -> None:
    network = build_network(NetworkSettings.model_validate(settings), 5, 2).eval()
    with torch.no_grad():
        answer = network(torch.randn(2, 5, 64, 96))
    assert answer.shape == (2, 2, 64, 96)
    assert (answer == 0).all()


@pytest.mark.parametrize("settings", CASES)
def test_every_weight_learns(settings: dict[str, object]) -> None:
    """Nothing is left over that no gradient reaches."""
    torch.manual_seed(0)
    network = build_network(NetworkSettings.model_validate(settings), 5, 2)
    for last in [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]:
        torch.nn.init.normal_(last.weight, std=0.1)
    network(torch.randn(2, 5, 64, 64)).square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert idle == []


def test_detail_lets_single_pixels_through() -> None:
    """A checkerboard is invisible to what looks at half resolution by averages."""
    torch.manual_seed(0)
    board = torch.from_numpy(np.indices((64, 64)).sum(axis=0) % 2).float()[None, None]
    errors = {}
    for detail in (0, 8):
        network = build_network(NetworkSettings.model_validate({**SMALL, "detail": detail}), 1, 1)
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(40):
            loss = (network(board) - board).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        errors[detail] = loss.item()
    assert errors[8] < 0.3 * errors[0]


def test_widths_must_fit_the_depth() -> None:
    settings = NetworkSettings.model_validate({"depth": 4, "decoder_channels": [8, 8]})
    with pytest.raises(ConfigError, match="names 2 widths for a depth of 4"):
        build_network(settings, 3, 1)


def test_pretrained_weights_are_asked_for_as_each_library_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import segmentation_models_pytorch as smp

    real, asked = smp.create_model, []

    def create(architecture: str, **options: object) -> torch.nn.Module:
        asked.append(options["encoder_weights"])
        return real(architecture, **{**options, "encoder_weights": None})

    monkeypatch.setattr(smp, "create_model", create)
    for encoder in ("resnet18", "tu-resnet10t"):
        for pretrained in (True, False):
            settings = NetworkSettings.model_validate(
                {**SMALL, "encoder": encoder, "pretrained": pretrained}
            )
            build_network(settings, 5, 2)
    assert asked == ["imagenet", None, True, None]
