"""PyTorch, for GPUs. The only module used by ``predict`` that imports torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from demiurge.arrays import Array
from demiurge.errors import BundleError, ResourceError
from demiurge.model.backend.base import PrecisionName
from demiurge.model.bundle import Bundle
from demiurge.model.export import load_weights
from demiurge.model.network import network_of
from demiurge.model.settings import NetworkSettings

#: Pixels per batch on a GPU. The batch size is fixed, because results depend on it.
_BATCH_PIXELS = 16 * 512**2


class TorchRuntime:
    """The network under autocast and channels-last, in batches of one size.

    The last batch is padded with zeros, so that an output does not depend on the number of
    windows. Outputs are reproducible: deterministic algorithms, no algorithm benchmarking, and no
    TF32 in f32. The network is not compiled: reading and blending are expected to be the
    bottleneck, and compiling takes longer than most rasters.

    Raises
    ------
    BundleError
        If the weights do not fit the network.
    ResourceError
        If the GPU cannot run it.
    """

    def __init__(
        self, bundle: Bundle, size: int, device: Literal["CPU", "CUDA"], precision: PrecisionName
    ) -> None:
        self._device = torch.device("cuda" if device == "CUDA" else "cpu")
        self.batch = max(1, _BATCH_PIXELS // size**2) if device == "CUDA" else 1
        self._precision = precision
        try:
            settings = NetworkSettings(**{**bundle.card.recipe["network"], "pretrained": False})
            contract = bundle.contract
            network: Any = network_of(settings, contract)
            load_weights(network, bundle)
        except (RuntimeError, ValueError, KeyError) as error:
            raise BundleError(
                f"{bundle.path}: its weights do not fit its network ({error})",
                "use --runtime openvino, or fetch the bundle again",
            ) from None
        self._shape = (contract.channels, size, size)
        with _torch_errors():
            self._network = network.eval().to(self._device, memory_format=torch.channels_last)

    def run(self, inputs: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the outputs in order; see :class:`demiurge.model.backend.base.Runtime`."""
        running: deque[tuple[torch.Tensor, int]] = deque()
        pinned = self._device.type == "cuda"
        # One buffer is filled while the other is copied to the GPU.
        buffers = [torch.zeros((self.batch, *self._shape), pin_memory=pinned) for _ in range(2)]
        count = 0
        for planes in inputs:
            # Flipped views have negative strides, which torch does not accept.
            buffers[0][count] = torch.from_numpy(np.ascontiguousarray(planes))
            count += 1
            if count == self.batch:
                running.append((self._start(buffers[0]), count))
                buffers.reverse()
                count = 0
                # Reading the previous batch back overlaps with computing this one, and ensures
                # that the previous buffer is free.
                if len(running) > 1:
                    yield from _outputs(*running.popleft())
        if count:
            buffers[0][count:] = 0
            running.append((self._start(buffers[0]), count))
        while running:
            yield from _outputs(*running.popleft())

    def _start(self, batch: torch.Tensor) -> torch.Tensor:
        with (
            _torch_errors(),
            torch.inference_mode(),
            torch.autocast(
                self._device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16"
            ),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            planes = batch.to(self._device, non_blocking=True)
            output: torch.Tensor = self._network(
                planes.contiguous(memory_format=torch.channels_last)
            )
            return output.float()


@contextmanager
def _torch_errors() -> Iterator[None]:
    """Turn errors of PyTorch and the GPU into a ResourceError of one sentence."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise ResourceError(
            "the GPU has too little memory for the network's batches",
            "free GPU memory, or use --runtime openvino",
        ) from None
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ResourceError(
            f"PyTorch cannot run the network here ({reason})", "use --runtime openvino"
        ) from None


def _outputs(batch: torch.Tensor, count: int) -> Iterator[Array]:
    with _torch_errors():
        outputs = batch[:count].cpu().numpy()
    for output in outputs:
        yield np.asarray(output, np.float32)


def cuda_available() -> bool:
    """Return whether PyTorch has a CUDA device."""
    return bool(torch.cuda.is_available())
