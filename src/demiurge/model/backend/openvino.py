"""OpenVINO on the CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import BundleError
from demiurge.model.backend.base import PrecisionName
from demiurge.model.bundle import Bundle

_LOCK = Lock()


class OpenVinoRuntime:
    """One window per inference request, several requests at a time.

    Windows are not batched, so that an output does not depend on other windows.

    Parameters
    ----------
    size
        Side of a window in pixels.
    threads
        CPU cores to use; 0: all.

    Raises
    ------
    BundleError
        If the graph cannot be run, or its output shape differs from the contract's.
    """

    batch = 1

    def __init__(
        self, bundle: Bundle, size: int, precision: PrecisionName, threads: int = 0
    ) -> None:
        core = openvino_core()
        channels = bundle.contract.channels
        try:
            model = core.read_model(bundle.graph())
            model.reshape([1, channels, size, size])
            hints: dict[str, Any] = {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "THROUGHPUT",
            }
            if threads:
                hints["INFERENCE_NUM_THREADS"] = threads
            self._compiled: Any = core.compile_model(model, "CPU", hints)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(
                f"{bundle.path}: its graph cannot be run ({reason})",
                "train or fetch the bundle again",
            ) from None
        expected = [1, bundle.contract.outputs, size, size]
        actual = list(self._compiled.output(0).shape)
        if actual != expected:
            raise BundleError(
                f"{bundle.path}: its graph returns shape {actual} where its card promises "
                f"{expected}",
                "train or fetch the bundle again",
            )

    def run(self, inputs: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the outputs in order; see :class:`demiurge.model.backend.base.Runtime`."""
        idle = [self._compiled.create_infer_request() for _ in range(max(1, in_flight))]
        running: deque[tuple[Any, Array]] = deque()
        for planes in inputs:
            if not idle:
                request, _ = running.popleft()
                yield _output(request)
                idle.append(request)
            request = idle.pop()
            # OpenVINO reads the array in place: keep a reference until the request is done.
            batch = np.ascontiguousarray(planes[None])
            request.start_async([batch], share_inputs=True)
            running.append((request, batch))
        while running:
            yield _output(running.popleft()[0])


def _output(request: Any) -> Array:
    request.wait()
    return np.array(request.get_output_tensor(0).data[0], np.float32)


def openvino_core() -> Any:
    """Return the OpenVINO Core, one per process.

    On AMX CPUs every Core installs a signal stack; overlapping Cores leave it dangling, and the
    next signal (such as Ctrl-C) kills the process.
    """
    with _LOCK:
        return _core()


@cache
def _core() -> Any:
    import openvino as ov

    return ov.Core()


def has_bf16() -> bool:
    """Return whether this CPU computes in bf16."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
