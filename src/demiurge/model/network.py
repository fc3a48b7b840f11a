"""Networks, most of them from segmentation-models-pytorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from demiurge.baselines.pix2pix import Pix2PixGenerator
from demiurge.baselines.resdepth import ResDepthUNet
from demiurge.errors import ConfigError, ResourceError
from demiurge.model.contract import Contract
from demiurge.model.ensemble import Ensemble
from demiurge.model.losses import process_count
from demiurge.model.settings import NetworkSettings

#: Side in pixels of the window that a new network is tested on.
_SIDE = 64


def network_of(settings: NetworkSettings, contract: Contract) -> nn.Module:
    """Build the network of a contract, of several members if the settings say so.

    Input, output and errors are those of :func:`build_network`.
    """
    sizes = contract.channels, contract.outputs
    members = [build_network(settings, *sizes) for _ in range(settings.members)]
    return members[0] if len(members) == 1 else Ensemble(members, len(contract.targets))


def build_network(settings: NetworkSettings, channels: int, outputs: int) -> nn.Module:
    """Build one network whose initial output is 0: no correction, unit scale.

    Its input is float32 (batch, channels, height, width), height and width multiples of
    ``settings.multiple``; its output is float32 (batch, outputs, height, width).

    Parameters
    ----------
    channels, outputs
        Number of input and output planes; see :class:`demiurge.model.contract.Contract`.

    Raises
    ------
    ConfigError
        If the encoder does not exist or requires windows of a fixed size.
    ResourceError
        If pretrained weights cannot be downloaded.
    """
    first = (settings.decoder_channels or [64])[0]
    if settings.architecture == "resdepth":
        unet = ResDepthUNet(channels, outputs, settings.depth, first)
        _initialise_with_zeros(unet.head)
        return unet
    if settings.architecture == "pix2pix":
        generator = Pix2PixGenerator(channels, outputs, settings.depth, first)
        _initialise_with_zeros(generator.head)
        return generator
    body = _encoder_decoder(settings, channels, outputs)
    head = body.segmentation_head
    assert isinstance(head, nn.Sequential) and isinstance(head[0], nn.Conv2d)
    if settings.detail:
        body = Detailed(body, head[0].in_channels, channels, settings.detail, outputs)
        _initialise_with_zeros(body.answer)
    else:
        _initialise_with_zeros(head[0])
    try:
        shape = _prune(body, channels)
    except Exception as error:  # encoders raise errors of many types
        raise _unusable(settings, _short(error)) from None
    if shape != (1, outputs, _SIDE, _SIDE):
        raise _unusable(settings, f"output of {shape[-2]} × {shape[-1]} px for {_SIDE} × {_SIDE}")
    return body


def _encoder_decoder(settings: NetworkSettings, channels: int, outputs: int) -> nn.Module:
    """Build a network of segmentation-models-pytorch."""
    import segmentation_models_pytorch as smp

    options: dict[str, Any] = {
        "encoder_name": settings.encoder,
        "encoder_weights": _weights(settings),
        "encoder_depth": settings.depth,
        "in_channels": channels,
        "classes": outputs,
    }
    if settings.architecture in ("unet", "unetplusplus", "manet"):
        widths = settings.decoder_channels or [256, 128, 64, 32, 16][-settings.depth :]
        options["decoder_channels"] = tuple(widths)
        options["decoder_interpolation"] = settings.upsampling
    try:
        network: nn.Module = smp.create_model(settings.architecture, **options)
    except (KeyError, ValueError, RuntimeError, AttributeError, TypeError, AssertionError) as error:
        raise _unusable(settings, _short(error)) from None
    except OSError as error:
        raise ResourceError(
            f"the pretrained weights of '{settings.encoder}' cannot be fetched ({_short(error)})",
            "connect to the internet once or set network.pretrained=false",
        ) from None
    return network


def _weights(settings: NetworkSettings) -> str | bool | None:
    if not settings.pretrained:
        return None
    # The name of a timm encoder includes its weights.
    return True if settings.encoder.startswith("tu-") else "imagenet"


class Detailed(nn.Module):
    """A network with a branch at full resolution that is merged before the last layer.

    Encoders halve the resolution in their first layer, which loses details of one pixel.
    """

    def __init__(
        self, body: nn.Module, width: int, channels: int, detail: int, outputs: int
    ) -> None:
        super().__init__()
        self.encoder: Any = body.encoder
        self.decoder: Any = body.decoder
        self.detail = _block(channels, detail)
        self.merge = _block(width + detail, width)
        self.answer = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Return outputs (batch, outputs, rows, columns) of planes (batch, channels, …)."""
        coarse = self.decoder(self.encoder(planes))
        output: Tensor = self.answer(self.merge(torch.cat([coarse, self.detail(planes)], dim=1)))
        return output


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def _unusable(settings: NetworkSettings, reason: str) -> ConfigError:
    return ConfigError(
        f"network.encoder: '{settings.encoder}' cannot be built ({reason})",
        "try resnet18, resnet34 or tu-NAME with a name from timm",
    )


def _prune(body: nn.Module, channels: int) -> tuple[int, ...]:
    """Remove unused layers: encoders keep those below the requested depth.

    Returns
    -------
    The shape of the output for one window of 64 px.
    """
    used: set[nn.Module] = set()
    leaves = [m for m in body.modules() if not list(m.children())]
    hooks = [m.register_forward_hook(lambda module, *_: used.add(module)) for m in leaves]
    training = body.training
    with torch.no_grad():
        shape = tuple(body.eval()(torch.zeros(1, channels, _SIDE, _SIDE)).shape)
    body.train(training)
    for hook in hooks:
        hook.remove()
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if child not in used and not list(child.children()) and list(child.parameters()):
                setattr(parent, name, nn.Identity())
    return shape


def _initialise_with_zeros(last: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Initialise the last convolution with zeros: no correction, unit scale."""
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def share_batch_statistics(network: nn.Module, processes: int) -> nn.Module:
    """Replace batch norms by ones that use the mean and variance over all processes.

    Several processes then train as one process with the same total batch. PyTorch's
    ``SyncBatchNorm`` works on GPUs only.
    """
    if processes < 2:
        return network
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _SharedBatchNorm(child))
    return network


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm with mean and variance over the chips of all processes."""

    def __init__(self, plain: nn.BatchNorm2d) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.load_state_dict(plain.state_dict())

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or process_count() == 1:
            return super().forward(input)
        from torch.distributed.nn.functional import all_reduce

        planes = input.float()
        sums = torch.stack([planes.mean((0, 2, 3)), planes.square().mean((0, 2, 3))])
        total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
        mean, square = total / dist.get_world_size()
        variance = (square - mean.square()).clamp(min=0)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        pixels = input.numel() / input.shape[1] * dist.get_world_size()
        with torch.no_grad():
            unbiased = variance * pixels / max(pixels - 1, 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalised: Tensor = planes * scale[:, None, None] + shift[:, None, None]
        return normalised.to(input.dtype)
