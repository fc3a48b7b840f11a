"""What runs a bundle's graph. Answers come in the order of the questions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from demiurge.errors import BundleError
from demiurge.model.bundle import Bundle

Array = npt.NDArray[np.float32]
PrecisionName = Literal["f32", "bf16"]


class Runtime(Protocol):
    """Runs a graph on windows of one fixed size."""

    @property
    def about(self) -> str:
        """Say what runs where and how exactly, for tags and reports."""

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

    def __init__(self, bundle: Bundle, size: int, precision: PrecisionName) -> None:
        import openvino as ov

        self._precision = precision
        core = ov.Core()
        channels = bundle.contract.channels
        try:
            model = core.read_model(bundle.graph())
            model.reshape([1, channels, size, size])
            self._compiled: Any = core.compile_model(
                model,
                "CPU",
                {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"},
            )
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

    @property
    def about(self) -> str:
        """Say what runs."""
        return f"OpenVINO CPU {self._precision}"

    @property
    def wanted(self) -> int:
        """Return the number of requests that keep the device busy."""
        return int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

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


def has_bf16() -> bool:
    """Tell whether this CPU computes in bf16."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def choose_precision(bundle: Bundle, wanted: Literal["auto", "f32", "bf16"]) -> PrecisionName:
    """Return the precision to use: the wanted one, or what the bundle was checked for."""
    if wanted != "auto":
        return wanted
    return "bf16" if bundle.card.runtime_precision == "bf16" and has_bf16() else "f32"
