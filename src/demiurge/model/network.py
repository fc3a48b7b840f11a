"""Networks, all from segmentation-models-pytorch, behind one function."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from demiurge.errors import ConfigError, ResourceError
from demiurge.model.settings import NetworkSettings


def build_network(settings: NetworkSettings, channels: int, outputs: int) -> nn.Module:
    """Build a network whose first answer is "no correction".

    It takes float32 (batch, channels, height, width) as the contract encodes it, height and
    width multiples of 32, and returns float32 (batch, outputs, height, width).

    Parameters
    ----------
    channels, outputs
        Planes in and planes out, as the contract counts them.

    Raises
    ------
    ConfigError
        If there is no such encoder, or the widths do not fit the depth.
    ResourceError
        If pretrained weights cannot be had.
    """
    import segmentation_models_pytorch as smp

    options: dict[str, Any] = {
        "encoder_name": settings.encoder,
        "encoder_weights": "imagenet" if settings.pretrained else None,
        "encoder_depth": settings.depth,
        "in_channels": channels,
        "classes": outputs,
    }
    if settings.architecture in ("unet", "unetplusplus", "manet"):
        widths = settings.decoder_channels or [256, 128, 64, 32, 16][-settings.depth :]
        if len(widths) != settings.depth:
            raise ConfigError(
                f"network.decoder_channels names {len(widths)} widths for a depth of "
                f"{settings.depth}",
                "name one for each halving",
            )
        options["decoder_channels"] = tuple(widths)
        options["decoder_interpolation"] = settings.upsampling
    try:
        body: nn.Module = smp.create_model(settings.architecture, **options)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"network.encoder: '{settings.encoder}' cannot be built ({_short(error)})",
            "try resnet18, resnet34 or tu-NAME with a name from timm",
        ) from None
    except OSError as error:
        raise ResourceError(
            f"the pretrained weights of '{settings.encoder}' cannot be fetched ({_short(error)})",
            "connect to the internet once or set network.pretrained=false",
        ) from None
    _begin_at_zero(body)
    _prune(body, channels)
    return body


def _prune(body: nn.Module, channels: int) -> None:
    """Remove layers that no input reaches: encoders keep those below the depth asked for."""
    used: set[nn.Module] = set()
    leaves = [m for m in body.modules() if not list(m.children())]
    hooks = [m.register_forward_hook(lambda module, *_: used.add(module)) for m in leaves]
    training = body.training
    with torch.no_grad():
        body.eval()(torch.zeros(1, channels, 64, 64))
    body.train(training)
    for hook in hooks:
        hook.remove()
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if child not in used and not list(child.children()) and list(child.parameters()):
                setattr(parent, name, nn.Identity())


def _begin_at_zero(body: nn.Module) -> None:
    """Make the last convolution answer 0 at first: no correction, unit scale."""
    head = body.segmentation_head
    assert isinstance(head, nn.Sequential)
    last = head[0]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
