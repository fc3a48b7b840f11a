"""What runs a bundle's graph. Answers come in the order of the questions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import BundleError
from demiurge.model.bundle import Bundle

PrecisionName = Literal["f32", "bf16"]

_ONE_AT_A_TIME = Lock()


class Runtime(Protocol):
    """Runs a graph on windows of one fixed size.

    Attributes
    ----------
    batch
        Windows that are answered at once. Above 1 the work is not done by this machine's cores,
        which are free to read.
    """

    batch: int

    def answers(self, questions: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the answer to each question, in order.

        Parameters
        ----------
        questions
            float32 (channels, size, size).
        in_flight
            Windows that may be worked on at a time; does not change the answers.

        Yields
        ------
        float32 (outputs, size, size).
        """


class OpenVinoRuntime:
    """OpenVINO on the CPU, one window an inference request, several requests at a time.

    Each request holds one window, so that an answer does not depend on its neighbours in a batch.
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
                f"{bundle.path}: its graph cannot be run ({reason})", "train or fetch it anew"
            ) from None
        expected = [1, bundle.contract.outputs, size, size]
        if list(self._compiled.output(0).shape) != expected:
            raise BundleError(
                f"{bundle.path}: its graph answers {list(self._compiled.output(0).shape)} where "
                f"its card promises {expected}",
                "train or fetch it anew",
            )

    def answers(self, questions: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the answers in order; see :class:`Runtime`."""
        free = [self._compiled.create_infer_request() for _ in range(max(1, in_flight))]
        busy: deque[tuple[Any, Array]] = deque()
        for question in questions:
            if not free:
                request, _ = busy.popleft()
                yield _result(request)
                free.append(request)
            request = free.pop()
            # The question is kept until the answer is there: OpenVINO reads it in place.
            planes = np.ascontiguousarray(question[None])
            request.start_async([planes], share_inputs=True)
            busy.append((request, planes))
        while busy:
            yield _result(busy.popleft()[0])


def _result(request: Any) -> Array:
    request.wait()
    return np.array(request.get_output_tensor(0).data[0], np.float32)


def openvino_core() -> Any:
    """Return OpenVINO's core, one for the life of the process.

    Where the CPU has AMX, each core gives its thread a stack for signals and takes it away with
    itself. Of two whose lives overlap, the later leaves behind the earlier's, which is gone, and
    the next signal, Ctrl-C say, kills the process.
    """
    with _ONE_AT_A_TIME:
        return _core()


@cache
def _core() -> Any:
    import openvino as ov

    return ov.Core()


class OnnxRuntime:
    """ONNX Runtime on the CPU, in f32, one window after another on all cores."""

    batch = 1

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session: Any = ort.InferenceSession(
                bundle.graph(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base of their own
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(
                f"{bundle.path}: its graph cannot be run ({reason})", "train or fetch it anew"
            ) from None
        self._name = self._session.get_inputs()[0].name

    def answers(self, questions: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the answers in order; see :class:`Runtime`."""
        for question in questions:
            planes = np.ascontiguousarray(question[None])
            yield np.asarray(self._session.run(None, {self._name: planes})[0][0], np.float32)
