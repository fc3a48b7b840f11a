"""OpenVINO on the CPU."""

from __future__ import annotations

import os
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
#: Side in pixels of windows of which each stream needs hundreds of MB, and the number of cores up
#: to which one stream uses them about as well as several (a tenth slower if they are shared).
_LARGE, _FEW_CORES = 640, 3


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
            if size >= _LARGE and (threads or usable_cores()) <= _FEW_CORES:
                hints["NUM_STREAMS"] = 1
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
        # One more than are computed at a time, so that none waits; each holds a window.
        useful = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1
        count = max(1, min(in_flight, useful))
        idle = [self._compiled.create_infer_request() for _ in range(count)]
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


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bf16() -> bool:
    """Return whether this CPU computes in bf16."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
