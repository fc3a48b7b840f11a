"""Networks: initial output, gradients, and settings that are rejected."""

import numpy as np
import pytest

pytest.importorskip("segmentation_models_pytorch")

import torch
from pydantic import ValidationError

from demiurge.errors import ConfigError
from demiurge.model.network import build_network
from demiurge.model.settings import NetworkSettings

SMALL = {"depth": 3, "decoder_channels": [16, 8, 8]}
CASES = [SMALL, {**SMALL, "detail": 8}, {"architecture": "resdepth", "depth": 3}]
CASES += [{"architecture": "pix2pix", "depth": 5}]


@pytest.mark.parametrize("settings", CASES)
def test_the_initial_output_is_no_correction(settings: dict[str, object]) -> None:
    network = build_network(NetworkSettings.model_validate(settings), 5, 2).eval()
    with torch.no_grad():
        output = network(torch.randn(2, 5, 64, 96))
    assert output.shape == (2, 2, 64, 96)
    assert (output == 0).all()


@pytest.mark.parametrize("settings", CASES)
def test_every_weight_has_a_gradient(settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings.model_validate(settings), 5, 2)
    for last in [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]:
        torch.nn.init.normal_(last.weight, std=0.1)
    network(torch.randn(2, 5, 64, 64)).square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert idle == []


def test_detail_preserves_single_pixels() -> None:
    """A checkerboard vanishes when averaged to half resolution."""
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


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"depth": 4, "decoder_channels": [8, 8]}, "names 2 widths; unet of depth 4 needs 4"),
        ({"architecture": "resdepth", "decoder_channels": [8, 8]}, "needs 1"),
        ({"depth": 6}, "depth is above 5"),
        ({"architecture": "fpn", "depth": 4}, "fpn needs a depth of 5 and no detail"),
        ({"architecture": "fpn", "detail": 8}, "fpn needs a depth of 5 and no detail"),
        ({"architecture": "linknet", "decoder_channels": [8] * 5}, "has no decoder_channels"),
        ({"architecture": "pix2pix", "depth": 8, "detail": 8}, "neither detail nor pretrained"),
        ({"architecture": "resdepth", "pretrained": True}, "neither detail nor pretrained"),
        ({"architecture": "resdepth", "members": 2}, "is one network; members must be 1"),
        ({"depth": 3, "decoder_channels": [8, 0, 8]}, "greater than 0"),
        ({"decoder_channels": []}, "at least 1"),
    ],
)
def test_invalid_settings(settings: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        NetworkSettings.model_validate(settings)


@pytest.mark.parametrize(
    "encoder", ["tu-swin_tiny_patch4_window7_224", "tu-vit_tiny_patch16_224", "tu-nonsense", ""]
)
def test_unusable_encoders(encoder: str) -> None:
    """The first requires windows of 224 px."""
    with pytest.raises(ConfigError, match=f"network.encoder: '{encoder}' cannot be built"):
        build_network(NetworkSettings(encoder=encoder), 3, 1)


def test_pretrained_weights_are_requested_in_each_library_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import segmentation_models_pytorch as smp

    real, requested = smp.create_model, []

    def create(architecture: str, **options: object) -> torch.nn.Module:
        requested.append(options["encoder_weights"])
        return real(architecture, **{**options, "encoder_weights": None})

    monkeypatch.setattr(smp, "create_model", create)
    for encoder in ("resnet18", "tu-resnet10t"):
        for pretrained in (True, False):
            settings = NetworkSettings.model_validate(
                {**SMALL, "encoder": encoder, "pretrained": pretrained}
            )
            build_network(settings, 5, 2)
    assert requested == ["imagenet", None, True, None]
