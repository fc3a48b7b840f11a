"""Select runtime, device and precision."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from demiurge.errors import ResourceError, missing_extra
from demiurge.model.backend.base import PrecisionName, Runtime, RuntimeName
from demiurge.model.backend.onnx import OnnxRuntime
from demiurge.model.backend.openvino import OpenVinoRuntime, has_bf16
from demiurge.model.bundle import Bundle

RuntimeChoice = Literal["auto", RuntimeName]
PrecisionChoice = Literal["auto", PrecisionName]

#: Device files of GPUs on Linux (NVIDIA), on WSL, and of AMD.
_GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Choice:
    """A runtime, a device and a precision."""

    runtime: RuntimeName
    device: Literal["CPU", "CUDA"]
    precision: PrecisionName

    @property
    def about(self) -> str:
        """Return runtime, device and precision as text, for tags and reports."""
        name = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "torch": "PyTorch"}
        return f"{name[self.runtime]} {self.device} {self.precision}"


def choose_runtime(bundle: Bundle, wanted: RuntimeChoice, precision: PrecisionChoice) -> Choice:
    """Select what runs a bundle.

    ``auto`` selects PyTorch if it is installed and there is a CUDA device, else OpenVINO on the
    CPU; and bf16 if the bundle was validated in it and the hardware has it, else f32.

    Raises
    ------
    ResourceError
        If the requested runtime is not installed or does not support the precision.
    """
    if wanted == "auto":
        wanted = "torch" if _has_cuda() else "openvino"
    if wanted == "onnxruntime":
        if find_spec("onnxruntime") is None:
            raise missing_extra("onnxruntime", "onnxruntime", "this runtime")
        if precision == "bf16":
            raise ResourceError(
                "ONNX Runtime on the CPU computes in f32 alone", "leave --precision out"
            )
        return Choice("onnxruntime", "CPU", "f32")
    validated = bundle.card.runtime_precision == "bf16"
    if wanted == "torch":
        if find_spec("torch") is None:
            raise missing_extra("torch", "train", "this runtime")
        device: Literal["CPU", "CUDA"] = "CUDA" if _has_cuda() else "CPU"
        fast = device == "CUDA" or precision == "bf16" or has_bf16()
        auto: PrecisionName = "bf16" if validated and fast else "f32"
        return Choice("torch", device, auto if precision == "auto" else precision)
    if precision != "auto":
        return Choice("openvino", "CPU", precision)
    return Choice("openvino", "CPU", "bf16" if validated and has_bf16() else "f32")


def make_runtime(bundle: Bundle, size: int, choice: Choice, *, threads: int = 0) -> Runtime:
    """Load a bundle's network into a runtime for windows of one size.

    Parameters
    ----------
    size
        Side of a window in pixels.
    threads
        CPU cores to use; 0: all.

    Raises
    ------
    BundleError
        If the bundle's graph cannot be run.
    """
    if choice.runtime == "onnxruntime":
        return OnnxRuntime(bundle, threads)
    if choice.runtime == "torch":
        from demiurge.model.backend.pytorch import TorchRuntime

        return TorchRuntime(bundle, size, choice.device, choice.precision)
    return OpenVinoRuntime(bundle, size, choice.precision, threads)


def _has_cuda() -> bool:
    """Return whether PyTorch has a CUDA device; torch is imported only if there is a GPU."""
    if sys.platform != "win32" and not any(Path(d).exists() for d in _GPUS):
        return False
    if find_spec("torch") is None:
        return False
    from demiurge.model.backend.pytorch import cuda_available

    return cuda_available()
