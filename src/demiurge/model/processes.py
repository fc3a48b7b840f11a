"""Several processes that learn what one would: sums and statistics over all of their chips."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist


def several() -> bool:
    """Tell whether this is one of several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def mean_over_processes(count: Tensor) -> Tensor:
    """Return the mean of a number over all processes; no gradient flows through it."""
    if not several():
        return count
    total = count.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def shared_statistics(network: nn.Module, processes: int) -> nn.Module:
    """Let batch norms of several processes see the whole batch, as that of one process does.

    PyTorch's own does so on GPUs alone.
    """
    if processes < 2:
        return network
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _SharedBatchNorm(child))
    return network


class _SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm whose mean and variance are those of all processes' chips."""

    def __init__(self, plain: nn.BatchNorm2d) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.load_state_dict(plain.state_dict())

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not several():
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
        found: Tensor = planes * scale[:, None, None] + shift[:, None, None]
        return found.to(input.dtype)
