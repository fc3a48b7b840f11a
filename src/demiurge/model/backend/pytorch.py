"""PyTorch, for GPUs; the only part of the applying side that imports it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from demiurge.arrays import Array
from demiurge.errors import BundleError, ResourceError
from demiurge.model.backend.runtimes import PrecisionName
from demiurge.model.bundle import Bundle

#: Pixels that a GPU answers at once: always so many, or the answer would depend on their number.
_AT_ONCE = 16 * 512**2


class TorchRuntime:
    """The network itself, under autocast and channels-last, in batches of one size.

    Batches are filled up with zeros, so that a window's answer does not depend on how many ask.
    Algorithms are not chosen by timing them and none adds up in an order of chance, so that
    answers are the same on every run; f32 is f32, not TF32. Nothing is compiled: reading and
    blending are expected to be the limit, and a compiler takes longer than most rasters.
    """

    def __init__(
        self, bundle: Bundle, size: int, device: Literal["CPU", "CUDA"], precision: PrecisionName
    ) -> None:
        from demiurge.model.export import load_weights
        from demiurge.model.network import build_network
        from demiurge.model.settings import NetworkSettings

        self._device = torch.device("cuda" if device == "CUDA" else "cpu")
        self.batch = max(1, _AT_ONCE // size**2) if device == "CUDA" else 1
        self._precision = precision
        try:
            settings = NetworkSettings(**{**bundle.card.recipe["network"], "pretrained": False})
            contract = bundle.contract
            network: Any = build_network(settings, contract.channels, contract.outputs)
            load_weights(network, bundle)
        except (RuntimeError, ValueError, KeyError) as error:
            raise BundleError(
                f"{bundle.path}: its weights do not make its network ({error})",
                "use --runtime openvino, or fetch it anew",
            ) from None
        self._planes = (contract.channels, size, size)
        with _told():
            self._network = network.eval().to(self._device, memory_format=torch.channels_last)

    def answers(self, questions: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the answers in order; see :class:`demiurge.model.backend.runtimes.Runtime`."""
        sent: deque[tuple[torch.Tensor, int]] = deque()
        pinned = self._device.type == "cuda"
        # One is filled while the other is on its way to the GPU.
        buffers = [torch.zeros((self.batch, *self._planes), pin_memory=pinned) for _ in range(2)]
        filled = 0
        for question in questions:
            # Flipped views have negative strides, which torch does not take.
            buffers[0][filled] = torch.from_numpy(np.ascontiguousarray(question))
            filled += 1
            if filled == self.batch:
                sent.append((self._send(buffers[0]), filled))
                buffers.reverse()
                filled = 0
                # The batch before is read back while this one is computed, and frees its buffer.
                if len(sent) > 1:
                    yield from _received(*sent.popleft())
        if filled:
            buffers[0][filled:] = 0
            sent.append((self._send(buffers[0]), filled))
        while sent:
            yield from _received(*sent.popleft())

    def _send(self, batch: torch.Tensor) -> torch.Tensor:
        reduced = self._precision == "bf16"
        with (
            _told(),
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=reduced),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            planes = batch.to(self._device, non_blocking=True)
            answer: torch.Tensor = self._network(
                planes.contiguous(memory_format=torch.channels_last)
            )
            return answer.float()


@contextmanager
def _told() -> Iterator[None]:
    """Say in a sentence what a GPU cannot do."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise ResourceError(
            "the GPU has too little memory for the network's batches",
            "free it from other work, or use --runtime openvino",
        ) from None
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ResourceError(
            f"PyTorch cannot run the network here ({reason})", "use --runtime openvino"
        ) from None


def _received(answers: torch.Tensor, count: int) -> Iterator[Array]:
    with _told():
        found = answers[:count].cpu().numpy()
    for answer in found:
        yield np.asarray(answer, np.float32)
