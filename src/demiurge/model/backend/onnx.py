"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from demiurge.arrays import Array
from demiurge.errors import BundleError
from demiurge.model.bundle import Bundle


class OnnxRuntime:
    """One window at a time on all cores, in f32.

    Parameters
    ----------
    threads
        CPU cores to use; 0: all.

    Raises
    ------
    BundleError
        If the graph cannot be run.
    """

    batch = 1

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session: Any = ort.InferenceSession(
                bundle.graph(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(
                f"{bundle.path}: its graph cannot be run ({reason})",
                "train or fetch the bundle again",
            ) from None
        self._name = self._session.get_inputs()[0].name

    def run(self, inputs: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the outputs in order; see :class:`demiurge.model.backend.base.Runtime`."""
        for planes in inputs:
            batch = np.ascontiguousarray(planes[None])
            yield np.asarray(self._session.run(None, {self._name: batch})[0][0], np.float32)
