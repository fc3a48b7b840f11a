"""PyTorch, for GPUs; the only part of the applying side that imports it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from demiurge.errors import BundleError
from demiurge.model.bundle import Bundle
from demiurge.predict.runtime import PrecisionName

Array = npt.NDArray[np.float32]

#: Windows a GPU answers at once: always so many, or the answer would depend on their number.
_BATCH = 16


class TorchRuntime:
    """The network itself, under autocast and channels-last, in batches of one size.

    Batches are filled up with zeros, so that a window's answer does not depend on how many ask.
    """

    def __init__(
        self, bundle: Bundle, device: Literal["CPU", "CUDA"], precision: PrecisionName
    ) -> None:
        from demiurge.model.export import load_safetensors
        from demiurge.model.network import build_network
        from demiurge.model.settings import NetworkSettings

        self._device = torch.device("cuda" if device == "CUDA" else "cpu")
        self._batch = _BATCH if device == "CUDA" else 1
        self._precision = precision
        try:
            settings = NetworkSettings(**{**bundle.card.recipe["network"], "pretrained": False})
            contract = bundle.contract
            network: Any = build_network(settings, contract.channels, contract.outputs)
            load_safetensors(network, bundle.weights())
        except (RuntimeError, ValueError, KeyError) as error:
            raise BundleError(
                f"{bundle.path}: its weights do not make its network ({error})",
                "use --runtime openvino, or fetch it anew",
            ) from None
        network = network.to(self._device, memory_format=torch.channels_last).eval()
        if device == "CUDA":
            torch.backends.cudnn.benchmark = True
            network = torch.compile(network)
        self._network = network

    def answers(self, questions: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the answers in order; see :class:`demiurge.predict.runtime.Runtime`."""
        waiting: list[Array] = []
        sent: deque[tuple[torch.Tensor, int]] = deque()
        for question in questions:
            waiting.append(question)
            if len(waiting) == self._batch:
                sent.append(self._send(waiting))
                waiting = []
                # One batch is read back while the next is computed.
                if len(sent) > 1:
                    yield from _received(*sent.popleft())
        if waiting:
            sent.append(self._send(waiting))
        while sent:
            yield from _received(*sent.popleft())

    def _send(self, planes: list[Array]) -> tuple[torch.Tensor, int]:
        batch = np.zeros((self._batch, *planes[0].shape), np.float32)
        for place, plane in enumerate(planes):
            batch[place] = plane
        tensor = torch.from_numpy(batch)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        tensor = tensor.to(self._device, memory_format=torch.channels_last, non_blocking=True)
        reduced = self._precision == "bf16"
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=reduced),
        ):
            return self._network(tensor).float(), len(planes)


def _received(answers: torch.Tensor, count: int) -> Iterator[Array]:
    for answer in answers[:count].cpu().numpy():
        yield np.asarray(answer, np.float32)
