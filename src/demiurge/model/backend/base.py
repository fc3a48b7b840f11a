"""Interface of the inference runtimes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from demiurge.arrays import Array

RuntimeName = Literal["openvino", "onnxruntime", "torch"]
PrecisionName = Literal["f32", "bf16"]


class Runtime(Protocol):
    """Runs the network of a bundle on windows of one fixed size.

    Attributes
    ----------
    batch
        Windows per batch. Above 1 the network runs on a GPU and the CPU cores are free to read.
    """

    batch: int

    def run(self, inputs: Iterable[Array], in_flight: int) -> Iterator[Array]:
        """Yield the network's output for each input, in order.

        Parameters
        ----------
        inputs
            float32 (channels, size, size), finite.
        in_flight
            Maximum number of windows processed at a time. Does not change the outputs.

        Yields
        ------
        float32 (outputs, size, size).
        """
